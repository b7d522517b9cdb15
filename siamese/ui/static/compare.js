// The tab "Compare": two sheets, and an answer as soon as both hold something.
import { guard, make, percent, pressed } from "./dom.js";
import { seenFigure } from "./ink.js";
import { pad } from "./pad.js";
import { showRemarks } from "./remarks.js";
import { scale } from "./scale.js";
import { inTime } from "./server.js";
import { exampleButton, tabOf } from "./tab.js";

const VERDICTS = { same: "The same", different: "Different", unsure: "Unsure" };
const ORDINALS = ["First", "Second"];

export const compareTab = (element, server) => {
  const { part, refuse, answering, ask, findPieces } = tabOf(element, server);
  let shown = null; // the pictures that the newest answer is about

  const pads = [...element.querySelectorAll("[data-pad]")].map((place, index) => {
    const one = pad({
      label: `${ORDINALS[index]} picture`,
      name: `picture-${index + 1}`,
      find: findPieces,
      onChange: () => compare(),
      onRefusal: refuse,
    });
    place.replaceWith(one.node);
    return one;
  });

  const compare = answering(
    "compare_pictures",
    () => {
      if (pads.some((one) => one.isDrawing())) return null; // the end of the stroke asks again
      const [a, b] = pads.map((one) => one.value());
      if (a && b) return { a, b };
      if (pads.some((one) => one.isCropping())) return "";
      return a || b ? "Now the other picture." : "";
    },
    (result, asked) => {
      shown = asked;
      part("answer").dataset.kind = result.verdict;
      part("verdict").textContent = VERDICTS[result.verdict];
      part("score").textContent = `${percent(result.similarity)} similar`;
      part("scale").replaceChildren(scale(result.similarity, result.threshold));
      part("reliability").textContent = result.reliability;
      showRemarks(part("remarks"), result.remarks);
      part("sees").replaceChildren(
        ...result.sees.map((url, i) =>
          seenFigure(url, `${ORDINALS[i]} picture`, `The ${ORDINALS[i].toLowerCase()} picture as the network sees it`),
        ),
      );
      hideWhy();
    },
  );

  const hideWhy = () => {
    element.querySelectorAll(".why").forEach((map) => map.remove());
    part("why").setAttribute("aria-pressed", "false");
    part("legend").hidden = true;
  };

  const why = async () => {
    if (part("why").getAttribute("aria-pressed") === "true") return hideWhy();
    const asked = shown;
    const found = await inTime(ask("explain_pictures", asked), () => shown === asked);
    if (!found) return;
    element.querySelectorAll(".sees-frame").forEach((frame, i) =>
      frame.append(
        make("img", {
          class: "why",
          src: found.maps[i],
          alt: `Ink of the ${ORDINALS[i].toLowerCase()} picture that counts for and against “the same”`,
        }),
      ),
    );
    part("why").setAttribute("aria-pressed", "true");
    part("legend").hidden = false;
  };
  part("why").addEventListener("click", guard(element, pressed(part("why"), why)));

  part("clear").addEventListener("click", () => pads.forEach((one) => one.clear()));

  const showExamples = async () => {
    const { examples } = await ask("compare_examples");
    part("examples").replaceChildren(
      ...examples.map(({ caption, a, b }) =>
        exampleButton(caption, "example-pair", [a, b], () => {
          pads[0].show(a);
          pads[1].show(b);
        }),
      ),
    );
  };
  guard(element, showExamples)();
};
