// What was noticed about the pictures, beside a verdict.
import { make } from "./dom.js";

// `remarks` are {text}, and {picture}, what the page calls the picture, where one of them is meant.
export const showRemarks = (list, remarks = []) => {
  list.hidden = remarks.length === 0;
  list.replaceChildren(
    ...remarks.map(({ picture, text }) => make("li", {}, picture ? make("b", { text: `${picture}: ` }) : "", text)),
  );
};
