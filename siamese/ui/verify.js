// The tab "Verify a signature": references are collected in this page and sent only to be judged.
const { make, pad, ask, say, guard, percent, scale } = window.oneLook;
const part = (name) => element.querySelector(`[data-${name}]`);
const MOST = 10;
const verdicts = { genuine: "Genuine", forgery: "Not genuine", unsure: "Too close to call" };
let references = []; // {file: what was brought, ink: what was found}
let latest = 0;

const refuse = (sentence) => say(element, sentence, true);
const referencePad = pad({ label: "Reference", name: "reference", wide: true, hint: "Sign here, or drop a picture", onRefusal: refuse,
  onMany: (url) => add(url), onChange: (value) => { part("add").disabled = !value; verify(); } });
const questionedPad = pad({ label: "Questioned", name: "questioned", wide: true, hint: "The one in question", onRefusal: refuse, onChange: () => verify() });
part("reference").replaceWith(referencePad.node);
part("questioned").replaceWith(questionedPad.node);

const add = guard(element, async (value) => {
  if (!value) return;
  const { picture } = await ask(server, "verify_reference", { picture: value, count: references.length });
  references.push({ file: value, ink: picture });
  referencePad.clear(false);
  part("add").disabled = true;
  showReferences();
  verify();
});

const showReferences = () => {
  part("references").replaceChildren(...references.map((one, place) => make("figure", { role: "listitem" },
    make("img", { src: one.ink, alt: `Ink of reference ${place + 1}` }),
    make("figcaption", { text: `Reference ${place + 1}` }),
    make("button", { type: "button", class: "remove", text: "×", "aria-label": `Remove reference ${place + 1}`,
      onclick: () => { references.splice(place, 1); showReferences(); verify(); part("add").focus(); } }))));
};

const verify = guard(element, async () => {
  if (referencePad.isDrawing() || questionedPad.isDrawing()) return; // the end of the stroke asks again
  const questioned = questionedPad.value();
  const pending = referencePad.value(); // one on the sheet counts as well: nobody should have to press "Add" for one
  const brought = [...references.map((one) => one.file), ...(pending && references.length < MOST ? [pending] : [])];
  const turn = ++latest;
  if (!questioned || !brought.length) {
    part("answer").hidden = true;
    if (brought.length) say(element, "Now the one in question.");
    else say(element, questioned ? "Now at least one reference." : "");
    return;
  }
  say(element, "Looking …");
  let result;
  try {
    result = await ask(server, "verify_signature", { references: brought, questioned });
  } catch (error) {
    if (turn === latest) part("answer").hidden = true;
    throw error;
  }
  if (turn !== latest) return;
  say(element, "");
  part("answer").hidden = false;
  part("answer").dataset.kind = result.verdict;
  part("verdict").textContent = verdicts[result.verdict];
  const count = brought.length === 1 ? "one reference" : `${brought.length} references`;
  part("score").textContent = `${percent(result.score)} similar to ${count}`;
  part("scale").replaceChildren(scale(result.score, result.threshold, "another hand", "the same hand"));
  part("reliability").textContent = result.reliability;
  part("inks").replaceChildren(...result.inks.map((url, place) => {
    const isLast = place === result.inks.length - 1;
    const words = isLast ? "Questioned, as its ink was found" : `Reference ${place + 1}, ${percent(result.similarities[place])} similar`;
    return make("figure", {}, make("img", { src: url, alt: isLast ? "Ink of the questioned picture" : `Ink of reference ${place + 1}` }), make("figcaption", { text: words }));
  }));
});

part("add").addEventListener("click", () => add(referencePad.value()));
part("reset").addEventListener("click", () => {
  references = [];
  showReferences();
  referencePad.clear();
  questionedPad.clear();
});
