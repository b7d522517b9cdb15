// The game of the tab "Verify a signature": one signs three times, a friend forges it, the first signs once more.
// All of it lives in this page and goes with it.
import { guard, make, percent, say } from "./dom.js";
import { pad } from "./pad.js";
import { ask, inTime } from "./server.js";
import { inkRow, overlay, POINTS, pointScale, radios } from "./signatures.js";

const SIGNATURES = 3;
const STEPS = ["Sign three times", "Hand over", "Forge it", "Sign once more", "Who won"];

const rows = (signatures, owner) =>
  signatures.map((one, place) => inkRow(one.ink, `${owner} ${place + 1}`, `${owner} ${place + 1}`));

// The verdicts on the forgery and on the fourth signature; `rules` name the operating point.
const outcome = (game, rules) => {
  const passes = {};
  const kinds = [
    ["forged", "The forgery", "the forgery"],
    ["fourth", "The fourth, genuine one", "the fourth"],
  ];
  const judged = kinds.map(([kind, name, short]) => {
    const result = game.results[kind];
    const answer = result.points.find((one) => one.name === rules.point) ?? result.points[0];
    passes[kind] = result.score >= answer.threshold;
    const closest = result.similarities.indexOf(Math.max(...result.similarities));
    const setting = answer.name ? `at the ${answer.name} setting ` : "";
    return make(
      "section",
      { class: "judged", "aria-label": name },
      make("h4", { text: `${name} ${passes[kind] ? "passes" : "is stopped"}` }),
      make("p", {
        text: `${percent(result.score)} similar; ${setting}a signature passes from ${percent(answer.threshold)}.`,
      }),
      pointScale(result, answer.name),
      overlay(
        result.layers[closest],
        { reference: `your signature ${closest + 1}`, questioned: short },
        `layer-${kind}`,
      ),
    );
  });
  const both = "The network took the forgery for the real one, and the real one for a forgery.";
  if (passes.forged)
    return {
      title: "The forger wins",
      text: passes.fourth ? "The network let both pass." : both,
      judged,
    };
  if (passes.fourth)
    return {
      title: "The signer wins",
      text: "The network stopped the forgery and passed the real one.",
      judged,
    };
  return {
    title: "Nobody wins",
    text: "The network stopped both: your signatures differ more than it allows.",
    judged,
  };
};

export const forgeryGame = (table, server) => {
  const find = (name) => table.querySelector(`[data-${name}]`);
  const rules = { sees: "one", point: "balanced" };
  let game = null; // {genuine: [{file, ink}], forged, fourth: {file, ink}}
  let stage = null;
  let busy = null; // the game that a request is under way for

  const sheet = pad({
    label: "Signature",
    name: "game",
    wide: true,
    hint: "Sign here, or drop a picture",
    find: async (url) => (await ask(server, "verify_ink", { picture: url })).regions ?? [],
    onRefusal: (words) => say(table, words, true),
    onChange: (value) => {
      find("go").disabled = !value;
      if (busy !== game) say(table, "");
    },
  });
  find("table").replaceWith(sheet.node);

  const relabel = (words) => {
    sheet.node.querySelector(".pad-label").textContent = words;
    sheet.sheet.setAttribute(
      "aria-label",
      `${words}: a sheet to sign on. Paste a picture here, or use the buttons below.`,
    );
  };

  const taken = async () => {
    const file = sheet.value();
    const { ink } = await ask(server, "verify_ink", { picture: file });
    return { file, ink };
  };

  const compared = async (its) => {
    const references = its.genuine.map((one) => one.file);
    const judge = (one) => ask(server, "verify_signature", { references, questioned: one.file });
    return { forged: await judge(its.forged), fourth: await judge(its.fourth) };
  };

  // A stage: what is said, what is shown, which sheet, what the button does. `go` returns the next stage;
  // it is given its game, since another one may be under way before it is done.
  const STAGES = {
    sign: () => ({
      step: 0,
      title: `Your signature, ${game.genuine.length + 1} of ${SIGNATURES}`,
      sheet: `Signature ${game.genuine.length + 1} of ${SIGNATURES}`,
      text: "Sign as you always do. Your friend looks away.",
      shown: rows(game.genuine, "Yours"),
      choices: game.genuine.length === 0,
      button: "That is mine",
      go: async (its) => {
        its.genuine.push(await taken());
        return its.genuine.length < SIGNATURES ? "sign" : "handOver";
      },
    }),
    handOver: () => ({
      step: 1,
      title: "Hand the device to your friend",
      text: "Your signatures are hidden until your friend presses the button.",
      button: "I am the forger",
      go: async () => "forge",
    }),
    forge: () => ({
      step: 2,
      title: "Forge this signature",
      sheet: "The forgery",
      shown: rows(rules.sees === "one" ? game.genuine.slice(0, 1) : game.genuine, "Genuine"),
      button: "Hand in the forgery",
      text: "Practise as long as you like: only what is on the sheet when you hand it in counts.",
      go: async (its) => {
        its.forged = await taken();
        return "handBack";
      },
    }),
    handBack: () => ({
      step: 3,
      title: "Hand the device back",
      text: "The forgery is hidden until the end.",
      button: "It is me again",
      go: async () => "fourth",
    }),
    fourth: () => ({
      step: 3,
      title: "Sign once more",
      sheet: "Your fourth signature",
      button: "Who won?",
      text: "The network has to let you pass and to stop your friend.",
      go: async (its) => {
        its.fourth = await taken();
        its.results = await compared(its);
        return "won";
      },
    }),
    won: () => ({
      step: 4,
      ...outcome(game, rules),
      button: "Play again",
      other: "Another forger, the same signatures",
      go: async () => begin(),
    }),
  };

  const begin = (focus = true) => {
    game = { genuine: [] };
    show("sign", focus);
  };

  const show = (next, focus = true) => {
    stage = next;
    const now = STAGES[next]();
    find("steps").replaceChildren(
      ...STEPS.map((words, place) =>
        make("li", {
          text: words,
          "aria-current": place === now.step ? "step" : null,
          class: place < now.step ? "done" : null,
        }),
      ),
    );
    find("title").textContent = now.title;
    find("text").textContent = now.text;
    find("choices").hidden = !now.choices;
    find("shown").replaceChildren(...(now.shown ?? []));
    find("outcome").replaceChildren(...(now.judged ?? []));
    sheet.clear(false);
    sheet.node.hidden = !now.sheet;
    if (now.sheet) relabel(now.sheet);
    find("go").textContent = now.button;
    find("go").disabled = Boolean(now.sheet);
    find("again").hidden = now.step === 4 || now.choices;
    find("other").hidden = !now.other;
    find("other").textContent = now.other ?? "";
    say(table, "");
    if (!focus) return;
    find("title").focus({ preventScroll: true });
    find("steps").scrollIntoView({ block: "nearest" });
  };

  const go = guard(table, async () => {
    if (busy === game || sheet.isDrawing()) return;
    const [before, now] = [game, STAGES[stage]()];
    busy = before;
    say(table, now.sheet ? "Looking …" : "");
    try {
      const next = await inTime(now.go(before), () => game === before); // it may be started again meanwhile
      if (next) show(next);
    } finally {
      if (busy === before) busy = null;
    }
  });
  find("go").addEventListener("click", go);
  find("again").addEventListener("click", () => begin());
  find("other").addEventListener("click", () => {
    game = { genuine: game.genuine };
    show("handOver");
  });

  const choices = [
    [
      "sees",
      "The forger sees",
      [
        ["one", "one of them"],
        ["all", "all three"],
      ],
    ],
  ];
  if (table.hasAttribute("data-measured"))
    choices.push([
      "point",
      "The network is",
      Object.entries(POINTS).map(([value, text]) => [value, text.toLowerCase()]),
    ]);
  for (const [name, legend, entries] of choices) {
    const group = make("fieldset", { class: "segments small" }, make("legend", { text: legend }));
    radios(group, `game-${name}`, entries, rules[name], (value) => (rules[name] = value));
    find("choices").append(group);
  }

  return { open: () => game ?? begin(false) };
};
