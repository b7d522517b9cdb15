// The tab "Compare": two pads, an answer by itself when both hold something.
const { make, pad, ask, say, guard, percent, scale, seen } = window.oneLook;
const answer = element.querySelector("[data-answer]");
const verdictLine = element.querySelector("[data-verdict]");
const places = element.querySelectorAll("[data-pad]");
let latest = 0;

const refuse = (sentence) => say(element, sentence, true);
const pads = ["First picture", "Second picture"].map((label, index) => {
  const one = pad({ label, name: `picture-${index + 1}`, onChange: () => compare(), onRefusal: refuse });
  places[index].replaceWith(one.node);
  return one;
});

const verdicts = { same: "The same", different: "Different", unsure: "Too close to call" };

const compare = guard(element, async () => {
  if (pads.some((one) => one.isDrawing())) return; // the end of the stroke asks again
  const [a, b] = pads.map((one) => one.value());
  const turn = ++latest; // an older answer that arrives late is dropped
  if (!a || !b) {
    answer.hidden = true;
    verdictLine.textContent = "";
    say(element, a || b ? "One more picture, and the answer comes by itself." : "");
    return;
  }
  say(element, "Looking …");
  let result;
  try {
    result = await ask(server, "compare_pictures", { a, b });
  } catch (error) {
    if (turn === latest) answer.hidden = true;
    throw error;
  }
  if (turn !== latest) return;
  say(element, "");
  answer.hidden = false;
  answer.dataset.kind = result.verdict;
  verdictLine.textContent = verdicts[result.verdict];
  element.querySelector("[data-score]").textContent = `${percent(result.similarity)} similar`;
  element.querySelector("[data-scale]").replaceChildren(scale(result.similarity, result.threshold));
  element.querySelector("[data-reliability]").textContent = result.reliability;
  element.querySelector("[data-sees]").replaceChildren(
    ...result.sees.map((url, i) => make("figure", { class: "sees" },
      make("div", { class: "sees-frame" }, seen(url, `What the network sees of the ${i ? "second" : "first"} picture`)),
      make("figcaption", { text: i ? "Second, as the network sees it" : "First, as the network sees it" }))),
  );
  const why = element.querySelector("[data-why]");
  why.disabled = false;
  why.setAttribute("aria-pressed", "false");
  element.querySelector("[data-legend]").hidden = true;
});

element.querySelector("[data-why]").addEventListener("click", guard(element, async () => {
  const why = element.querySelector("[data-why]");
  const frames = element.querySelectorAll(".sees-frame");
  const shown = why.getAttribute("aria-pressed") === "true";
  why.setAttribute("aria-pressed", String(!shown));
  element.querySelector("[data-legend]").hidden = shown;
  if (shown) return frames.forEach((frame) => frame.querySelector(".why")?.remove());
  const [a, b] = pads.map((one) => one.value());
  why.disabled = true;
  try {
    const { maps } = await ask(server, "explain_pictures", { a, b });
    frames.forEach((frame, i) => frame.append(make("img", { class: "why", src: maps[i], alt: `Ink of the ${i ? "second" : "first"} picture that speaks for and against` })));
  } finally {
    why.disabled = false;
  }
}));

element.querySelector("[data-swap]").addEventListener("click", () => {
  pads.forEach((one) => one.clear());
});

guard(element, async () => {
  const { examples } = await ask(server, "compare_examples");
  const list = element.querySelector("[data-examples]");
  for (const example of examples) {
    list.append(make("button", { type: "button", class: "example", "aria-label": `Example: ${example.caption}`,
      onclick: () => { pads[0].show(example.a); pads[1].show(example.b); } },
      make("span", { class: "example-pair", "aria-hidden": "true" }, make("img", { src: example.a, alt: "" }), make("img", { src: example.b, alt: "" })),
      make("span", { text: example.caption })));
  }
})();
