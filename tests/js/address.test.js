import assert from "node:assert/strict";
import { test } from "node:test";

import { appAddress, beatIn, challengeIn, linkTo, withChallenge } from "../../siamese/ui/static/address.js";

const PAGE = "https://one.look/app/?tab=challenge&challenge=daily&beat=7#top";

test("the address is read", () => {
  assert.equal(challengeIn(PAGE), "daily");
  assert.equal(beatIn(PAGE), 7);
  assert.equal(challengeIn("https://one.look/"), null);
  for (const beat of ["", "11", "-1", "1.5", "x", "007"]) assert.equal(beatIn(`https://one.look/?beat=${beat}`), null);
  assert.equal(beatIn("https://one.look/?beat=10"), 10);
});

test("another game takes the place of the old one, and the rest of the address stays", () => {
  assert.equal(withChallenge(PAGE, "5i-abc"), "https://one.look/app/?tab=challenge&challenge=5i-abc#top");
  assert.equal(withChallenge(PAGE, null), "https://one.look/app/?tab=challenge#top");
});

test("a link holds the app, the game and the score to beat, nothing else", () => {
  assert.equal(linkTo(PAGE, "5i-abc-x10", 8), "https://one.look/app/?challenge=5i-abc-x10&beat=8");
  assert.equal(linkTo(PAGE, "5i-abc"), "https://one.look/app/?challenge=5i-abc");
});

test("clients of the API are given an address without query and slash", () => {
  assert.equal(appAddress(PAGE), "https://one.look/app");
  assert.equal(appAddress("http://127.0.0.1:7861/?tab=about"), "http://127.0.0.1:7861");
});
