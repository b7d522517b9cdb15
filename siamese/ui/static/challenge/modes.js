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

// What is said about a game before it begins.
export const ruleOf = (mode, ways) => {
  const guessing = `Guessing gets 1 in ${ways} right.`;
  return {
    free: `The candidates were drawn by one person, the character you look for by another. ${guessing}`,
    match: `Ten rounds against the network. ${guessing}`,
    timed: `How many can you get right in ${TIMED_S} seconds? ${guessing}`,
    daily: "Ten rounds, new every day and the same for everybody. They can be played once.",
    draw: "Draw one of the characters. The network guesses which one it is.",
  }[mode];
};

// What a link says about the controls: {ways, source}, each undefined where it says nothing.
export const choicesIn = (link) => {
  const found = /^(\d+)([io])-/.exec(link);
  return found ? { ways: Number(found[1]), source: found[2] === "o" ? "omniglot" : "invented" } : {};
};
