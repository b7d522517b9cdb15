// Handing text to others: the clipboard, and the share sheet of phones.
import { make } from "./dom.js";

export const copy = async (text) => {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = make("textarea", { class: "visually-hidden" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
};

// Whether there is a share sheet that is worth a button: on a device that is touched.
export const canShare = () => Boolean(navigator.share) && matchMedia("(pointer: coarse)").matches;

// Opens the share sheet; copies instead where it cannot be opened. Says whether the text was copied.
export const share = async (text) => {
  try {
    await navigator.share({ text });
    return false;
  } catch (error) {
    if (error.name === "AbortError") return false; // the visitor closed it
    await copy(text);
    return true;
  }
};
