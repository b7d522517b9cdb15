// The tab "Compare": two pads, an answer by itself when both hold something.
const { scale, seen } = window.oneLook;
const places = element.querySelectorAll("[data-pad]");
let shown = null; // the pictures that the newest answer is about

const pads = ["First picture", "Second picture"].map((label, index) => {
  const one = pad({ label, name: `picture-${index + 1}`, onChange: () => compare(), onRefusal: refuse });
  places[index].replaceWith(one.node);
  return one;
});

const verdicts = { same: "The same", different: "Different", unsure: "Too close to call" };

const compare = answering("compare_pictures", () => {
  if (pads.some((one) => one.isDrawing())) return null; // the end of the stroke asks again
  const [a, b] = pads.map((one) => one.value());
  if (a && b) return { a, b };
  return a || b ? "One more picture, and the answer comes by itself." : "";
}, (result, asked) => {
  shown = asked;
  part("answer").dataset.kind = result.verdict;
  part("verdict").textContent = verdicts[result.verdict];
  part("score").textContent = `${percent(result.similarity)} similar`;
  part("scale").replaceChildren(scale(result.similarity, result.threshold));
  part("reliability").textContent = result.reliability;
  part("sees").replaceChildren(
    ...result.sees.map((url, i) => make("figure", { class: "sees" },
      make("div", { class: "sees-frame" }, seen(url, `What the network sees of the ${i ? "second" : "first"} picture`)),
      make("figcaption", { text: i ? "Second, as the network sees it" : "First, as the network sees it" }))),
  );
  hideWhy();
});

const hideWhy = () => {
  element.querySelectorAll(".why").forEach((map) => map.remove());
  part("why").setAttribute("aria-pressed", "false");
  part("legend").hidden = true;
};

part("why").addEventListener("click", guard(element, pressed(part("why"), async () => {
  const why = part("why");
  if (why.getAttribute("aria-pressed") === "true") return hideWhy();
  const asked = shown;
  const found = await inTime(ask(server, "explain_pictures", asked), () => shown === asked);
  if (!found) return;
  element.querySelectorAll(".sees-frame").forEach((frame, i) => frame.append(make("img", { class: "why", src: found.maps[i], alt: `Ink of the ${i ? "second" : "first"} picture that speaks for and against` })));
  why.setAttribute("aria-pressed", "true");
  part("legend").hidden = false;
})));

part("clear").addEventListener("click", () => {
  pads.forEach((one) => one.clear());
});

guard(element, async () => {
  const { examples } = await ask(server, "compare_examples");
  const list = part("examples");
  for (const example of examples) {
    list.append(make("button", { type: "button", class: "example", "aria-label": `Example: ${example.caption}`,
      onclick: () => { pads[0].show(example.a); pads[1].show(example.b); } },
      make("span", { class: "example-pair", "aria-hidden": "true" }, make("img", { src: example.a, alt: "" }), make("img", { src: example.b, alt: "" })),
      make("span", { text: example.caption })));
  }
})();
