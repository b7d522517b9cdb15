// Days of the daily challenge, which begin at midnight UTC. Times are milliseconds since 1970, days are "2026-03-14".

const DAY_MS = 24 * 60 * 60 * 1000;

export const dayOf = (time) => new Date(time).toISOString().slice(0, 10);

export const dayBefore = (day) => dayOf(Date.parse(day) - DAY_MS);

export const msToNextDay = (time) => DAY_MS - (((time % DAY_MS) + DAY_MS) % DAY_MS);

// "05:09:07"
export const countdown = (ms) => {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  return [seconds / 3600, (seconds / 60) % 60, seconds % 60]
    .map((part) => String(Math.floor(part)).padStart(2, "0"))
    .join(":");
};

// The streak {last, days} after the challenge of a day was finished.
export const streakAfter = (streak, day) => {
  if (streak?.last >= day) return streak;
  return { last: day, days: streak?.last === dayBefore(day) ? streak.days + 1 : 1 };
};

// How many days in a row were played, up to today or, while today's challenge is open, yesterday.
export const streakDays = (streak, today) =>
  streak && (streak.last === today || streak.last === dayBefore(today)) ? streak.days : 0;

// "14 March"
export const inWords = (day) =>
  new Date(day).toLocaleDateString("en-GB", { day: "numeric", month: "long", timeZone: "UTC" });
