// What this browser remembers of games; functions on the object that memory.js keeps.
import { dayBefore, streakAfter } from "./calendar.js";

const KEPT_GAMES = 20; // matches and daily challenges, to go on with or to look at
const KEPT_ROUNDS = 300; // rounds that were counted already

const dropFirst = (object, kept) => {
  for (const key of Object.keys(object).slice(0, -kept)) delete object[key];
};

// How many of the newest rounds of a game were right without a break.
export const rightInARow = (marks) => marks.length - 1 - marks.lastIndexOf(false);

// Invented alphabets are counted by themselves: what is known of people and the paper is about Omniglot.
export const totalsKey = (ways, source) => (source === "invented" ? `invented-${ways}` : `${ways}`);

// Counts an answered round once, however often its link is opened. `round` is {link, index, n_way, source}, `mine` the rounds of
// its game, this one last.
export const countRound = (memory, round, result, mine) => {
  const key = `${round.link}.${round.index}`;
  memory.counted ??= [];
  if (memory.counted.includes(key)) return;
  memory.counted = [...memory.counted, key].slice(-KEPT_ROUNDS);
  memory.totals ??= {};
  const totals = (memory.totals[totalsKey(round.n_way, round.source)] ??= { rounds: 0, mine: 0, network: 0 });
  totals.rounds += 1;
  totals.mine += result.right ? 1 : 0;
  totals.network += result.network_right ? 1 : 0;
  memory.bestStreak = Math.max(memory.bestStreak ?? 0, rightInARow(mine));
};

// Keeps what was answered of a game with several rounds.
export const saveGame = (memory, { link, n_way, mine, network, review }) => {
  memory.games ??= {};
  delete memory.games[link]; // the newest stands last
  memory.games[link] = { n_way, mine, network, review };
  dropFirst(memory.games, KEPT_GAMES);
};

// What was answered of a game before; null where nothing was or it cannot be read.
export const savedGame = (memory, link, rounds) => {
  const saved = memory.games?.[link];
  const isWhole = [saved?.mine, saved?.network, saved?.review].every(Array.isArray);
  if (!isWhole || saved.mine.length !== saved.network.length || saved.mine.length > rounds) return null;
  return saved;
};

export const saveBest = (memory, key, right) => {
  memory.best ??= {};
  memory.best[key] = Math.max(memory.best[key] ?? 0, right);
};

// The challenge of `day` was finished. One that was begun before midnight still counts, an older one does not.
export const saveDay = (memory, day, today) => {
  if (day === today || day === dayBefore(today)) memory.days = streakAfter(memory.days, day);
};
