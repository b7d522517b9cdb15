// What the tab "Verify a signature" and its game show of a judged signature.
import { make, percent } from "./dom.js";
import { scale } from "./scale.js";

export const POINTS = {
  strict: "Strict",
  balanced: "Balanced",
  lenient: "Lenient",
};

// Radio buttons of one question, side by side; `entries` are [value, text].
export const radios = (host, name, entries, value, onchange) =>
  host.append(
    ...entries.map(([one, text]) =>
      make(
        "label",
        { class: "segment" },
        make("input", {
          type: "radio",
          name: `verify-${name}`,
          value: one,
          checked: one === value,
          onchange: () => onchange(one),
        }),
        make("span", { text }),
      ),
    ),
  );

const logit = (share) => {
  const inside = Math.min(Math.max(share, 1e-7), 1 - 1e-7);
  return Math.log(inside / (1 - inside));
};

// A score on a scale with every operating point marked. The scale is drawn out where the points lie, however close
// together: the lowest at 32 %, the highest at 68 % of its width, the rest following a logistic curve.
export const pointScale = (result, point) => {
  if (result.points.length === 1)
    return scale(result.score, result.points[0].threshold, "another person", "the same person");
  const marks = [...result.points].sort((a, b) => a.threshold - b.threshold);
  const levels = marks.map((one) => logit(one.threshold));
  const middle = (levels[0] + levels[levels.length - 1]) / 2;
  const slope = 1.508 / Math.max(levels[levels.length - 1] - levels[0], 0.05); // logit(0.68) twice
  const at = (share) => `${(100 / (1 + Math.exp(-slope * (logit(share) - middle)))).toFixed(2)}%`;
  const fill = make("div", { class: "scale-fill" });
  const places = ["low", "middle", "high"];
  const track = make(
    "div",
    { class: "scale-track" },
    fill,
    ...marks.map((one, place) =>
      make(
        "div",
        {
          class: `scale-mark ${places[place]}${one.name === point ? " chosen" : ""}`,
          style: `left:${at(one.threshold)}`,
        },
        make("span", { text: `${one.name} ${percent(one.threshold)}` }),
      ),
    ),
    make("div", { class: "scale-bead", style: `left:${at(result.score)}` }),
  );
  requestAnimationFrame(() => (fill.style.width = at(result.score)));
  const list = marks.map((one) => `${one.name} ${percent(one.threshold)}`).join(", ");
  const label = `Score ${percent(result.score)}. A signature passes from: ${list}.`;
  return make(
    "div",
    { class: "scale of-points", role: "img", "aria-label": label },
    track,
    make(
      "div",
      { class: "scale-ends" },
      make("span", { text: "another person" }),
      make("span", { text: "the same person" }),
    ),
  );
};

// Two signatures in two colours over one another; either can be looked at alone, which tells them apart without colour.
export const overlay = (layers, words, name) => {
  const sheet = make(
    "div",
    {
      class: "laid",
      "data-layer": "both",
      role: "img",
      "aria-label": `${words.reference} in blue and ${words.questioned} in orange, one over the other where they fit best; black where both have ink`,
    },
    make("img", { class: "reference", src: layers.reference, alt: "" }),
    make("img", { class: "questioned", src: layers.questioned, alt: "" }),
  );
  const shown = make("fieldset", { class: "segments small" }, make("legend", { text: "Show" }));
  const choices = [
    ["both", "both"],
    ["reference", words.reference],
    ["questioned", words.questioned],
  ];
  radios(shown, name, choices, "both", (layer) => (sheet.dataset.layer = layer));
  return make(
    "figure",
    { class: "laid-figure" },
    sheet,
    make(
      "figcaption",
      {},
      make("span", { class: "swatch blue" }),
      ` ${words.reference} `,
      make("span", { class: "swatch orange" }),
      ` ${words.questioned} `,
      make("span", { class: "swatch overlap" }),
      " both",
    ),
    shown,
  );
};

export const inkRow = (url, name, words, ...more) =>
  make(
    "figure",
    {},
    make("img", { src: url, alt: `Extracted ink of ${name}` }),
    make("figcaption", {}, words, ...more),
  );
