// The tab "Your own classes". The set lives in this page; the server keeps no copy of it.
const [LEAST, MOST] = [2, 50];
let classes = []; // {name, picture}
let given = ""; // the name that a file gave to the new class

const counted = (many) => `${many} ${many === 1 ? "class" : "classes"}`;
const stem = (file) => file.name.replace(/\.[^.]*$/, "").replaceAll("_", " ").slice(0, 60);

const freeName = (wanted) => {
  const taken = new Set(classes.map((one) => one.name));
  const base = wanted.trim() || `Class ${classes.length + 1}`;
  let name = base;
  for (let number = 2; taken.has(name); number++) name = `${base} ${number}`;
  return name;
};

const add = async (url, file, isWanted) => {
  if (classes.length >= MOST) throw new Refusal(`There are ${MOST} classes already; please remove one first.`);
  const name = file ? stem(file) : part("name").value;
  const kept = await inTime(ask(server, "own_add", { picture: url }), isWanted);
  if (!kept) return;
  classes.push({ name: freeName(name), picture: kept.picture });
  if (!file && part("name").value === name) part("name").value = "";
};

// Classes that come together stand behind those that are there already.
const bring = (brought) => {
  if (classes.length + brought.length > MOST) throw new Refusal(`That would be more than ${MOST} classes; please remove some first.`);
  for (const one of brought) classes.push({ name: freeName(one.name), picture: one.picture });
  show();
};

const show = () => {
  part("count").textContent = classes.length ? counted(classes.length) : "No classes yet";
  part("export").disabled = part("empty").disabled = !classes.length;
  part("shelf").replaceChildren(...classes.map((one, place) => make("div", { class: "shelf-item", role: "listitem" },
    make("img", { src: one.picture, alt: "" }),
    make("input", { type: "text", value: one.name, maxlength: 60, "aria-label": `Name of class ${place + 1}`,
      onchange: (event) => { one.name = event.target.value.trim() || one.name; event.target.value = one.name; rank(); } }),
    removeButton(`Remove ${one.name}`, part("shelf"), newPad.sheet, () => { classes.splice(place, 1); show(); rank(); }))));
};

const rank = answering("own_rank", () => {
  const query = queryPad.value();
  if (query && classes.length >= LEAST) return { classes: classes.slice(), query };
  if (query) return `Add ${classes.length ? "one more class" : "two classes"} and the query is ranked.`;
  return classes.length >= LEAST ? "Now a query." : "";
}, (result, { classes: asked }) => {
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

const { sheet: newPad, addOne, forget, wantedNow } = gather({ place: "new", label: "A new class", name: "class", hint: "One picture of it",
  add, changed: () => { show(); return rank(); },
  onFile: (file) => { if (["", given].includes(part("name").value)) part("name").value = given = stem(file); } });
const queryPad = pad({ label: "A query", name: "query", hint: "Which class is this?", onRefusal: refuse, onChange: () => rank() });
part("query").replaceWith(queryPad.node);

part("name").addEventListener("keydown", (event) => { if (event.key === "Enter") addOne(); });
part("empty").addEventListener("click", () => { forget(); classes = []; show(); rank(); newPad.sheet.focus({ preventScroll: true }); });
part("export").addEventListener("click", guard(element, async () => {
  const many = classes.length;
  const { zip } = await ask(server, "own_export", { classes });
  make("a", { href: zip, download: "one-look-classes.zip" }).click();
  say(element, `${counted(many)} ${many === 1 ? "was" : "were"} exported.`);
}));
part("import").addEventListener("change", guard(element, async (event) => {
  const [file] = event.target.files;
  event.target.value = "";
  if (!file) return;
  if (file.size > 8 << 20) throw new Refusal("The ZIP is larger than 8 MB.");
  const zip = window.oneLook.readAsUrl(file.slice(0, file.size, "application/zip"));
  const brought = await inTime(zip.then((url) => ask(server, "own_import", { zip: url })), wantedNow());
  if (!brought) return;
  bring(brought.classes);
  await rank();
  say(element, `${counted(brought.classes.length)} ${brought.classes.length === 1 ? "was" : "were"} imported.`);
}));
part("example").addEventListener("click", guard(element, async () => {
  const example = await inTime(ask(server, "own_example"), wantedNow());
  if (!example) return;
  bring(example.classes);
  if (queryPad.value()) await rank();
  else queryPad.show(example.query);
}));
show();
