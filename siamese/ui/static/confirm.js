// A question that is answered before something is lost.
import { make } from "./dom.js";

// Whether the visitor agrees; Escape and "Keep" say no. The focus goes back to where it was.
export const confirmed = (host, question, yes, no = "Keep") =>
  new Promise((resolve) => {
    const back = document.activeElement;
    const title = make("p", { id: "confirm-question", text: question });
    const agree = make("button", {
      type: "button",
      class: "button primary",
      text: yes,
      onclick: () => box.close("yes"),
    });
    const refuse = make("button", {
      type: "button",
      class: "button",
      text: no,
      onclick: () => box.close(""),
    });
    const box = make(
      "dialog",
      { class: "confirm", "aria-labelledby": "confirm-question" },
      title,
      make("div", { class: "row" }, agree, refuse),
    );
    box.addEventListener("close", () => {
      box.remove();
      back?.focus?.({ preventScroll: true });
      resolve(box.returnValue === "yes");
    });
    host.append(box);
    box.showModal();
    refuse.focus();
  });
