import assert from "node:assert/strict";
import { test } from "node:test";
import { tabIn, withTab } from "../../siamese/ui/static/tabs.js";

const HOME = "http://127.0.0.1:7860/";

test("without a tab in the address it is the challenge", () => {
  assert.equal(tabIn(HOME), "challenge");
  assert.equal(tabIn(`${HOME}?challenge=daily`), "challenge");
  assert.equal(tabIn(`${HOME}?tab=verify`), "verify");
});

test("an address takes another tab and keeps the rest", () => {
  assert.equal(withTab(`${HOME}?challenge=daily`, "about"), `${HOME}?challenge=daily&tab=about`);
  assert.equal(withTab(`${HOME}?tab=about&challenge=daily`, "challenge"), `${HOME}?challenge=daily`);
});
