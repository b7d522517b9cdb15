// Building the page and speaking to the visitor.
import { UserError } from "./server.js";

export const make = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") node.textContent = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
};

export const percent = (share, digits = 0) => {
  // 99.97 per cent is not "100 %": a score never claims more than it has
  const value = share * 100;
  if (value > 99 && value < 100) return `${Math.floor(value * 10) / 10}\u00a0%`;
  if (value > 0 && value < 1) return `${Math.ceil(value * 10) / 10}\u00a0%`;
  return `${value.toFixed(digits)}\u00a0%`;
};

export const say = (element, sentence, isError = false) => {
  const line = element.querySelector("[data-say]");
  line.textContent = sentence;
  line.classList.toggle("refusal", isError);
  line.setAttribute("role", isError ? "alert" : "status");
};

// Whether a refusal was told last.
export const isRefused = (element) => element.querySelector("[data-say]").getAttribute("role") === "alert";

export const guard =
  (element, action) =>
  async (...given) => {
    try {
      return await action(...given);
    } catch (error) {
      if (!(error instanceof UserError)) console.error(error);
      say(element, error instanceof UserError ? error.message : "Something went wrong on this page.", true);
    }
  };

// A button's action that ignores presses while it is under way; a button that is disabled would lose the focus.
export const pressed = (button, action) => async () => {
  if (button.ariaDisabled === "true") return;
  button.ariaDisabled = "true";
  try {
    return await action();
  } finally {
    button.ariaDisabled = null;
  }
};
