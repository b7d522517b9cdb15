// A score on its scale.
import { make, percent } from "./dom.js";

// A score on a labelled scale from 0 to 100 % with the threshold marked.
export const scale = (score, threshold, left = "different", right = "the same") => {
  const at = (share) => `${(share * 100).toFixed(2)}%`;
  const track = make("div", { class: "scale-track" });
  const fill = make("div", { class: "scale-fill" });
  const mark = make(
    "div",
    { class: "scale-mark", style: `left:${at(threshold)}` },
    make("span", { text: `threshold ${percent(threshold)}` }),
  );
  if (threshold > 0.6) mark.classList.add("from-right");
  const bead = make("div", { class: "scale-bead", style: `left:${at(score)}` });
  track.append(fill, mark, bead);
  requestAnimationFrame(() => (fill.style.width = at(score)));
  const label = `Similarity ${percent(score)} on a scale from 0 to 100 per cent; the threshold is ${percent(threshold)}.`;
  return make(
    "div",
    { class: "scale", role: "img", "aria-label": label },
    track,
    make(
      "div",
      { class: "scale-ends" },
      make("span", { text: `${left} (0 %)` }),
      make("span", { text: "50 %" }),
      make("span", { text: `${right} (100 %)` }),
    ),
  );
};
