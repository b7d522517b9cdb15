// What is pasted, dropped or undone somewhere on the page, and the sheet that it is meant for.

let pads = []; // every sheet of the page
let last = null; // the one that was used last

// A camera is on only while its sheet is in sight: not behind another tab or window, not on a sheet that is gone.
const watchCameras = () => {
  for (const pad of pads) if (document.hidden || !pad.sheet.offsetParent) pad.stopCamera();
  pads = pads.filter((pad) => pad.node.isConnected);
};
const sight = new ResizeObserver(watchCameras);
document.addEventListener("visibilitychange", watchCameras);

const visible = () => pads.filter((pad) => pad.node.offsetParent);
const takingPictures = () => visible().filter((pad) => pad.takesPictures);
const focusedOf = (places) => places.find((pad) => pad.node.contains(document.activeElement));
const isText = (node) => node?.matches?.("input:not([type=radio], [type=file], [type=checkbox]), textarea");
const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");

export const register = (pad) => {
  pads.push(pad);
  sight.observe(pad.sheet);
  pad.node.addEventListener("pointerdown", () => (last = pad));
};

document.addEventListener("paste", (event) => {
  const image = [...(event.clipboardData?.files ?? [])].find((file) => file.type.startsWith("image/"));
  const places = takingPictures();
  if (!image || !places.length) return;
  event.preventDefault();
  const target = focusedOf(places) ?? places.find((pad) => pad.isOpen());
  if (target) return target.take(image);
  const which = { 1: "The sheet is full", 2: "Both sheets are full" }[places.length] ?? "All sheets are full";
  places[0].note(`${which}; clear one first, then paste again.`);
});

// A file that misses every sheet would replace the page by the picture.
document.addEventListener("dragover", (event) => {
  if (!holdsFiles(event) || event.defaultPrevented) return;
  event.preventDefault();
  event.dataTransfer.dropEffect = "none";
});
document.addEventListener("drop", (event) => {
  if (!holdsFiles(event) || event.defaultPrevented) return;
  event.preventDefault();
  takingPictures()[0]?.note("The file was dropped beside the sheet; drop it on one.");
});

document.addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() !== "z" || !(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey) return;
  if (isText(event.target)) return;
  const target = focusedOf(visible()) ?? (visible().includes(last) ? last : null);
  if (target?.undo()) event.preventDefault();
});
