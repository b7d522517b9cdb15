// What tabs share that gather pictures and ask about them.
import { guard, isRefused, make, pressed, say } from "./dom.js";
import { pad } from "./pad.js";
import { pictureUrl } from "./picture.js";
import { ask, inTime, UserError } from "./server.js";

// The parts of a tab by their data attribute, its line for refusals, and its questions to the server.
export const tabOf = (element, server) => {
  const part = (name) => element.querySelector(`[data-${name}]`);
  const refuse = (sentence) => say(element, sentence, true);

  // Asks the newest question alone. `question` gives what is asked, a sentence about what is missing, or null while nothing
  // is to change; an older answer that arrives late is dropped, and so is an older refusal.
  const answering = (name, question, show) => {
    let latest = 0;
    return guard(element, async () => {
      const asked = question();
      if (asked === null) return;
      const turn = ++latest;
      if (typeof asked === "string") {
        part("answer").hidden = true;
        say(element, asked);
        return;
      }
      say(element, "Looking …");
      let result;
      try {
        result = await inTime(ask(server, name, asked), () => turn === latest);
      } catch (error) {
        part("answer").hidden = true;
        throw error;
      }
      if (!result) return;
      if (!isRefused(element)) say(element, ""); // something else was refused while this was looked for
      part("answer").hidden = false;
      show(result, asked);
      const verdict = part("verdict");
      if (isToBeRevealed && verdict.getBoundingClientRect().bottom > innerHeight) {
        verdict.scrollIntoView({ block: "center", behavior: "smooth" });
      }
      isToBeRevealed = false;
    });
  };

  // What was asked for with one press, far from the answer, has its answer brought into view.
  let isToBeRevealed = false;
  const reveal = () => (isToBeRevealed = true);

  return {
    element,
    part,
    refuse,
    answering,
    reveal,
    ask: (name, payload) => ask(server, name, payload),
    // The characters that stand apart in a picture, to choose from.
    findPieces: async (url) => (await ask(server, "picture_pieces", { picture: url })).regions,
  };
};

// A button that loads an example: its pictures beside each other, its caption below them.
export const exampleButton = (caption, kind, pictures, load) =>
  make(
    "button",
    { type: "button", class: "example", "aria-label": `Load ${caption}`, onclick: load },
    make("span", { class: kind, "aria-hidden": "true" }, ...pictures.map((src) => make("img", { src, alt: "" }))),
    make("span", { text: caption }),
  );

// A sheet at [data-<place>] whose picture the button [data-add] adds to a set; several files at once are added by
// themselves. Options are a pad's and: add(url, file, isWanted), which throws what it refuses and keeps only what is
// still wanted when the server has answered, and changed(), which answers. What is refused is told in one sentence at
// the end, and costs nothing of what is there already. Returns {sheet, addSheet(), forget(), wantedNow()}; `forget` when
// the set is emptied: of what was asked for before, what `wantedNow` gave then says that it is not wanted any more.
export const gather = ({ element, part, refuse }, { place, add, changed, ...options }) => {
  const button = part("add");
  let turn = 0;
  const wantedNow = () => {
    const mine = turn;
    return () => mine === turn;
  };
  const addAll = guard(element, async (files) => {
    const isWanted = wantedNow();
    const refused = [];
    for (const file of files) {
      try {
        await add(await pictureUrl(file), file, isWanted);
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        refused.push(`${file.name}: ${error.message}`);
      }
      if (!isWanted()) return;
    }
    if (refused.length < files.length) await changed();
    if (refused.length === 1) refuse(refused[0]);
    else if (refused.length)
      refuse(`${refused.length} of ${files.length} files could not be added; the first is ${refused[0]}`);
  });
  const allow = (value) => {
    const isFocused = document.activeElement === button;
    button.disabled = !value;
    if (isFocused && !value) sheet.sheet.focus({ preventScroll: true });
  };
  const sheet = pad({
    ...options,
    onRefusal: refuse,
    onMany: addAll,
    onChange: (value) => {
      allow(value);
      options.onChange?.();
    },
  });
  const addNow = pressed(button, async () => {
    const isWanted = wantedNow();
    const value = sheet.value();
    if (!value) return false;
    await add(value, null, isWanted);
    if (isWanted() && sheet.value() === value) {
      // nothing newer was drawn meanwhile
      sheet.clear(false);
      allow(null);
    }
    return isWanted();
  });
  const addSheet = guard(element, async () => {
    if (await addNow()) await changed();
  });
  button.addEventListener("click", addSheet);
  part(place).replaceWith(sheet.node);
  return { sheet, addNow, addSheet, wantedNow, forget: () => (turn += 1) };
};

// A button that takes something out of a list; the keyboard goes on from the next one, or from `after`.
export const removeButton = (label, list, after, remove) =>
  make("button", {
    type: "button",
    class: "remove",
    text: "×",
    "aria-label": label,
    onclick: (event) => {
      const buttons = () => [...list.querySelectorAll(".remove")];
      const place = buttons().indexOf(event.currentTarget);
      remove();
      (buttons()[place] ?? buttons().at(-1) ?? after).focus({
        preventScroll: true,
      });
    },
  });
