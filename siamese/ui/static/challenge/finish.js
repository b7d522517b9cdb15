// The end of a match, of a minute, of a day: the score, what went wrong, what can be done next.
import { make, say } from "../dom.js";
import { ink } from "../ink.js";
import { canShare, copy, share } from "../share.js";
import { countdown, msToNextDay } from "./calendar.js";
import { nameOf } from "./names.js";
import { beatSentence, count, outcomeSentence } from "./sentences.js";
import { marksGrid } from "./tally.js";

const button = (text, onclick, isPrimary = false) =>
  make("button", { type: "button", class: isPrimary ? "button primary" : "button", text, onclick });

const reviewFigure = (url, text, kind = "") =>
  make(
    "figure",
    { class: `review-tile ${kind}` },
    make("div", { class: "review-face" }, ink(url, text, 160)),
    make("figcaption", { text }),
  );

// A round as the review keeps it: the drawings that matter, each with the name of its tile.
export const reviewOf = (index, round, result) => ({
  index,
  query: round.query,
  ...Object.fromEntries(
    ["truth", "choice", "network_choice"].map((key) => [
      key,
      { place: result[key], url: round.candidates[result[key]] },
    ]),
  ),
});

const reviewRow = ({ index, query, truth, choice, network_choice }) => {
  const figures = [reviewFigure(query, "Asked"), reviewFigure(truth.url, `Right: ${nameOf(truth.place)}`, "right")];
  if (choice.place !== truth.place) figures.push(reviewFigure(choice.url, `You: ${nameOf(choice.place)}`));
  if (network_choice.place !== truth.place) {
    figures.push(reviewFigure(network_choice.url, `Network: ${nameOf(network_choice.place)}`));
  }
  return make("li", {}, make("h5", { text: `Round ${index + 1}` }), make("div", { class: "review-row" }, ...figures));
};

const reviewSection = (review) =>
  make(
    "section",
    { class: "review", "aria-label": "Rounds that went wrong" },
    make("h4", { text: "What you or the network got wrong" }),
    make("ol", {}, ...review.map(reviewRow)),
  );

// Counts down to the next daily challenge; `now` gives the server's time in milliseconds. At midnight `onNewDay` runs.
const nextDaily = (now, days, onNewDay) => {
  const time = make("b", { class: "countdown", role: "timer" });
  const streak = `Streak: ${days} ${days === 1 ? "day" : "days"}.`;
  const wait = make("span", {}, "Next daily in ", time, " (0:00 UTC).");
  const line = make("p", { class: "next-daily" }, wait, " ", make("span", { text: streak }));
  const ends = now() + msToNextDay(now());
  const tick = () => {
    time.textContent = countdown(ends - now());
    if (now() < ends) return;
    clearInterval(clock);
    if (line.isConnected) onNewDay();
  };
  const clock = setInterval(() => (line.isConnected ? tick() : clearInterval(clock)), 1000);
  tick();
  return line;
};

// Fills `host`. `game` is what was played; `options`: text (to send), link (with the score to beat, or null), best (the
// best score so far, or null), note, daily ({now, days, onNewDay}, or null), again (a button's text), onAgain.
export const showFinish = (host, game, options) => {
  const heading = make("h3", {
    tabindex: -1,
    text: outcomeSentence(game.mine, game.network, game.mine.length, game.mode === "timed"),
  });
  const lines = [options.note, beatSentence(count(game.mine), game.beat)].filter(Boolean);
  if (options.best !== null) lines.push(`Your best in this browser: ${options.best}.`);
  const status = make("p", { class: "say", "data-say": true, role: "status", "aria-live": "polite" });
  const told = (sentence) => say(host, sentence);
  const buttons = [
    button("Copy the result", async () => {
      await copy(options.text);
      told("The result was copied.");
    }),
    button(options.again, options.onAgain, true),
  ];
  if (options.link) {
    const copyLink = async () => {
      await copy(options.link);
      told("A link to this game with your score was copied.");
    };
    buttons.splice(1, 0, button("Copy a link", copyLink));
  }
  if (canShare()) {
    buttons.unshift(button("Share", async () => ((await share(options.text)) ? told("The result was copied.") : null)));
  }
  host.replaceChildren(
    heading,
    marksGrid({ ...game, rounds: game.mine.length }),
    ...(lines.length ? [make("p", { class: "detail", text: lines.join(" ") })] : []),
    ...(options.daily ? [nextDaily(options.daily.now, options.daily.days, options.daily.onNewDay)] : []),
    make("div", { class: "finish-buttons" }, ...buttons),
    status,
    ...(game.review.length ? [reviewSection(game.review)] : []),
  );
  heading.focus({ preventScroll: true });
};
