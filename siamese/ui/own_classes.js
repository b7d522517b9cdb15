// The tab "Your own classes". The set lives in this page; the server keeps no copy of it.
const { make, pad, ask, say, guard, percent, readAsUrl } = window.oneLook;
const part = (name) => element.querySelector(`[data-${name}]`);
const [LEAST, MOST] = [2, 50];
let classes = []; // {name, picture}
let latest = 0;

const refuse = (sentence) => say(element, sentence, true);
const stem = (file) => file.name.replace(/\.[^.]*$/, "").replaceAll("_", " ").slice(0, 60);

const newPad = pad({ label: "A new class", name: "class", hint: "One picture of it", onRefusal: refuse,
  onChange: (value) => { part("add").disabled = !value; },
  onFile: (file) => { if (!part("name").value) part("name").value = stem(file); },
  onMany: (url, file) => add(url, stem(file)) });
const queryPad = pad({ label: "A query", name: "query", hint: "Which class is this?", onRefusal: refuse, onChange: () => rank() });
part("new").replaceWith(newPad.node);
part("query").replaceWith(queryPad.node);

const freeName = (wanted) => {
  const taken = new Set(classes.map((one) => one.name));
  const base = wanted.trim() || `Class ${classes.length + 1}`;
  let name = base;
  for (let number = 2; taken.has(name); number++) name = `${base} ${number}`;
  return name;
};

const add = guard(element, async (url, name) => {
  if (!url) return;
  if (classes.length >= MOST) throw new window.oneLook.Refusal(`There are ${MOST} classes already; please remove one first.`);
  const { picture } = await ask(server, "own_add", { picture: url });
  classes.push({ name: freeName(name), picture });
  newPad.clear(false);
  part("add").disabled = true;
  part("name").value = "";
  show();
  rank();
});

const show = () => {
  part("count").textContent = classes.length ? `${classes.length} ${classes.length === 1 ? "class" : "classes"}` : "No classes yet";
  part("export").disabled = part("empty").disabled = !classes.length;
  part("shelf").replaceChildren(...classes.map((one, place) => make("div", { class: "shelf-item", role: "listitem" },
    make("img", { src: one.picture, alt: "" }),
    make("input", { type: "text", value: one.name, maxlength: 60, "aria-label": `Name of class ${place + 1}`,
      onchange: (event) => { one.name = event.target.value.trim() || one.name; event.target.value = one.name; rank(); } }),
    make("button", { type: "button", class: "remove", text: "×", "aria-label": `Remove ${one.name}`,
      onclick: () => { classes.splice(place, 1); show(); rank(); part("add").focus(); } }))));
};

const rank = guard(element, async () => {
  const query = queryPad.value();
  const turn = ++latest;
  if (!query || classes.length < LEAST) {
    part("answer").hidden = true;
    if (query) say(element, `Add ${classes.length ? "one more class" : "two classes"} and the query is ranked.`);
    else say(element, classes.length >= LEAST ? "Now a query." : "");
    return;
  }
  say(element, "Looking …");
  const asked = classes.slice();
  let result;
  try {
    result = await ask(server, "own_rank", { classes: asked, query });
  } catch (error) {
    if (turn === latest) part("answer").hidden = true;
    throw error;
  }
  if (turn !== latest) return;
  say(element, "");
  part("answer").hidden = false;
  part("verdict").textContent = result.none_of_these ? "None of these" : asked[result.best].name;
  part("score").textContent = result.none_of_these
    ? `the nearest, ${asked[result.best].name}, is ${percent(result.similarities[result.best])} similar`
    : `${percent(result.similarities[result.best])} similar`;
  const order = asked.map((_, place) => place).sort((a, b) => result.similarities[b] - result.similarities[a]);
  part("ranking").replaceChildren(...order.slice(0, 10).map((place) => make("li", {},
    make("img", { src: asked[place].picture, alt: "" }),
    make("span", { class: "rank-name", text: asked[place].name }),
    make("span", { class: "rank-bar", "aria-hidden": "true" }, make("span", { style: `width:${(result.similarities[place] * 100).toFixed(1)}%` }), make("i", { style: `left:${(result.threshold * 100).toFixed(1)}%` })),
    make("span", { class: "rank-share", text: percent(result.similarities[place]) }))));
  part("note").textContent = `Below ${percent(result.threshold)}, the red line, a query counts as none of these.${order.length > 10 ? " The ten nearest are shown." : ""}`;
});

part("add").addEventListener("click", () => add(newPad.value(), part("name").value));
part("name").addEventListener("keydown", (event) => { if (event.key === "Enter") add(newPad.value(), part("name").value); });
part("empty").addEventListener("click", () => { classes = []; show(); rank(); part("add").focus(); });
part("export").addEventListener("click", guard(element, async () => {
  const { zip } = await ask(server, "own_export", { classes });
  make("a", { href: zip, download: "one-look-classes.zip" }).click();
  say(element, `${classes.length} classes were exported.`);
}));
part("import").addEventListener("change", guard(element, async (event) => {
  const [file] = event.target.files;
  event.target.value = "";
  if (!file) return;
  if (file.size > 8 << 20) throw new window.oneLook.Refusal("The ZIP is larger than 8 MB.");
  const brought = (await ask(server, "own_import", { zip: await readAsUrl(file.slice(0, file.size, "application/zip")) })).classes;
  if (classes.length + brought.length > MOST) throw new window.oneLook.Refusal(`That would be more than ${MOST} classes; please remove some first.`);
  for (const one of brought) classes.push({ name: freeName(one.name), picture: one.picture });
  show();
  await rank();
  say(element, `${brought.length} classes were imported.`);
}));
part("example").addEventListener("click", guard(element, async () => {
  const example = await ask(server, "own_example");
  classes = example.classes;
  show();
  queryPad.show(example.query);
}));
show();
