// The tab "Verify a signature": references are collected in this page and sent only to be judged.
import { guard, make, percent, pressed } from "./dom.js";
import { forgeryGame } from "./forgery_game.js";
import { seenFigure } from "./ink.js";
import { pad } from "./pad.js";
import { showRemarks } from "./remarks.js";
import { inTime, UserError } from "./server.js";
import { inkRow, overlay, POINTS, pointScale, radios } from "./signatures.js";
import { exampleButton, gather, removeButton, tabOf } from "./tab.js";

const MOST = 10;
const VERDICTS = {
  genuine: "Genuine",
  forgery: "Not genuine",
  unsure: "Unsure",
};

export const verifyTab = (element, server) => {
  const tab = tabOf(element, server);
  const { part, refuse, answering, ask, reveal } = tab;
  const chosen = { point: "balanced", reference: 0 };
  let references = []; // {file: what was brought, ink: what was found}
  let judged = null; // the newest answer, and what it was asked of

  const add = async (url, _file, isWanted) => {
    const found = await inTime(ask("verify_ink", { picture: url, count: references.length }), isWanted);
    if (!found) return;
    references.push({ file: url, ink: found.ink });
    showReferences();
  };

  // The pieces of writing in a picture, to choose from where there are several.
  const find = async (url) => (await ask("verify_ink", { picture: url })).regions ?? [];

  const showReferences = () => {
    const list = part("references");
    list.replaceChildren(
      ...references.map((one, place) =>
        make(
          "figure",
          { role: "listitem" },
          make("img", {
            src: one.ink,
            alt: `Extracted ink of reference ${place + 1}`,
          }),
          make("figcaption", { text: `Reference ${place + 1}` }),
          removeButton(`Remove reference ${place + 1}`, list, referencePad.sheet, () => {
            references.splice(place, 1);
            showReferences();
            verify();
          }),
        ),
      ),
    );
  };

  const verify = answering(
    "verify_signature",
    () => {
      if (referencePad.isDrawing() || questionedPad.isDrawing()) return null; // the end of the stroke asks again
      const questioned = questionedPad.value();
      const pending = referencePad.value(); // one on the sheet counts as well: nobody should have to press "Add"
      if (pending && references.length >= MOST)
        return `There are ${MOST} references already; remove one, or clear the sheet.`;
      const brought = [...references.map((one) => one.file), ...(pending ? [pending] : [])];
      if (questioned && brought.length) return { references: brought, questioned };
      if (brought.length) return "Now add the signature in question.";
      return questioned ? "Now add at least one reference; three are better." : "";
    },
    (result, asked) => {
      judged = { result, asked };
      chosen.reference = result.similarities.indexOf(Math.max(...result.similarities));
      showVerdict();
      showInks();
    },
  );

  const atPoint = (result) => result.points.find((one) => one.name === chosen.point) ?? result.points[0];

  const tell = (name, sentence) => {
    part(name).textContent = sentence ?? "";
    part(name).hidden = !sentence;
  };

  const showVerdict = () => {
    const { result, asked } = judged;
    const answer = atPoint(result);
    part("answer").dataset.kind = answer.verdict;
    part("verdict").textContent = VERDICTS[answer.verdict];
    const count = asked.references.length === 1 ? "one reference" : `${asked.references.length} references`;
    part("score").textContent = `${percent(result.score)} similar to ${count}`;
    part("meaning").textContent = answer.meaning;
    showRemarks(part("remarks"), result.remarks);
    part("scale").replaceChildren(pointScale(result, chosen.point));
    tell("rates", result.rates);
    tell("counted", result.counted);
    tell("advice", result.advice);
    showPoints(result);
  };

  const showPoints = (result) => {
    const cards = part("points");
    cards.hidden = result.points.length === 1 || result.is_doubtful; // their rates hold for what was measured
    const focused = cards.contains(document.activeElement);
    const named = result.points.filter((one) => one.name);
    cards.replaceChildren(
      cards.firstElementChild,
      ...named.map((one) =>
        make(
          "label",
          { class: "point" },
          make("input", {
            type: "radio",
            name: "verify-point",
            value: one.name,
            checked: one.name === chosen.point,
            onchange: () => {
              chosen.point = one.name;
              showVerdict();
            },
          }),
          make("b", { text: POINTS[one.name] }),
          make("span", {
            class: "point-from",
            text: `from ${percent(one.threshold)}`,
          }),
          make("span", { class: "point-aim", text: one.aim }),
          make("span", { text: one.cost }),
        ),
      ),
    );
    if (focused) cards.querySelector("input:checked").focus();
  };

  const showInks = () => {
    const { result } = judged;
    const several = result.layers.length > 1;
    part("inks").replaceChildren(
      ...result.inks.map((url, place) => {
        if (place === result.layers.length) return inkRow(url, "the signature in question", "In question");
        const words = `Reference ${place + 1}, ${percent(result.similarities[place])} similar`;
        if (!several) return inkRow(url, "reference 1", words);
        const choose = make(
          "label",
          { class: "segment" },
          make("input", {
            type: "radio",
            name: "verify-reference",
            value: place,
            checked: place === chosen.reference,
            "aria-label": `Compare with this one: reference ${place + 1}`,
            onchange: () => {
              chosen.reference = place;
              showLaid();
            },
          }),
          make("span", { text: "Compare with this one" }),
        );
        return inkRow(url, `reference ${place + 1}`, words, choose);
      }),
    );
    showLaid();
  };

  const showLaid = () => {
    const { layers } = judged.result;
    const name = layers.length > 1 ? `reference ${chosen.reference + 1}` : "reference";
    const words = { reference: name, questioned: "questioned" };
    part("laid").replaceChildren(overlay(layers[chosen.reference], words, "layer"));
    part("why").setAttribute("aria-pressed", "false");
    part("legend").hidden = part("sees").hidden = part("parts").hidden = true;
    part("sees").replaceChildren();
  };

  const showWhy = async () => {
    if (part("why").getAttribute("aria-pressed") === "true") return showLaid();
    const { asked } = judged;
    const { reference } = chosen;
    const isWanted = () => judged?.asked === asked && chosen.reference === reference;
    const found = await inTime(ask("verify_why", { ...asked, which: reference }), isWanted);
    if (!found) return;
    const names = [`Reference ${reference + 1}`, "Questioned signature"];
    part("sees").replaceChildren(
      ...found.sees.map((url, place) => {
        const alt = `${names[place]}: ink that counts for and against`;
        const map = make("img", { class: "why", src: found.maps[place], alt });
        return seenFigure(url, names[place], `${names[place]} as the network sees it`, map);
      }),
    );
    part("parts").replaceChildren(...found.parts.map((text) => make("li", { text })));
    part("why").setAttribute("aria-pressed", "true");
    part("legend").hidden = part("sees").hidden = false;
    part("parts").hidden = found.parts.length === 0;
  };
  part("why").addEventListener("click", guard(element, pressed(part("why"), showWhy)));

  const {
    sheet: referencePad,
    addNow,
    forget,
  } = gather(tab, {
    place: "reference",
    label: "Reference",
    name: "reference",
    wide: true,
    hint: "Sign here, or drop pictures",
    find,
    makeRoom: () =>
      addNow().catch((error) => {
        if (!(error instanceof UserError)) throw error; // what was refused makes room as well
      }),
    add,
    changed: () => verify(),
    onChange: () => verify(),
  });
  const questionedPad = pad({
    label: "In question",
    name: "questioned",
    wide: true,
    hint: "Sign here, or drop a picture",
    find,
    onRefusal: refuse,
    onChange: () => verify(),
  });
  part("questioned").replaceWith(questionedPad.node);

  const reset = () => {
    forget();
    references = [];
    judged = null;
    part("answer").hidden = true;
    chosen.point = "balanced";
    for (const name of ["references", "inks", "laid", "parts", "sees", "remarks"]) part(name).replaceChildren(); // nothing stays, not even hidden
    referencePad.clear();
    questionedPad.clear();
  };
  part("reset").addEventListener("click", () => {
    reset();
    referencePad.sheet.focus({ preventScroll: true });
  });

  const load = guard(element, async (example) => {
    reset();
    references = example.references.map((file, place) => ({
      file,
      ink: example.inks[place],
    }));
    showReferences();
    reveal();
    questionedPad.show(example.questioned);
  });
  const showExamples = async () => {
    const { examples } = await ask("verify_examples");
    part("examples").replaceChildren(
      ...examples.map((example) =>
        exampleButton(example.caption, "example-pair wide", [example.questioned], () => load(example)),
      ),
    );
  };
  guard(element, showExamples)();

  const game = forgeryGame(part("game"), server);
  const modes = [
    ["desk", "Verify"],
    ["game", "Forge it: a game for two"],
  ];
  radios(part("modes"), "mode", modes, "desk", (mode) => {
    part("desk").hidden = part("lead").hidden = mode !== "desk"; // both are about verifying
    part("game").hidden = mode !== "game";
    if (mode === "game") game.open();
  });
};
