// The games, and which of them a link belongs to.

export const TIMED_S = 60;

// `link` is what ?challenge= says for a game that has no link of its own.
export const MODES = {
  free: { name: "Free play" },
  match: { name: "Match" },
  timed: { name: "Minute", link: "minute" },
  daily: { name: "Daily" },
  draw: { name: "Draw", link: "draw" },
};

export const modeOf = (link) => {
  const named = Object.keys(MODES).find((mode) => MODES[mode].link === link);
  if (named) return named;
  if (link.startsWith("daily")) return "daily";
  return link.endsWith("-x10") ? "match" : "free";
};

// What is said about a game; `source` is where its characters come from.
export const ruleOf = (mode, ways, source) => {
  const guessing = `Guessing gets 1 in ${ways} right.`;
  const drawers =
    source === "invented"
      ? "A program drew the candidates in one hand, and the character you look for in another."
      : "One person drew the candidates, another the character you look for.";
  return {
    free: `${drawers} ${guessing}`,
    match: `Ten rounds against the network. ${guessing}`,
    timed: `How many can you get right in ${TIMED_S} seconds? ${guessing}`,
    daily: "Ten rounds, new every day and the same for everybody. They can be played once.",
    draw: "The network guesses, while you draw, which of the characters it is.",
  }[mode];
};

// What a link says about the controls: {ways, source}, each undefined where it says nothing.
export const choicesIn = (link) => {
  const found = /^(\d+)([io])-/.exec(link);
  return found ? { ways: Number(found[1]), source: found[2] === "o" ? "omniglot" : "invented" } : {};
};
