// The candidates: tiles to choose from, and what is shown on them after the answer.
import { make, percent } from "../dom.js";
import { ink } from "../ink.js";
import { nameOf } from "./names.js";

const TILE_SIDE_PX = 240; // of the drawing, which is scaled to its tile

const tileOf = (url, place, count, verb, onPick) => {
  const drawing = ink(url, "", TILE_SIDE_PX);
  drawing.removeAttribute("role");
  drawing.setAttribute("aria-hidden", "true");
  const caption = make(
    "span",
    { class: "caption", "aria-hidden": "true" },
    make("span", { class: "name", text: nameOf(place) }),
  );
  return make(
    "button",
    {
      type: "button",
      class: "tile candidate",
      tabindex: place === 0 ? 0 : -1,
      "aria-label": `${verb} candidate ${nameOf(place)} of ${count}`,
      onclick: () => onPick(place),
    },
    make("span", { class: "face" }, drawing),
    caption,
  );
};

// Puts `urls` into `host`; `verb` says what a press does, as in "Pick".
export const showCandidates = (host, urls, verb, onPick) => {
  host.removeAttribute("aria-busy");
  host.dataset.n = urls.length;
  host.classList.remove("answered");
  host.replaceChildren(...urls.map((url, place) => tileOf(url, place, urls.length, verb, onPick)));
};

// Tells screen readers which key picks which tile, or that none does.
export const nameKeys = (host, areOn) => {
  [...host.children].forEach((tile, place) => {
    if (areOn) tile.setAttribute("aria-keyshortcuts", nameOf(place));
    else tile.removeAttribute("aria-keyshortcuts");
  });
};

export const clearBars = (host) => {
  for (const tile of host.children) {
    tile.querySelectorAll(".bar, .share, .tag, .seal").forEach((old) => old.remove());
    tile.classList.remove("network");
  }
};

// The network's similarities below the drawings, its choice framed.
export const showBars = (host, { similarities, network_choice }) => {
  clearBars(host);
  [...host.children].forEach((tile, place) => {
    const share = similarities[place];
    const fill = make("span", { class: "bar-fill", style: `width:${(share * 100).toFixed(1)}%` });
    tile.querySelector(".face").append(make("span", { class: "bar", "aria-hidden": "true" }, fill));
    tile.querySelector(".caption").append(make("span", { class: "share", text: percent(share) }));
    tile.classList.toggle("network", place === network_choice);
  });
};

export const sealTile = (tile) => {
  tile.classList.add("truth");
  tile.append(make("span", { class: "seal", "aria-hidden": "true" }));
};

const whoChose = (place, { choice, network_choice }) => {
  const [me, network] = [place === choice, place === network_choice];
  if (me && network) return "both";
  if (me) return "you";
  return network ? "network" : null;
};

export const showResult = (host, result) => {
  host.classList.add("answered");
  showBars(host, result);
  [...host.children].forEach((tile, place) => {
    const said = [`Candidate ${nameOf(place)}, ${percent(result.similarities[place])} similar`];
    const who = whoChose(place, result);
    if (who) tile.append(make("span", { class: "tag", "aria-hidden": "true", text: who }));
    if (place === result.truth) {
      sealTile(tile);
      said.push("the right one");
    } else if (place === result.choice) tile.classList.add("wrong");
    if (place === result.choice) said.push("your choice");
    if (place === result.network_choice) said.push("the network's choice");
    tile.setAttribute("aria-label", said.join(", "));
    tile.setAttribute("aria-disabled", "true");
  });
};

const columns = (tiles) => {
  const next = tiles.findIndex((tile) => tile.offsetTop > tiles[0].offsetTop + 4);
  return next < 0 ? tiles.length : next;
};

// The place that an arrow key leads to from `here`, or -1 for another key; from outside (-1) to the first tile.
export const placeAfter = (key, here, count, inRow) => {
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: inRow, ArrowUp: -inRow, Home: -Infinity, End: Infinity };
  const step = steps[key];
  if (!step || !count) return -1;
  return here < 0 ? 0 : Math.max(0, Math.min(count - 1, here + step));
};

// Moves the focus among the tiles; says whether the key was one that does.
export const moveFocus = (host, key) => {
  const tiles = [...host.children];
  const here = tiles.indexOf(document.activeElement);
  const wanted = placeAfter(key, here, tiles.length, tiles.length ? columns(tiles) : 0);
  if (wanted < 0) return false;
  tiles.forEach((tile, place) => (tile.tabIndex = place === wanted ? 0 : -1));
  tiles[wanted].focus();
  return true;
};
