import assert from "node:assert/strict";
import { test } from "node:test";

import { placeAfter } from "../../siamese/ui/static/challenge/board.js";
import { percent } from "../../siamese/ui/static/dom.js";

test("arrow keys move among the tiles and stop at the edges", () => {
  assert.equal(placeAfter("ArrowRight", 3, 10, 5), 4);
  assert.equal(placeAfter("ArrowDown", 3, 10, 5), 8);
  assert.equal(placeAfter("ArrowDown", 8, 10, 5), 9);
  assert.equal(placeAfter("ArrowUp", 3, 10, 5), 0);
  assert.equal(placeAfter("End", 3, 10, 5), 9);
  assert.equal(placeAfter("Home", 3, 10, 5), 0);
});

test("from outside an arrow leads to the first tile; other keys and an empty board lead nowhere", () => {
  assert.equal(placeAfter("ArrowRight", -1, 10, 5), 0);
  assert.equal(placeAfter("x", 3, 10, 5), -1);
  assert.equal(placeAfter("ArrowRight", -1, 0, 0), -1);
});

test("a share never claims more than it has", () => {
  assert.equal(percent(0.9997), "99.9\u00a0%");
  assert.equal(percent(0.0001), "0.1\u00a0%");
  assert.equal(percent(1), "100\u00a0%");
  assert.equal(percent(0.615), "62\u00a0%");
  assert.equal(percent(0.955, 1), "95.5\u00a0%");
});
