import assert from "node:assert/strict";
import { test } from "node:test";

import { nameOf, placeOf } from "../../siamese/ui/static/challenge/names.js";
import { choicesIn, modeOf, MODES, ruleOf } from "../../siamese/ui/static/challenge/modes.js";
import {
  beatSentence,
  detailSentence,
  guessSentence,
  outcomeSentence,
  resultText,
  verdictSentence,
} from "../../siamese/ui/static/challenge/sentences.js";

test("tiles are named A to T, and the same letters pick them", () => {
  for (let place = 0; place < 20; place++) assert.equal(placeOf(nameOf(place)), place);
  assert.equal(nameOf(12), "M");
  assert.equal(placeOf("m"), 12);
  for (const key of ["u", "1", "Enter", "F1", "ä", ""]) assert.equal(placeOf(key), -1);
});

test("a verdict names the right one where it was missed", () => {
  const said = (right, network_right) => verdictSentence({ right, network_right, truth: 4 });
  assert.equal(said(true, true), "Right, and so is the network.");
  assert.equal(said(true, false), "Right. The network was wrong.");
  assert.equal(said(false, true), "Wrong, it was E. The network was right.");
  assert.equal(said(false, false), "Wrong, it was E. The network was wrong, too.");
});

test("the network's choice has the name of its tile", () => {
  const result = { certainty: 0.61, network_choice: 12, alphabet: "Lumo", source: "invented" };
  assert.equal(detailSentence(result), "The network was 61\u00a0% sure of M. Alphabet: Lumo.");
});

test("the outcome says who won", () => {
  const marks = (right, total) => Array.from({ length: total }, (_, i) => i < right);
  assert.equal(
    outcomeSentence(marks(8, 10), marks(9, 10), 10, false),
    "The network won: you got 8 of 10 right, the network 9.",
  );
  assert.equal(
    outcomeSentence(marks(9, 10), marks(8, 10), 10, false),
    "You won: you got 9 of 10 right, the network 8.",
  );
  assert.equal(
    outcomeSentence(marks(5, 12), marks(5, 12), 12, true),
    "A draw: you and the network each got 5 right in one minute.",
  );
});

test("a friend's score is compared where a link brought one", () => {
  assert.equal(beatSentence(8, null), "");
  assert.match(beatSentence(8, 7), /^You beat/);
  assert.match(beatSentence(8, 8), /as well/);
  assert.equal(beatSentence(8, 0), "You beat your friend, who got 0.");
});

test("the text to send holds both scores and the link", () => {
  assert.equal(
    resultText("match of ten", 10, [true, false], [true, true], "https://a.b/?challenge=c"),
    "One Look, match of ten, 10 candidates\nMe 🟩⬜ 1/2\nNetwork 🟩🟩 2/2\nhttps://a.b/?challenge=c",
  );
  assert.ok(!resultText("one minute", 5, [true], [true], null).includes("null"));
});

test("a link says which game it belongs to and how many candidates it has", () => {
  assert.equal(modeOf("minute"), "timed");
  assert.equal(modeOf("draw"), "draw");
  assert.equal(modeOf("daily"), "daily");
  assert.equal(modeOf("daily-2026-03-01"), "daily");
  assert.equal(modeOf("20i-abcdefghijklmnop-x10"), "match");
  assert.equal(modeOf("20i-abcdefghijklmnop"), "free");
  assert.deepEqual(choicesIn("20o-abcdefghijklmnop"), { ways: 20, source: "omniglot" });
  assert.deepEqual(choicesIn("daily"), {});
});

test("every game has a rule in plain words", () => {
  for (const mode of Object.keys(MODES)) assert.match(ruleOf(mode, 10, "omniglot"), /\.$/);
  assert.match(ruleOf("free", 20, "omniglot"), /^One person drew .* Guessing gets 1 in 20 right/);
  assert.match(ruleOf("free", 20, "invented"), /^A program drew/);
});

test("a drawing that looks like none of them is told so", () => {
  const guess = { certainty: 0.53, network_choice: 2, similarities: [0, 0, 0.001, 0], threshold: 0.7 };
  assert.equal(guessSentence(guess), "None looks the same yet; C comes nearest. Press the one you drew.");
  assert.match(guessSentence({ ...guess, similarities: [0, 0, 0.9, 0] }), /^The network is 53\u00a0% sure of C\./);
});
