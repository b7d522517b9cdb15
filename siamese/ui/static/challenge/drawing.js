// "You draw": the visitor draws one of the characters, the network guesses while they draw.
import { say } from "../dom.js";
import { pad } from "../pad.js";
import { ask } from "../server.js";
import { clearBars, sealTile, showBars } from "./board.js";
import { nameOf } from "./names.js";
import { guessSentence } from "./sentences.js";

const LABEL = "Draw one of the characters";
const ASK = `${LABEL}.`;

// A sheet whose drawing is guessed again whenever it changes. `round` is what the server dealt and gets `guessed`, the
// place of the newest guess or null; `parts`: element, candidates, server, guard, thisTurn.
export const drawingPad = (round, { element, candidates, server, guard, thisTurn }) => {
  let isBusy = false;
  let isOutdated = false;
  const guess = guard(async () => {
    if (isBusy) {
      isOutdated = true;
      return;
    }
    if (round.answered) return;
    const drawing = sheet.value();
    if (!drawing) {
      round.guessed = null;
      clearBars(candidates);
      say(element, ASK);
      return;
    }
    isBusy = true;
    try {
      const result = await thisTurn(ask(server, "challenge_guess", { round: round.round, drawing }));
      if (!result || round.answered) return;
      round.guessed = result.network_choice;
      showBars(candidates, result);
      say(element, guessSentence(result));
    } finally {
      isBusy = false;
      if (isOutdated) {
        isOutdated = false;
        guess();
      }
    }
  });
  const sheet = pad({
    label: LABEL,
    name: "drawing",
    drawOnly: true,
    hint: "Draw here",
    onChange: guess,
    onInk: guess,
  });
  say(element, ASK);
  return sheet;
};

// The visitor says which one was drawn. Returns whether the network had it right, or null where nothing was drawn.
export const confirmDrawing = (round, place, { element, candidates }) => {
  if (round.guessed === null) {
    say(element, ASK);
    return null;
  }
  round.answered = true;
  sealTile(candidates.children[place]);
  candidates.classList.add("answered");
  const isRight = place === round.guessed;
  const [drawn, guessed] = [place, round.guessed].map(nameOf);
  say(
    element,
    isRight ? `The network was right: you drew ${drawn}.` : `You drew ${drawn}; the network took it for ${guessed}.`,
  );
  return isRight;
};
