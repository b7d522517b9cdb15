// Pictures from files: opened, turned, cropped and scaled down in this browser, then sent as data URLs.
import { make } from "./dom.js";
import { UserError } from "./server.js";

const SIDE_PX = 1600; // a larger picture is scaled down before it is sent
const RAW_BYTES = 1_500_000; // a smaller file is sent as it is
const UNREADABLE_BYTES = 6_000_000; // what this browser cannot open goes to the server, which says what is wrong
const MAX_SENT_CHARACTERS = 10_000_000; // of a data URL; the server takes 8 MB of picture
const QUALITY = 0.93; // of a JPEG
const SAMPLE_PX = 48; // side at which the colours of a picture are looked at
const LIGHT = 170; // of 255: the mean of ink that is light

export const readAsUrl = (blob) =>
  new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new UserError("The file could not be read."));
    reader.readAsDataURL(blob);
  });

const asBlob = (source) => {
  if (source instanceof Blob) return source;
  const [head, body] = source.split(",");
  const bytes = Uint8Array.from(atob(body), (letter) => letter.charCodeAt(0));
  return new Blob([bytes], { type: head.slice(5).split(";")[0] });
};

// A rectangle in shares of a picture's sides after a quarter turn clockwise.
export const turnedBox = ({ left, top, right, bottom }) => ({
  left: 1 - bottom,
  top: left,
  right: 1 - top,
  bottom: right,
});

// The part `inner` of the part `outer`, in shares of the whole picture.
export const partOf = (outer, inner) => {
  const [width, height] = [outer.right - outer.left, outer.bottom - outer.top];
  return {
    left: outer.left + inner.left * width,
    top: outer.top + inner.top * height,
    right: outer.left + inner.right * width,
    bottom: outer.top + inner.bottom * height,
  };
};

export const WHOLE = { left: 0, top: 0, right: 1, bottom: 1 };

// The part `crop` of a picture after so many quarter turns clockwise, at most `side` pixels wide and high.
const render = (bitmap, turns, crop, side) => {
  const [width, height] = turns % 2 ? [bitmap.height, bitmap.width] : [bitmap.width, bitmap.height];
  const [cropWidth, cropHeight] = [(crop.right - crop.left) * width, (crop.bottom - crop.top) * height];
  const scale = Math.min(1, side / Math.max(cropWidth, cropHeight));
  const canvas = make("canvas");
  canvas.width = Math.max(1, Math.round(cropWidth * scale));
  canvas.height = Math.max(1, Math.round(cropHeight * scale));
  const pen = canvas.getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.scale(scale, scale);
  pen.translate(-crop.left * width, -crop.top * height);
  pen.translate(...[[0, 0], [width, 0], [width, height], [0, height]][turns]); // prettier-ignore
  pen.rotate((turns * Math.PI) / 2);
  pen.drawImage(bitmap, 0, 0);
  return canvas;
};

const isTransparent = (canvas) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  for (let i = 3; i < data.length; i += 4) if (data[i] < 250) return true;
  return false;
};

const onWhite = (canvas) => {
  const pen = canvas.getContext("2d");
  pen.resetTransform();
  pen.globalCompositeOperation = "destination-over";
  pen.fillStyle = "white";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/jpeg", QUALITY);
};

// A file, or a data URL, as a data URL: as it is when it is small and not edited, scaled down when it is large, untouched
// when only the server can judge it. What is transparent stays so: ink may be white on nothing.
export const pictureUrl = async (source, { turns = 0, crop = WHOLE } = {}) => {
  const blob = asBlob(source);
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob);
  } catch {
    if (blob.size > UNREADABLE_BYTES)
      throw new UserError(
        `${blob.name ?? "This"} is not a picture that can be opened here; use PNG, JPEG, WebP, BMP or GIF.`,
      );
    return readAsUrl(blob);
  }
  try {
    const isWhole = turns === 0 && crop === WHOLE;
    if (isWhole && blob.size <= RAW_BYTES && Math.max(bitmap.width, bitmap.height) <= SIDE_PX) return readAsUrl(blob);
    const canvas = render(bitmap, turns, crop, SIDE_PX);
    if (blob.type === "image/jpeg" || !isTransparent(canvas)) return onWhite(canvas);
    let url = canvas.toDataURL("image/png");
    for (let side = SIDE_PX * 0.7; url.length > MAX_SENT_CHARACTERS; side *= 0.7)
      url = render(bitmap, turns, crop, side).toDataURL("image/png");
    return url;
  } finally {
    bitmap.close();
  }
};

// Whether the ink of an <img> is light on nothing, so that it could not be seen on paper.
export const isLightOnNothing = (image) => {
  const canvas = make("canvas", { width: SAMPLE_PX, height: SAMPLE_PX });
  const pen = canvas.getContext("2d");
  pen.drawImage(image, 0, 0, SAMPLE_PX, SAMPLE_PX);
  const { data } = pen.getImageData(0, 0, SAMPLE_PX, SAMPLE_PX);
  let [covered, light] = [0, 0];
  for (let i = 0; i < data.length; i += 4) {
    covered += data[i + 3];
    light += data[i + 3] * (0.3 * data[i] + 0.59 * data[i + 1] + 0.11 * data[i + 2]);
  }
  return covered < 0.9 * 255 * SAMPLE_PX ** 2 && light > LIGHT * covered;
};
