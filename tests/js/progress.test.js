import assert from "node:assert/strict";
import { test } from "node:test";

import {
  countRound,
  rightInARow,
  saveBest,
  savedGame,
  saveDay,
  saveGame,
} from "../../siamese/ui/static/challenge/progress.js";

const game = (link, mine) => ({ link, n_way: 5, mine, network: mine.map(() => true), review: [], mode: "match" });

test("a round is counted once, however often its link is opened", () => {
  const memory = {};
  const round = { link: "5i-a", index: 0, n_way: 5 };
  countRound(memory, round, { right: true, network_right: false }, [true]);
  countRound(memory, round, { right: true, network_right: false }, [true, true]);
  assert.deepEqual(memory.totals, { 5: { rounds: 1, mine: 1, network: 0 } });
  countRound(memory, { ...round, index: 1 }, { right: false, network_right: true }, [true, false]);
  assert.deepEqual(memory.totals, { 5: { rounds: 2, mine: 1, network: 1 } });
  assert.equal(memory.bestStreak, 1);
});

test("a row of right answers ends with a wrong one and with its game", () => {
  assert.equal(rightInARow([]), 0);
  assert.equal(rightInARow([true, true]), 2);
  assert.equal(rightInARow([true, false, true]), 1);
  assert.equal(rightInARow([true, false]), 0);
});

test("what is counted does not grow without end", () => {
  const memory = {};
  for (let index = 0; index < 400; index++) {
    const mine = Array(index + 1).fill(true);
    countRound(memory, { link: "a", index, n_way: 5 }, { right: true, network_right: true }, mine);
  }
  assert.equal(memory.counted.length, 300);
  assert.equal(memory.bestStreak, 400);
});

test("a game is kept until twenty newer ones were played", () => {
  const memory = {};
  saveGame(memory, game("first", [true]));
  saveGame(memory, game("second", [false, true]));
  saveGame(memory, game("first", [true, true]));
  assert.deepEqual(savedGame(memory, "first", 10).mine, [true, true]);
  for (let number = 0; number < 19; number++) saveGame(memory, game(`later-${number}`, [true]));
  assert.equal(savedGame(memory, "second", 10), null);
  assert.deepEqual(savedGame(memory, "first", 10).mine, [true, true]);
});

test("what cannot have been kept by this page is no game", () => {
  const rows = [undefined, {}, { mine: [true], network: [], review: [] }, { mine: 3, network: 3, review: 3 }];
  for (const kept of rows) assert.equal(savedGame({ games: { a: kept } }, "a", 10), null);
  const eleven = Array(11).fill(true);
  assert.equal(savedGame({ games: { a: { mine: eleven, network: eleven, review: [] } } }, "a", 10), null);
});

test("the best score stays", () => {
  const memory = {};
  for (const right of [7, 4, 9, 8]) saveBest(memory, "match-10", right);
  assert.equal(memory.best["match-10"], 9);
});

test("only the daily challenge of its own day counts for the streak, or one that was begun before midnight", () => {
  const memory = {};
  saveDay(memory, "2026-02-27", "2026-03-01");
  assert.equal(memory.days, undefined);
  saveDay(memory, "2026-02-28", "2026-03-01");
  saveDay(memory, "2026-03-01", "2026-03-01");
  assert.deepEqual(memory.days, { last: "2026-03-01", days: 2 });
});

test("invented alphabets are counted by themselves", () => {
  const memory = {};
  countRound(memory, { link: "a", index: 0, n_way: 20, source: "invented" }, { right: true, network_right: true }, [
    true,
  ]);
  assert.deepEqual(Object.keys(memory.totals), ["invented-20"]);
});
