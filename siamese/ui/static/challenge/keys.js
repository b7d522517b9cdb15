// The keyboard: letters pick, arrows move, Enter continues. Letters can be switched off (WCAG 2.1.4), since a screen
// reader or voice control may use them for something else.
import { placeOf } from "./names.js";

// `actions`: areLettersOn(), pick(place), move(key), which says whether it did, goOn(), isAnswered().
export const listenToKeys = (panel, actions) => {
  const onKey = (event) => {
    if (!panel.isConnected) {
      document.removeEventListener("keydown", onKey);
      return;
    }
    const on = event.target;
    const isHidden = panel.offsetParent === null;
    if (isHidden || event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.defaultPrevented) return;
    if (on.matches("textarea, select, [contenteditable], input:not([type=radio], [type=checkbox])")) return;
    const isTile = on.classList.contains("candidate");
    const place = placeOf(event.key);
    let isDone = false;
    if (place >= 0) isDone = actions.areLettersOn() && actions.pick(place);
    else if (event.key === "Enter") {
      const hasOwnMeaning = on.matches("button, a, [type=checkbox]") && !(isTile && actions.isAnswered());
      if (!hasOwnMeaning) {
        actions.goOn();
        isDone = true;
      }
    } else if (isTile || on === document.body || on.matches("[data-next]")) isDone = actions.move(event.key);
    if (isDone) event.preventDefault();
  };
  document.addEventListener("keydown", onKey);
};
