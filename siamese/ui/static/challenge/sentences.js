// What is said about a round and at the end of a game.
import { percent } from "../dom.js";
import { nameOf } from "./names.js";

export const count = (marks) => marks.filter(Boolean).length;

export const verdictSentence = ({ right, network_right, truth }) => {
  if (right) return network_right ? "Right, and so is the network." : "Right. The network was wrong.";
  const mine = `Wrong, it was ${nameOf(truth)}.`;
  return network_right ? `${mine} The network was right.` : `${mine} The network was wrong, too.`;
};

export const detailSentence = ({ certainty, network_choice, alphabet }) =>
  `The network was ${percent(certainty)} sure of ${nameOf(network_choice)}. Alphabet: ${alphabet}.`;

export const guessSentence = ({ certainty, network_choice, similarities, threshold }) => {
  const nearest = nameOf(network_choice);
  if (similarities[network_choice] < threshold)
    return `None looks the same yet; ${nearest} comes nearest. Press the one you drew.`;
  return `The network is ${percent(certainty)} sure of ${nearest}. If you are done, press the one you drew.`;
};

// The score of a whole game, said once.
export const outcomeSentence = (mine, network, total, isTimed) => {
  const [me, it] = [count(mine), count(network)];
  const what = isTimed ? "right in one minute" : `of ${total} right`;
  if (me === it) return `A draw: you and the network each got ${me} ${what}.`;
  return `${me > it ? "You won" : "The network won"}: you got ${me} ${what}, the network ${it}.`;
};

export const beatSentence = (score, beat) => {
  if (beat === null) return "";
  if (score > beat) return `You beat your friend, who got ${beat}.`;
  return score === beat ? `Your friend got ${beat} as well.` : `Your friend got ${beat}.`;
};

// What a visitor sends to a friend; `name` is the game's.
export const resultText = (name, ways, mine, network, link) => {
  const squares = (marks) => marks.map((right) => (right ? "🟩" : "⬜")).join("");
  const row = (who, marks) => `${who} ${squares(marks)} ${count(marks)}/${marks.length}`;
  return [`One Look, ${name}, ${ways} candidates`, row("Me", mine), row("Network", network), link]
    .filter(Boolean)
    .join("\n");
};
