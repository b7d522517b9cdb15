// The tab "Verify a signature": references are collected in this page and sent only to be judged.
const MOST = 10;
const VERDICTS = { genuine: "Genuine", forgery: "Not genuine", unsure: "Too close to call" };
const POINTS = { strict: "Strict", balanced: "Balanced", lenient: "Lenient" };
const chosen = { point: "balanced", reference: 0 };
let references = []; // {file: what was brought, ink: what was found}
let judged = null; // the newest answer, and what it was asked of

// ---- what the desk and the game share

// Radio buttons of one question, side by side; `entries` are [value, text].
const radios = (host, name, entries, value, onchange) => host.append(...entries.map(([one, text]) =>
  make("label", { class: "segment" },
    make("input", { type: "radio", name: `verify-${name}`, value: one, checked: one === value, onchange: () => onchange(one) }),
    make("span", { text }))));

// The answer at the operating point that the visitor chose; weights without any have one threshold.
const atPoint = (result) => result.points.find((one) => one.name === chosen.point) ?? result.points[0];

const logit = (share) => {
  const inside = Math.min(Math.max(share, 1e-7), 1 - 1e-7);
  return Math.log(inside / (1 - inside));
};

// A score on a scale with every operating point marked. The scale is drawn out where the points lie, however close
// together: the lowest at 32 %, the highest at 68 % of its width, the rest following a logistic curve.
const pointScale = (result, point) => {
  if (result.points.length === 1) return window.oneLook.scale(result.score, result.points[0].threshold, "another hand", "the same hand");
  const marks = [...result.points].sort((a, b) => a.threshold - b.threshold);
  const levels = marks.map((one) => logit(one.threshold));
  const middle = (levels[0] + levels[levels.length - 1]) / 2;
  const slope = 1.508 / Math.max(levels[levels.length - 1] - levels[0], 0.05); // logit(0.68) twice
  const at = (share) => `${(100 / (1 + Math.exp(-slope * (logit(share) - middle)))).toFixed(2)}%`;
  const fill = make("div", { class: "scale-fill" });
  const places = ["low", "middle", "high"];
  const track = make("div", { class: "scale-track" }, fill, ...marks.map((one, place) =>
    make("div", { class: `scale-mark ${places[place]}${one.name === point ? " chosen" : ""}`, style: `left:${at(one.threshold)}` },
      make("span", { text: `${one.name} ${percent(one.threshold)}` }))),
    make("div", { class: "scale-bead", style: `left:${at(result.score)}` }));
  requestAnimationFrame(() => (fill.style.width = at(result.score)));
  const list = marks.map((one) => `${one.name} ${percent(one.threshold)}`).join(", ");
  return make("div", { class: "scale of-points", role: "img", "aria-label": `Score ${percent(result.score)}. A signature passes from: ${list}.` }, track,
    make("div", { class: "scale-ends" }, make("span", { text: "another hand" }), make("span", { text: "the same hand" })));
};

// Two inks in two colours over one another; either can be looked at alone, which tells them apart without any colour.
const overlay = (layers, words, name) => {
  const sheet = make("div", { class: "laid", "data-layer": "both", role: "img",
    "aria-label": `${words.reference} in blue and ${words.questioned} in orange, laid over one another where they fit best; black where both have ink` },
    make("img", { class: "reference", src: layers.reference, alt: "" }), make("img", { class: "questioned", src: layers.questioned, alt: "" }));
  const shown = make("fieldset", { class: "segments small" }, make("legend", { text: "Show" }));
  radios(shown, name, [["both", "both"], ["reference", words.reference], ["questioned", words.questioned]], "both",
    (layer) => { sheet.dataset.layer = layer; });
  return make("figure", { class: "laid-figure" }, sheet, make("figcaption", {},
    make("span", { class: "swatch blue" }), ` ${words.reference} `, make("span", { class: "swatch orange" }), ` ${words.questioned} `,
    make("span", { class: "swatch overlap" }), " both"), shown);
};

const inkRow = (url, name, words, ...more) => make("figure", {}, make("img", { src: url, alt: `Ink of ${name}` }), make("figcaption", {}, words, ...more));

// ---- the desk

const add = async (url, _file, isWanted) => {
  const found = await inTime(ask(server, "verify_ink", { picture: url, count: references.length }), isWanted);
  if (found) references.push({ file: url, ink: found.ink });
};

const showReferences = () => part("references").replaceChildren(...references.map((one, place) => make("figure", { role: "listitem" },
  make("img", { src: one.ink, alt: `Ink of reference ${place + 1}` }),
  make("figcaption", { text: `Reference ${place + 1}` }),
  removeButton(`Remove reference ${place + 1}`, part("references"), referencePad.sheet, () => { references.splice(place, 1); showReferences(); verify(); }))));

const verify = answering("verify_signature", () => {
  if (referencePad.isDrawing() || questionedPad.isDrawing()) return null; // the end of the stroke asks again
  const questioned = questionedPad.value();
  const pending = referencePad.value(); // one on the sheet counts as well: nobody should have to press "Add" for one
  const brought = [...references.map((one) => one.file), ...(pending && references.length < MOST ? [pending] : [])];
  if (questioned && brought.length) return { references: brought, questioned };
  if (brought.length) return "Now the one in question.";
  return questioned ? "Now at least one reference." : "";
}, (result, asked) => {
  judged = { result, asked };
  chosen.reference = result.similarities.indexOf(Math.max(...result.similarities));
  showVerdict();
  showInks();
});

const showVerdict = () => {
  const { result, asked } = judged;
  const answer = atPoint(result);
  part("answer").dataset.kind = answer.verdict;
  part("verdict").textContent = VERDICTS[answer.verdict];
  const count = asked.references.length === 1 ? "one reference" : `${asked.references.length} references`;
  part("score").textContent = `${percent(result.score)} similar to ${count}`;
  part("meaning").textContent = answer.meaning;
  part("scale").replaceChildren(pointScale(result, chosen.point));
  part("rates").textContent = result.rates ?? "";
  part("rates").hidden = !result.rates;
  part("counted").textContent = result.counted ?? "";
  part("counted").hidden = !result.counted;
  const cards = part("points");
  cards.hidden = result.points.length === 1;
  const focused = cards.contains(document.activeElement);
  cards.replaceChildren(cards.firstElementChild, ...result.points.filter((one) => one.name).map((one) => make("label", { class: "point" },
    make("input", { type: "radio", name: "verify-point", value: one.name, checked: one.name === chosen.point, onchange: () => { chosen.point = one.name; showVerdict(); } }),
    make("b", { text: POINTS[one.name] }), make("span", { class: "point-from", text: `from ${percent(one.threshold)}` }),
    make("span", { class: "point-aim", text: one.aim }), make("span", { text: one.cost }))));
  if (focused) cards.querySelector("input:checked").focus();
};

const showInks = () => {
  const { result } = judged;
  const several = result.layers.length > 1;
  part("inks").replaceChildren(...result.inks.map((url, place) => {
    if (place === result.layers.length) return inkRow(url, "the questioned signature", "Questioned");
    const words = `Reference ${place + 1}, ${percent(result.similarities[place])} similar`;
    if (!several) return inkRow(url, "reference 1", words);
    const choose = make("label", { class: "segment" }, make("input", { type: "radio", name: "verify-reference", value: place, checked: place === chosen.reference,
      "aria-label": `lay it over this one: reference ${place + 1}`, onchange: () => { chosen.reference = place; showLaid(); } }), make("span", { text: "lay it over this one" }));
    return inkRow(url, `reference ${place + 1}`, words, choose);
  }));
  showLaid();
};

const showLaid = () => {
  const name = judged.result.layers.length > 1 ? `reference ${chosen.reference + 1}` : "reference";
  part("laid").replaceChildren(overlay(judged.result.layers[chosen.reference], { reference: name, questioned: "questioned" }, "layer"));
  part("why").setAttribute("aria-pressed", "false");
  part("legend").hidden = part("sees").hidden = part("parts").hidden = true;
  part("sees").replaceChildren();
};

part("why").addEventListener("click", guard(element, pressed(part("why"), async () => {
  const why = part("why");
  const opened = why.getAttribute("aria-pressed") === "true";
  if (opened) return showLaid();
  const { asked } = judged;
  const reference = chosen.reference;
  const found = await inTime(ask(server, "verify_why", { ...asked, which: reference }),
    () => judged?.asked === asked && chosen.reference === reference);
  if (!found) return;
  const names = [`reference ${reference + 1}`, "the questioned signature"];
  part("sees").replaceChildren(...found.sees.map((url, place) => make("figure", { class: "sees" },
    make("div", { class: "sees-frame" }, window.oneLook.seen(url, `What the network sees of ${names[place]}`),
      make("img", { class: "why", src: found.maps[place], alt: `Ink of ${names[place]} that speaks for and against the same hand` })),
    make("figcaption", { text: `${place ? "Questioned" : `Reference ${reference + 1}`}, as the network sees it` }))));
  part("parts").textContent = found.parts;
  why.setAttribute("aria-pressed", "true");
  part("legend").hidden = part("sees").hidden = false;
  part("parts").hidden = !found.parts;
})));

const { sheet: referencePad, forget } = gather({ place: "reference", label: "Reference", name: "reference", wide: true, hint: "Sign here, or drop pictures",
  manyFrom: 1, add, changed: () => { showReferences(); return verify(); }, onChange: () => verify() });
const questionedPad = pad({ label: "Questioned", name: "questioned", wide: true, hint: "The one in question", onRefusal: refuse, onChange: () => verify() });
part("questioned").replaceWith(questionedPad.node);

part("reset").addEventListener("click", () => {
  forget();
  references = [];
  judged = null;
  for (const name of ["references", "inks", "laid", "parts", "sees"]) part(name).replaceChildren(); // nothing stays, not even hidden
  referencePad.clear();
  questionedPad.clear();
  referencePad.sheet.focus({ preventScroll: true });
});
