// The tab "Your own classes". The set lives in this browser; the server keeps no copy of it.
import { loadClasses, saveClasses } from "./class_store.js";
import { confirmed } from "./confirm.js";
import { guard, isRefused, make, percent, say } from "./dom.js";
import { pad } from "./pad.js";
import { readAsUrl } from "./picture.js";
import { showRemarks } from "./remarks.js";
import { inTime, UserError } from "./server.js";
import { gather, removeButton, tabOf } from "./tab.js";

const [LEAST, MOST] = [2, 50];
const MOST_RANKED = 10;
const MAX_ZIP_BYTES = 8 << 20;

const counted = (many) => `${many} ${many === 1 ? "class" : "classes"}`;
const stem = (file) =>
  file.name
    .replace(/\.[^.]*$/, "")
    .replaceAll("_", " ")
    .slice(0, 60);

export const ownClassesTab = (element, server) => {
  const tab = tabOf(element, server);
  const { part, refuse, answering, ask, findPieces, reveal } = tab;
  let classes = []; // {name, picture, isExample}
  let given = ""; // the name that a file gave to the new class

  const freeName = (wanted) => {
    const taken = new Set(classes.map((one) => one.name));
    const base = wanted.trim() || `Class ${classes.length + 1}`;
    let name = base;
    for (let number = 2; taken.has(name); number++) name = `${base} ${number}`;
    return name;
  };

  const show = () => {
    part("count").textContent = classes.length ? counted(classes.length) : "No classes yet";
    part("export").disabled = part("empty").disabled = !classes.length;
    part("shelf").replaceChildren(
      ...classes.map((one, place) =>
        make(
          "div",
          { class: "shelf-item", role: "listitem" },
          make("img", { src: one.picture, alt: "" }),
          make("input", {
            type: "text",
            value: one.name,
            maxlength: 60,
            "aria-label": `Name of class ${place + 1}`,
            onchange: (event) => {
              one.name = event.target.value.trim() || one.name;
              event.target.value = one.name;
              keep();
              rank();
            },
          }),
          removeButton(`Remove ${one.name}`, part("shelf"), newPad.sheet, () => {
            classes.splice(place, 1);
            show();
            keep();
            rank();
          }),
        ),
      ),
    );
  };

  let keeping = Promise.resolve(); // one after the other: what was asked for last stays
  const keep = () => {
    const now = classes.map((one) => ({ ...one }));
    keeping = keeping.then(async () => {
      const isKept = await saveClasses(now);
      part("kept").textContent = isKept
        ? "Your classes are kept in this browser on this device, even after you close the page. The server keeps no copy."
        : "This browser cannot keep your classes between visits; export the set before you leave.";
    });
  };

  const add = async (url, file, isWanted) => {
    if (classes.length >= MOST) throw new UserError(`There are ${MOST} classes already; please remove one first.`);
    const name = file ? stem(file) : part("name").value;
    const kept = await inTime(ask("own_add", { picture: url }), isWanted);
    if (!kept) return;
    classes.push({ name: freeName(name), picture: kept.picture });
    if (!file && part("name").value === name) part("name").value = "";
  };

  // Classes that come together stand behind those that are there already.
  const bring = (brought, isExample = false) => {
    if (classes.length + brought.length > MOST)
      throw new UserError(`That would be more than ${MOST} classes; please remove some first.`);
    for (const one of brought)
      classes.push({
        name: freeName(one.name),
        picture: one.picture,
        isExample,
      });
    show();
    keep();
  };

  const rank = answering(
    "own_rank",
    () => {
      const query = queryPad.value();
      if (query && classes.length >= LEAST)
        return {
          classes: classes.map(({ name, picture }) => ({ name, picture })),
          query,
        };
      if (query) return `Add ${classes.length ? "one more class" : "two classes"}, and this picture is classified.`;
      return classes.length >= LEAST ? "Now add a picture to classify." : "";
    },
    (result, { classes: asked }) => {
      const best = asked[result.best];
      const share = percent(result.similarities[result.best]);
      const order = asked.map((_, place) => place).sort((a, b) => result.similarities[b] - result.similarities[a]);
      const level = order.filter((place) => percent(result.similarities[place]) === share && place !== result.best);
      const others = level.map((place) => asked[place].name).join(" and ");
      part("verdict").textContent = result.none_of_these ? "None of these" : best.name;
      part("score").textContent = result.none_of_these
        ? `the nearest, ${best.name}, is ${share} similar`
        : `${share} similar${others && `, and so ${level.length > 1 ? "are" : "is"} ${others}`}`;
      part("ranking").replaceChildren(
        ...order.slice(0, MOST_RANKED).map((place) =>
          make(
            "li",
            {},
            make("img", { src: asked[place].picture, alt: "" }),
            make("span", { class: "rank-name", text: asked[place].name }),
            make(
              "span",
              { class: "rank-bar", "aria-hidden": "true" },
              make("span", {
                style: `width:${(result.similarities[place] * 100).toFixed(1)}%`,
              }),
              make("i", {
                style: `left:${(result.threshold * 100).toFixed(1)}%`,
              }),
            ),
            make("span", {
              class: "rank-share",
              text: percent(result.similarities[place]),
            }),
          ),
        ),
      );
      const nearest = order.length > MOST_RANKED ? ` The ${MOST_RANKED} nearest are shown.` : "";
      part("note").textContent =
        `Below ${percent(result.threshold)}, the red line, a picture counts as none of these.${nearest}`;
      showRemarks(part("remarks"), result.remarks);
    },
  );

  const {
    sheet: newPad,
    addSheet,
    forget,
    wantedNow,
  } = gather(tab, {
    place: "new",
    label: "A new class",
    name: "class",
    hint: "Draw one, or drop a picture",
    find: findPieces,
    add,
    changed: () => {
      show();
      keep();
      return rank();
    },
    onFile: (file) => {
      if (["", given].includes(part("name").value)) part("name").value = given = stem(file);
    },
  });
  const queryPad = pad({
    label: "To classify",
    name: "query",
    hint: "Which class is this?",
    find: findPieces,
    onRefusal: refuse,
    onChange: () => rank(),
  });
  part("query").replaceWith(queryPad.node);

  part("name").addEventListener("keydown", (event) => {
    if (event.key === "Enter") addSheet();
  });

  const empty = async () => {
    const question = `Remove ${classes.length === 1 ? "the class" : `all ${counted(classes.length)}`} from this browser?`;
    if (!(await confirmed(element.querySelector(".panel"), question, "Remove"))) return;
    forget();
    classes = [];
    queryPad.clear(false);
    show();
    keep();
    rank();
    newPad.sheet.focus({ preventScroll: true });
  };
  part("empty").addEventListener("click", guard(element, empty));

  const exportSet = async () => {
    const many = classes.length;
    const { zip } = await ask("own_export", {
      classes: classes.map(({ name, picture }) => ({ name, picture })),
    });
    make("a", { href: zip, download: "one-look-classes.zip" }).click();
    say(element, `${counted(many)} ${many === 1 ? "was" : "were"} exported.`);
  };
  part("export").addEventListener("click", guard(element, exportSet));

  const importSet = async (event) => {
    const [file] = event.target.files;
    event.target.value = "";
    if (!file) return;
    if (file.size > MAX_ZIP_BYTES) throw new UserError("The ZIP is larger than 8 MB.");
    const zip = readAsUrl(file.slice(0, file.size, "application/zip"));
    const brought = await inTime(
      zip.then((url) => ask("own_import", { zip: url })),
      wantedNow(),
    );
    if (!brought) return;
    const before = classes.length;
    bring(brought.classes);
    await rank();
    const were = brought.classes.length === 1 ? "was" : "were";
    const beside = before ? ` They stand behind the ${before} that were here.` : "";
    const left = brought.left_out
      ? ` A class takes one picture: ${brought.left_out} more in the same folders were left out.`
      : "";
    const { refused } = brought;
    const could =
      refused.length === 1 ? "1 picture could not be used." : `${refused.length} pictures could not be used, the first`;
    const unused = refused.length ? ` ${could} ${refused[0]}` : "";
    if (!isRefused(element))
      say(element, `${counted(brought.classes.length)} ${were} imported.${beside}${left}${unused}`);
  };
  part("import").addEventListener("change", guard(element, importSet));

  // In place of the example that was loaded before; the visitor's own classes stay.
  const loadExample = async () => {
    const example = await inTime(ask("own_example"), wantedNow());
    if (!example) return;
    const own = classes.filter((one) => !one.isExample);
    if (own.length + example.classes.length <= MOST) classes = own;
    queryPad.clear(false);
    bring(example.classes, true);
    reveal();
    queryPad.show(example.query);
  };
  part("example").addEventListener("click", guard(element, loadExample));

  const restore = async () => {
    const isWanted = wantedNow();
    const kept = await loadClasses();
    if (isWanted() && kept.length) classes = [...kept, ...classes].slice(0, MOST);
    show();
    if (kept.length) keep();
  };
  show();
  guard(element, restore)();
};
