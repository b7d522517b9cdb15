// Drawings as the page shows them.
import { make } from "./dom.js";
import { UserError } from "./server.js";

const loadImage = (url) =>
  new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new UserError("This browser cannot show the picture."));
    image.src = url;
  });

// A drawing as smooth ink without paper, large and centred on its tile; the theme decides both colours.
export const drawInk = async (canvas, url, side = 315) => {
  const image = await loadImage(url);
  const small = make("canvas", { width: image.width, height: image.height });
  const look = small.getContext("2d", { willReadFrequently: true });
  look.drawImage(image, 0, 0);
  const seen = look.getImageData(0, 0, image.width, image.height).data;
  let [left, top, right, bottom] = [image.width, image.height, 0, 0];
  for (let i = 0; i < image.width * image.height; i++) {
    if (seen[4 * i] > 127) continue;
    const [x, y] = [i % image.width, Math.floor(i / image.width)];
    [left, right, top, bottom] = [Math.min(left, x), Math.max(right, x), Math.min(top, y), Math.max(bottom, y)];
  }
  if (right < left) [left, top, right, bottom] = [0, 0, image.width, image.height];
  const extent = Math.max(right - left + 1, bottom - top + 1, image.width * 0.58); // a small character stays smaller
  const scale = (side * 0.8) / extent;
  canvas.width = canvas.height = side;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.fillStyle = "white";
  pen.fillRect(0, 0, side, side);
  pen.imageSmoothingQuality = "high";
  if ("filter" in pen) pen.filter = `blur(${scale / 2.2}px)`;
  pen.drawImage(
    image,
    side / 2 - (scale * (left + right + 1)) / 2,
    side / 2 - (scale * (top + bottom + 1)) / 2,
    scale * image.width,
    scale * image.height,
  );
  if ("filter" in pen) pen.filter = "none";
  const pixels = pen.getImageData(0, 0, side, side);
  for (let i = 0; i < pixels.data.length; i += 4) {
    const ink = 255 - pixels.data[i];
    pixels.data[i] = pixels.data[i + 1] = pixels.data[i + 2] = 0;
    pixels.data[i + 3] = Math.max(0, Math.min(255, (ink - 118) * 3.4 + 128)); // a steeper edge
  }
  pen.putImageData(pixels, 0, 0);
};

export const ink = (url, label, side) => {
  const canvas = make("canvas", {
    class: "ink",
    role: "img",
    "aria-label": label,
  });
  drawInk(canvas, url, side).catch(() => canvas.setAttribute("aria-label", `${label} (cannot be shown)`));
  return canvas;
};

// What the network sees, pixel for pixel.
export const seen = (url, label) => make("img", { class: "seen", src: url, alt: label, width: 105, height: 105 });

// The same with its name below it, and over it, where it is given, a picture of which ink counts.
export const seenFigure = (url, name, label, map) =>
  make(
    "figure",
    { class: "sees" },
    make("div", { class: "sees-frame" }, seen(url, label), ...(map ? [map] : [])),
    make("figcaption", { text: `${name}, as the network sees it` }),
  );
