import assert from "node:assert/strict";
import { test } from "node:test";
import { inReadingOrder, movedBox, resizedBox, withMargin } from "../../siamese/ui/static/crop.js";
import { partOf, turnedBox, WHOLE } from "../../siamese/ui/static/picture.js";

const BOX = { left: 0.25, top: 0.5, right: 0.75, bottom: 0.75 };

test("a part that is moved stays in the picture and keeps its size", () => {
  assert.deepEqual(movedBox(BOX, 0.125, -0.25), { left: 0.375, top: 0.25, right: 0.875, bottom: 0.5 });
  assert.deepEqual(movedBox(BOX, 2, 2), { left: 0.5, top: 0.75, right: 1, bottom: 1 });
  assert.deepEqual(movedBox(BOX, -2, -2), { left: 0, top: 0, right: 0.5, bottom: 0.25 });
});

test("a part is resized at its right and lower side, and never to nothing", () => {
  assert.deepEqual(resizedBox(BOX, 1, 0.125), { left: 0.25, top: 0.5, right: 1, bottom: 0.875 });
  const least = resizedBox(BOX, -1, -1);
  assert.ok(least.right > least.left && least.bottom > least.top);
});

test("a piece of writing gets a margin within the picture", () => {
  const { left, top, right, bottom } = withMargin({ left: 0.005, top: 0.5, right: 0.995, bottom: 0.75 });
  assert.deepEqual([left, right], [0, 1]);
  assert.ok(top < 0.5 && bottom > 0.75);
});

test("four quarter turns lead back, one puts the left side on top", () => {
  assert.deepEqual(turnedBox(BOX), { left: 0.25, top: 0.25, right: 0.5, bottom: 0.75 });
  assert.deepEqual(turnedBox(turnedBox(turnedBox(turnedBox(BOX)))), BOX);
});

test("a part of a part is a part of the picture", () => {
  assert.deepEqual(partOf(WHOLE, BOX), BOX);
  assert.deepEqual(partOf(BOX, { left: 0, top: 0.5, right: 0.5, bottom: 1 }), {
    left: 0.25,
    top: 0.625,
    right: 0.5,
    bottom: 0.75,
  });
});

test("pieces of writing are numbered row by row", () => {
  const at = (left, top) => ({ left, top, right: left + 0.2, bottom: top + 0.2 });
  const rows = [at(0.1, 0.12), at(0.6, 0.1), at(0.1, 0.55), at(0.5, 0.5)];
  assert.deepEqual(inReadingOrder([rows[3], rows[1], rows[0], rows[2]]), rows);
  assert.deepEqual(inReadingOrder([]), []);
});
