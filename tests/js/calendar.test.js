import assert from "node:assert/strict";
import { test } from "node:test";

import {
  countdown,
  dayBefore,
  dayOf,
  inWords,
  msToNextDay,
  streakAfter,
  streakDays,
} from "../../siamese/ui/static/challenge/calendar.js";

const TIME = Date.UTC(2026, 2, 1, 18, 50, 53);

test("days begin at midnight UTC", () => {
  assert.equal(dayOf(TIME), "2026-03-01");
  assert.equal(dayBefore("2026-03-01"), "2026-02-28");
  assert.equal(countdown(msToNextDay(TIME)), "05:09:07");
  assert.equal(countdown(msToNextDay(Date.UTC(2026, 2, 1))), "24:00:00");
  assert.equal(inWords("2026-03-01"), "1 March");
});

test("a countdown ends at zero and never goes below", () => {
  assert.equal(countdown(1), "00:00:01");
  assert.equal(countdown(0), "00:00:00");
  assert.equal(countdown(-5000), "00:00:00");
});

test("a streak grows by a day and begins anew after a gap", () => {
  const first = streakAfter(undefined, "2026-02-28");
  assert.deepEqual(first, { last: "2026-02-28", days: 1 });
  const second = streakAfter(first, "2026-03-01");
  assert.deepEqual(second, { last: "2026-03-01", days: 2 });
  assert.deepEqual(streakAfter(second, "2026-03-01"), second);
  assert.deepEqual(streakAfter(second, "2026-02-28"), second);
  assert.deepEqual(streakAfter(second, "2026-03-03"), { last: "2026-03-03", days: 1 });
});

test("a streak counts until the day after it is over", () => {
  const streak = { last: "2026-03-01", days: 4 };
  assert.equal(streakDays(streak, "2026-03-01"), 4);
  assert.equal(streakDays(streak, "2026-03-02"), 4);
  assert.equal(streakDays(streak, "2026-03-03"), 0);
  assert.equal(streakDays(undefined, "2026-03-03"), 0);
});
