// Scores below the board: of this game, and of all rounds of this browser beside chance, the paper and people.
import { make, percent } from "../dom.js";
import { rightInARow, totalsKey } from "./progress.js";
import { count } from "./sentences.js";

const marksRow = (name, marks, rounds) => {
  const states = Array.from({ length: rounds }, (_, i) => (i < marks.length ? (marks[i] ? "right" : "wrong") : "open"));
  return make(
    "span",
    { class: "marks-row", role: "img", "aria-label": `${name}: ${states.join(", ")}` },
    make("em", { text: name }),
    ...states.map((state) => make("span", { class: `mark ${state}` })),
  );
};

// One square for each round, for both sides.
export const marksGrid = ({ mine, network, rounds }) =>
  make("div", { class: "marks" }, marksRow("You", mine, rounds), marksRow("Network", network, rounds));

const ruler = (ways, source, totals, { people, paper }) => {
  const at = (share) => `left:${(share * 100).toFixed(2)}%`;
  const fixed = [["chance", 1 / ways, `guessing ${percent(1 / ways)}`]];
  if (ways === 20 && source === "omniglot") {
    fixed.push(
      ["paper", paper, `Koch et al. ${percent(paper, 1)}`],
      ["people", people, `people ${percent(people, 1)}`],
    );
  }
  const line = make("div", { class: "ruler-line" });
  for (const [kind, share] of fixed) line.append(make("span", { class: `tick ${kind}`, style: at(share) }));
  const measured = [];
  for (const [side, name, right] of [
    ["network", "network", totals.network],
    ["you", "you", totals.mine],
  ]) {
    if (!totals.rounds) break;
    line.append(make("span", { class: `dot ${side}`, style: at(right / totals.rounds) }));
    const key = make("span", { class: `dot-key ${side}` });
    measured.unshift(make("span", { class: "keyed" }, key, `${name} ${percent(right / totals.rounds)}`), ", ");
  }
  const others = fixed.map(([, , text]) => text).join(", ");
  const kind = source === "invented" ? " invented" : "";
  const rounds = totals.rounds
    ? `${totals.rounds} round${totals.rounds === 1 ? "" : "s"} with ${ways}${kind} candidates in this browser: `
    : `With ${ways}${kind} candidates: `;
  return make("div", { class: "ruler" }, line, make("p", { class: "ruler-text" }, rounds, ...measured, `${others}.`));
};

// `game` is what is being played, `memory` what this browser remembers, `figures` {people, paper} in [0, 1].
export const showTally = (host, game, ways, source, memory, figures) => {
  const of = (marks) => `${count(marks)} / ${marks.length}`;
  const isDrawing = game.mode === "draw";
  const cells = isDrawing
    ? [["Network right", of(game.network)]]
    : [
        ["You", of(game.mine)],
        ["Network", of(game.network)],
        ["Right in a row", `${rightInARow(game.mine)}`],
        ["Most in a row so far", `${memory.bestStreak ?? 0}`],
      ];
  const scores = cells.map(([name, value]) => make("div", {}, make("dt", { text: name }), make("dd", { text: value })));
  host.replaceChildren(make("dl", { class: "scores" }, ...scores));
  if (game.rounds > 1) host.append(marksGrid(game));
  const totals = memory.totals?.[totalsKey(ways, source)] ?? { rounds: 0, mine: 0, network: 0 };
  if (!isDrawing) host.append(ruler(ways, source, totals, figures));
};
