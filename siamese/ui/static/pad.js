// Sheets that a visitor draws on or brings pictures to.
import { cameraOf } from "./camera.js";
import { cropper } from "./crop.js";
import { make } from "./dom.js";
import { register } from "./intake.js";
import { isLightOnNothing, partOf, pictureUrl, turnedBox, WHOLE } from "./picture.js";
import { inTime, UserError } from "./server.js";
import { isDrawing, paint, strokesUrl } from "./strokes.js";

const SHEET_PX = 420;
const MOST_STEPS = 40; // that can be taken back
const BETWEEN_STROKES_MS = 700; // a character has several; do not answer between them
const BETWEEN_STROKES_DRAWN_MS = 120; // where the answer comes while one draws
const EMPTY = { strokes: [], source: null, turns: 0, crop: WHOLE, url: null };

// The buttons and layers of a sheet.
const build = (options) => {
  const { label } = options;
  const button = (text, does, attributes = {}) =>
    make("button", {
      type: "button",
      class: "tool",
      text,
      "aria-label": `${text}: ${label}, ${does}`,
      ...attributes,
    });
  const canvas = make("canvas", {
    width: SHEET_PX,
    height: SHEET_PX,
    "aria-hidden": "true",
  });
  const picture = make("img", { class: "pad-picture", alt: "", hidden: true });
  const video = make("video", {
    class: "pad-video",
    hidden: true,
    muted: true,
    playsinline: true,
  });
  const hint = make("p", {
    class: "pad-hint",
    text: options.hint || "Draw here, or drop a picture",
  });
  const sheet = make(
    "div",
    {
      class: options.wide ? "pad-sheet wide" : "pad-sheet",
      tabindex: 0,
      role: "group",
      "aria-label": `${label}: a sheet to draw on.${options.drawOnly ? "" : " Paste a picture here, or use the buttons below."}`,
    },
    canvas,
    picture,
    video,
    hint,
  );
  const input = make("input", {
    type: "file",
    accept: "image/*",
    multiple: Boolean(options.onMany),
    class: "visually-hidden",
    "aria-label": `Upload: ${label}, choose a picture file`,
    name: options.name,
  });
  const upload = make("label", { class: "tool" }, input, make("span", { text: "Upload" }));
  const camera = button("Camera", "photograph it");
  const crop = button("Crop", "keep a part of the picture", { hidden: true });
  const turn = button("Turn", "by a quarter to the right", { hidden: true });
  const undo = button("Undo", "take back the last step", {
    disabled: true,
    title: "Ctrl+Z",
  });
  const clear = button("Clear", "empty the sheet", { disabled: true });
  const brought = options.drawOnly ? [] : [upload, camera, crop, turn];
  const tools = make("div", { class: "pad-tools" }, ...brought, undo, clear);
  const note = make("p", { class: "pad-note", role: "status" });
  const node = make("div", { class: "pad" }, make("h3", { class: "pad-label", text: label }), sheet, tools, note);
  return {
    canvas,
    picture,
    video,
    hint,
    sheet,
    input,
    camera,
    crop,
    turn,
    undo,
    clear,
    tools,
    note,
    node,
  };
};

// A sheet to draw on that also takes files, the clipboard and the camera. `options`: label, name, hint, onChange(value),
// onMany(files) for several files at once, onFile(file), onRefusal(sentence), find(url), which gives the pieces of writing
// in a picture, makeRoom(), which puts what is on the sheet elsewhere before something else comes, wide (a signature's
// shape), drawOnly. Returns {node, sheet, take(file), show(url), value(), isDrawing(), isCropping(), isOpen(), undo(), clear(),
// stopCamera(), note(sentence), takesPictures}.
export const pad = (options) => {
  const parts = build(options);
  const { canvas, picture, hint, sheet, input, tools, node } = parts;
  const pen = canvas.getContext("2d");
  const camera = cameraOf(parts.video);
  let now = EMPTY; // what is on the sheet
  let before = []; // what was, newest last
  let stroke = null;
  let pointer = null; // the finger, pen or mouse that draws the stroke
  let newest = 0; // counts what the visitor brings; what comes late does not take the place of anything newer
  let timer = 0;

  const refuse = (sentence) => options.onRefusal?.(sentence);
  const say = (sentence) => (parts.note.textContent = sentence);
  const focusSheet = () => sheet.focus({ preventScroll: true });
  const isShown = () => Boolean(picture.naturalWidth) && !picture.hidden;

  const showTools = () => {
    const cropping = crop.isOpen();
    parts.undo.disabled = before.length === 0;
    parts.clear.disabled = !now.url && now.strokes.length === 0 && !camera.isOn();
    parts.crop.hidden = parts.turn.hidden = !now.url || !isShown();
    hint.hidden = !parts.clear.disabled;
    tools.hidden = cropping;
    node.classList.toggle("cropping", cropping);
  };
  const changed = (delay = 0) => {
    showTools();
    clearTimeout(timer);
    timer = setTimeout(() => options.onChange?.(one.value()), delay);
  };

  const nameCamera = (text, does) => {
    parts.camera.textContent = text;
    parts.camera.setAttribute("aria-label", `${text}: ${options.label}, ${does}`);
    const [stop, stops] = camera.isOn() ? ["Cancel", "switch the camera off"] : ["Clear", "empty the sheet"];
    parts.clear.textContent = stop;
    parts.clear.setAttribute("aria-label", `${stop}: ${options.label}, ${stops}`);
  };
  const stopCamera = () => {
    camera.stop();
    nameCamera("Camera", "photograph it");
  };

  const crop = cropper({
    label: options.label,
    onUse: (box) => edit({ crop: partOf(now.crop, box) }),
    onCancel: () => {
      closeCrop();
      changed();
    },
  });
  sheet.append(crop.frame);
  tools.after(crop.tools);
  const closeCrop = () => {
    if (!crop.isOpen()) return;
    crop.close();
    say("");
    focusSheet();
  };
  const openCrop = (boxes) => {
    crop.open(picture, boxes);
    say(
      boxes?.length
        ? `${boxes.length} pieces of writing were found. Choose one, or drag a rectangle.`
        : "Drag a rectangle around the part to keep.",
    );
    changed();
    sheet.scrollIntoView({ block: "nearest" });
  };

  // Shows what is on the sheet.
  const display = () => {
    paint(pen, now.strokes);
    picture.hidden = !now.url;
    picture.classList.remove("light");
    hint.textContent = options.hint || "Draw here, or drop a picture";
    if (now.url) picture.src = now.url;
    else picture.removeAttribute("src");
    showTools();
  };
  picture.addEventListener("load", () => {
    picture.classList.toggle("light", isLightOnNothing(picture));
    showTools();
  });
  picture.addEventListener("error", () => {
    picture.hidden = true;
    showTools();
    hint.hidden = false;
    hint.textContent = "This file cannot be shown here";
  });

  const remember = (next) => {
    if (now !== next) before = [...before, now].slice(-MOST_STEPS);
    now = next;
  };
  const put = (next) => {
    newest += 1;
    stopCamera();
    closeCrop();
    stroke = null;
    remember(next);
    say("");
    display();
  };
  const replace = (next) => {
    put(next);
    changed();
  };

  const offerPieces = async () => {
    if (!options.find) return;
    const mine = newest;
    const { url } = now;
    try {
      const boxes = await options.find(url);
      if (mine === newest && boxes.length > 1 && isShown()) openCrop(boxes);
    } catch (error) {
      if (mine === newest && error instanceof UserError) refuse(error.message);
    }
  };

  const edit = async (difference) => {
    const mine = ++newest;
    const next = { ...now, ...difference };
    try {
      const url = await inTime(pictureUrl(next.source, next), () => mine === newest);
      if (url) replace({ ...next, url });
    } catch (error) {
      refuse(error.message);
    }
  };

  const take = async (blob) => {
    const mine = ++newest;
    try {
      if (now.url || now.strokes.length) await options.makeRoom?.();
      const url = await inTime(pictureUrl(blob), () => mine === newest);
      if (!url) return;
      replace({ ...EMPTY, source: blob, url });
      offerPieces();
    } catch (error) {
      refuse(error.message);
    }
  };

  const takeAll = async (files) => {
    if (!files.length) return;
    if (options.onMany && files.length > 1) return options.onMany(files);
    options.onFile?.(files[0]);
    await take(files[0]);
    if (files.length > 1) say(`You chose ${files.length} files; this sheet takes one, so it shows the first.`);
  };

  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [
      ((event.clientX - box.left) * canvas.width) / box.width,
      ((event.clientY - box.top) * canvas.height) / box.height,
    ];
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (now.url || camera.isOn() || event.button !== 0 || (stroke && event.pointerId !== pointer)) return;
    event.preventDefault();
    pointer = event.pointerId;
    focusSheet();
    canvas.setPointerCapture(pointer);
    clearTimeout(timer);
    if (!now.strokes.length) canvas.width = Math.round((SHEET_PX * canvas.clientWidth) / canvas.clientHeight); // the sheet's shape
    const begun = [place(event)];
    put({ ...EMPTY, strokes: [...now.strokes, begun] });
    stroke = begun;
    hint.hidden = true;
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!stroke || event.pointerId !== pointer) return;
    for (const point of event.getCoalescedEvents?.() ?? [event]) stroke.push(place(point));
    paint(pen, now.strokes);
    options.onInk?.();
  });
  const lift = (event) => {
    if (!stroke || event.pointerId !== pointer) return;
    stroke = null;
    if (now.strokes.length === 1 && !isDrawing(now.strokes)) put(EMPTY); // a press is no drawing; a dot of an i is
    changed(options.drawOnly ? BETWEEN_STROKES_DRAWN_MS : BETWEEN_STROKES_MS);
  };
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) canvas.addEventListener(end, lift);

  input.addEventListener("change", () => {
    const files = [...input.files];
    input.value = "";
    takeAll(files);
  });
  sheet.addEventListener("dragover", (event) => {
    event.preventDefault();
    sheet.classList.add("over");
  });
  sheet.addEventListener("dragleave", () => sheet.classList.remove("over"));
  sheet.addEventListener("drop", (event) => {
    event.preventDefault();
    sheet.classList.remove("over");
    if (!options.drawOnly) takeAll([...event.dataTransfer.files]);
  });
  parts.camera.addEventListener("click", async () => {
    if (camera.isOn()) {
      const shot = camera.picture();
      if (!shot) return;
      replace({ ...EMPTY, source: shot, url: shot });
      return offerPieces();
    }
    const mine = ++newest;
    try {
      const isWanted = () => mine === newest && !document.hidden && Boolean(sheet.offsetParent);
      if (!(await camera.start(isWanted))) return;
      if (now.url || now.strokes.length) await options.makeRoom?.();
    } catch (error) {
      return refuse(error.message);
    }
    remember(EMPTY);
    display();
    changed();
    nameCamera("Take picture", "photographed as it is now");
  });
  parts.crop.addEventListener("click", () => openCrop());
  parts.turn.addEventListener("click", () =>
    edit({
      turns: (now.turns + 1) % 4,
      crop: now.crop === WHOLE ? WHOLE : turnedBox(now.crop),
    }),
  );
  parts.undo.addEventListener("click", () => {
    one.undo();
    if (parts.undo.disabled) focusSheet();
  });
  parts.clear.addEventListener("click", () => {
    replace(EMPTY);
    focusSheet();
  });

  const one = {
    node,
    sheet,
    takesPictures: !options.drawOnly,
    take,
    note: say,
    show: (url) => replace({ ...EMPTY, source: url, url }),
    // What is judged: nothing while a part of it is being chosen.
    value: () => {
      if (crop.isOpen()) return null;
      return now.url ?? (isDrawing(now.strokes) ? strokesUrl(canvas) : null);
    },
    isDrawing: () => stroke !== null,
    isCropping: () => crop.isOpen(),
    isOpen: () => Boolean(options.makeRoom) || !(now.url || now.strokes.length),
    undo: () => {
      if (!before.length) return false;
      newest += 1;
      stopCamera();
      closeCrop();
      now = before.at(-1);
      before = before.slice(0, -1);
      display();
      changed();
      return true;
    },
    // Empties the sheet for good: nothing of it can be brought back.
    clear: (notify = true) => {
      put(EMPTY);
      before = [];
      clearTimeout(timer);
      showTools();
      if (notify) changed();
    },
    stopCamera: () => {
      if (!camera.isOn()) return;
      stopCamera();
      showTools();
    },
  };
  stopCamera();
  register(one);
  return one;
};
