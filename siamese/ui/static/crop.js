// Cropping: a rectangle over a picture, dragged with the mouse or a finger, moved and resized with the arrow keys; pieces
// of writing that were found are offered as buttons.
import { make } from "./dom.js";

const START = { left: 0.1, top: 0.1, right: 0.9, bottom: 0.9 };
const LEAST = 0.03; // of a side
const STEP = 0.02; // of a side, for each press of an arrow key
const MARGIN = 0.015; // around a piece that was found
const ARROWS = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

const within = (share) => Math.min(1, Math.max(0, share));

const spanned = ([x0, y0], [x1, y1]) => ({
  left: within(Math.min(x0, x1)),
  top: within(Math.min(y0, y1)),
  right: within(Math.max(x0, x1)),
  bottom: within(Math.max(y0, y1)),
});

export const movedBox = ({ left, top, right, bottom }, x, y) => {
  const across = Math.min(1 - right, Math.max(-left, x));
  const down = Math.min(1 - bottom, Math.max(-top, y));
  return {
    left: left + across,
    top: top + down,
    right: right + across,
    bottom: bottom + down,
  };
};

export const resizedBox = (box, x, y) => ({
  ...box,
  right: Math.min(1, Math.max(box.left + LEAST, box.right + x)),
  bottom: Math.min(1, Math.max(box.top + LEAST, box.bottom + y)),
});

export const withMargin = ({ left, top, right, bottom }) => ({
  left: within(left - MARGIN),
  top: within(top - MARGIN),
  right: within(right + MARGIN),
  bottom: within(bottom + MARGIN),
});

// Boxes from the left to the right, row by row.
export const inReadingOrder = (boxes) => {
  const rows = [];
  for (const box of [...boxes].sort((a, b) => a.top - b.top)) {
    const row = rows.find(([first]) => box.top < (first.top + first.bottom) / 2);
    if (row) row.push(box);
    else rows.push([box]);
  }
  return rows.flatMap((row) => row.sort((a, b) => a.left - b.left));
};

const isLarge = (box) => box.right - box.left >= LEAST && box.bottom - box.top >= LEAST;

// `onUse(box)` is given the part to keep in shares of the picture's sides, `onCancel()` nothing. Returns {frame, tools,
// open(image, boxes), close(), isOpen()}: `frame` goes over the picture, `tools` below it; `boxes` are pieces of writing.
export const cropper = ({ label, onUse, onCancel }) => {
  const box = make("div", {
    class: "crop-box",
    tabindex: 0,
    role: "group",
    "aria-label": `${label}: the part to keep. Arrow keys move it, with Shift they resize it, Enter keeps it, Escape cancels.`,
  });
  for (const corner of ["nw", "ne", "sw", "se"]) box.append(make("i", { class: `crop-corner ${corner}` }));
  const regions = make("div", { class: "crop-regions" });
  const frame = make("div", { class: "crop", hidden: true }, box, regions);
  const keep = make("button", {
    type: "button",
    class: "tool chosen",
    text: "Keep this part",
  });
  const cancel = make("button", {
    type: "button",
    class: "tool",
    text: "Cancel",
  });
  const tools = make("div", { class: "pad-tools", hidden: true }, keep, cancel);
  let part = START;
  let image = null;
  let drag = null; // {pointer, from: the place of the press, fixed: corner that stays, or start: the box that moves}

  const show = () => {
    for (const side of ["left", "top"]) box.style[side] = `${100 * part[side]}%`;
    box.style.width = `${100 * (part.right - part.left)}%`;
    box.style.height = `${100 * (part.bottom - part.top)}%`;
  };

  // Over the picture itself, which fills its element in one direction only.
  const fit = () => {
    if (!image) return;
    const style = getComputedStyle(image);
    const [room, height] = [
      image.clientWidth - 2 * parseFloat(style.paddingLeft),
      image.clientHeight - 2 * parseFloat(style.paddingTop),
    ];
    const scale = Math.min(room / image.naturalWidth, height / image.naturalHeight);
    const [shownWidth, shownHeight] = [image.naturalWidth * scale, image.naturalHeight * scale];
    Object.assign(frame.style, {
      left: `${(image.clientWidth - shownWidth) / 2}px`,
      top: `${(image.clientHeight - shownHeight) / 2}px`,
      width: `${shownWidth}px`,
      height: `${shownHeight}px`,
    });
  };
  const sizes = new ResizeObserver(fit);

  const close = () => {
    frame.hidden = tools.hidden = true;
    regions.replaceChildren();
    image = drag = null;
    sizes.disconnect();
  };
  const use = () => onUse(part);

  const place = (event) => {
    const at = frame.getBoundingClientRect();
    return [(event.clientX - at.left) / at.width, (event.clientY - at.top) / at.height];
  };

  frame.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || drag || event.target.closest("button")) return;
    event.preventDefault();
    frame.setPointerCapture(event.pointerId);
    const from = place(event);
    const corner = event.target.classList.contains("crop-corner") && event.target.classList[1];
    if (corner)
      drag = {
        fixed: [corner[1] === "w" ? part.right : part.left, corner[0] === "n" ? part.bottom : part.top],
      };
    else if (box.contains(event.target) && part !== START) drag = { start: part };
    else drag = { fixed: from };
    Object.assign(drag, { from, pointer: event.pointerId, before: part });
  });
  frame.addEventListener("pointermove", (event) => {
    if (!drag || event.pointerId !== drag.pointer) return;
    const at = place(event);
    part = drag.start
      ? movedBox(drag.start, at[0] - drag.from[0], at[1] - drag.from[1])
      : spanned(drag.fixed, [within(at[0]), within(at[1])]);
    show();
  });
  const lift = (event) => {
    if (!drag || event.pointerId !== drag.pointer) return;
    if (!isLarge(part)) part = drag.before; // a press without movement
    drag = null;
    show();
    box.focus({ preventScroll: true });
  };
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) frame.addEventListener(end, lift);

  box.addEventListener("keydown", (event) => {
    const arrow = ARROWS[event.key];
    if (arrow) {
      const [x, y] = arrow.map((direction) => direction * STEP);
      part = event.shiftKey ? resizedBox(part, x, y) : movedBox(part, x, y);
      show();
    } else if (event.key === "Enter") use();
    else return;
    event.preventDefault();
  });
  for (const node of [frame, tools])
    node.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      onCancel();
    });
  keep.addEventListener("click", use);
  cancel.addEventListener("click", () => onCancel());

  const open = (picture, found = []) => {
    const boxes = inReadingOrder(found);
    image = picture;
    part = boxes.length ? withMargin(boxes[0]) : START;
    regions.replaceChildren(
      ...boxes.map((one, index) => {
        const { left, top, right, bottom } = withMargin(one);
        const attributes = {
          type: "button",
          class: "crop-region",
          "aria-label": `${label}: take piece ${index + 1} of ${boxes.length}`,
          style: `left:${100 * left}%;top:${100 * top}%;width:${100 * (right - left)}%;height:${100 * (bottom - top)}%`,
          onclick: () => onUse(withMargin(one)),
        };
        return make("button", attributes, make("span", { text: index + 1 }));
      }),
    );
    cancel.textContent = boxes.length ? "Use the whole picture" : "Cancel";
    frame.hidden = tools.hidden = false;
    sizes.observe(image);
    fit();
    show();
    (regions.firstElementChild ?? box).focus({ preventScroll: true });
  };

  return { frame, tools, open, close, isOpen: () => !frame.hidden };
};
