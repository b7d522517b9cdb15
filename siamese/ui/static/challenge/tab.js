// The tab "One-shot challenge". The server deals and judges; nothing here knows an answer before it is given.
import { beatIn, challengeIn, linkTo, showAddress, withChallenge } from "../address.js";
import { make, say } from "../dom.js";
import { ink } from "../ink.js";
import { remember } from "../memory.js";
import { ask, inTime, UserError } from "../server.js";
import { copy } from "../share.js";
import { moveFocus, nameKeys, showCandidates, showResult } from "./board.js";
import { dayOf, inWords, streakDays } from "./calendar.js";
import { confirmDrawing, drawingPad } from "./drawing.js";
import { reviewOf, showFinish } from "./finish.js";
import { listenToKeys } from "./keys.js";
import { choicesIn, modeOf, MODES, ruleOf, TIMED_S } from "./modes.js";
import { nameOf } from "./names.js";
import { countRound, saveBest, savedGame, saveDay, saveGame } from "./progress.js";
import { count, detailSentence, resultText, verdictSentence } from "./sentences.js";
import { showTally } from "./tally.js";

const PAUSE_MS = 900; // how long a timed round shows what was right

export const challengeTab = (element, server) => {
  const part = (name) => element.querySelector(`[data-${name}]`);
  const panel = element.querySelector(".challenge");
  const [candidates, next] = [part("candidates"), part("next")];
  const choices = { mode: "free", ways: 10, source: null };
  let options = null; // what the server offers
  let clockSkewMs = 0; // the server's clock less this browser's
  let game = null; // what is played, see newGame
  let round = null; // what the server dealt, with index and answered
  let ahead = null; // the next round, dealt while the answer of this one is read
  let turn = 0; // counts up whenever the visitor goes elsewhere; answers to earlier turns are dropped
  let clock = 0;

  const now = () => Date.now() + clockSkewMs;
  const today = () => dayOf(now());

  const guard =
    (action) =>
    async (...given) => {
      try {
        return await action(...given);
      } catch (error) {
        if (!(error instanceof UserError)) console.error(error);
        say(element, error instanceof UserError ? error.message : "Something went wrong on this page.", true);
        candidates.removeAttribute("aria-busy");
        showNext("Try again", true); // asks for the round that is due in this game
        return undefined;
      }
    };

  // What the server answers; null where the visitor went elsewhere meanwhile.
  const thisTurn = (answer) => {
    const mine = turn;
    return inTime(answer, () => mine === turn);
  };

  let isFocusLost = false; // whether "Next" had the focus when it was disabled
  const showNext = (text, isReady) => {
    if (!isReady) isFocusLost ||= document.activeElement === next;
    next.textContent = text;
    next.disabled = !isReady;
    if (!isReady) return;
    if (isFocusLost && document.activeElement === document.body) next.focus({ preventScroll: true });
    isFocusLost = false;
  };

  const showState = (state) => {
    panel.dataset.state = state;
    part("finish").hidden = state !== "finished";
    part("board").hidden = state === "finished";
    part("clock").hidden = state !== "playing" || game.mode !== "timed";
    part("copy-link").hidden = state === "finished" || ["draw", "timed"].includes(game.mode);
    if (state === "finished") part("tally").replaceChildren();
    else showTally(part("tally"), game, game.ways, round?.source ?? choices.source, remember(), options);
  };

  // ---- choosing a game

  // Arrow keys move between radio buttons, Space chooses: a game that is played must not be lost by a wrong arrow.
  const moveOnly = (event, host) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const inputs = [...host.querySelectorAll("input")];
    inputs.at((inputs.indexOf(event.target) + step) % inputs.length).focus();
  };

  const radios = (host, name, entries) => {
    for (const [value, text] of entries) {
      let isByPointer = false; // then the focus goes on to the game
      const choose = async () => {
        choices[name] = value;
        const wasByPointer = isByPointer;
        await start();
        if (wasByPointer) focusGame();
      };
      const input = make("input", {
        type: "radio",
        name: `one-look-${name}`,
        value,
        onclick: (event) => {
          isByPointer = event.detail > 0;
          if (isByPointer && game && choices[name] === value) focusGame();
        },
        onchange: choose,
      });
      host.append(make("label", { class: "segment" }, input, make("span", { text })));
    }
    host.addEventListener("keydown", (event) => moveOnly(event, host));
  };

  const makeControls = () => {
    const shortName = (source) => source.name.replace(" evaluation", "").replace(" alphabets", "");
    radios(
      part("modes"),
      "mode",
      Object.entries(MODES).map(([key, mode]) => [key, mode.name]),
    );
    radios(
      part("ways"),
      "ways",
      options.ways.map((ways) => [ways, String(ways)]),
    );
    radios(
      part("sources"),
      "source",
      options.sources.map((one) => [one.key, shortName(one)]),
    );
  };

  const showChoices = () => {
    for (const input of element.querySelectorAll(".controls input")) {
      input.checked = input.value === String(choices[input.name.replace("one-look-", "")]);
    }
    part("ways").hidden = game.mode === "daily";
    part("sources").hidden = game.mode === "daily" || options.sources.length < 2;
    part("rule").textContent = ruleOf(game.mode, game.ways, choices.source);
    part("rule").hidden = game.beat !== null; // one line above the board, so that all of it fits a phone
    part("beat").hidden = game.beat === null;
    part("beat").textContent = game.beat === null ? "" : `Your friend got ${game.beat} right. Can you beat that?`;
    const what = { match: "these ten rounds", daily: "this daily" }[game.mode] ?? "this round";
    part("copy-link").textContent = `Copy a link to ${what}`;
  };

  const newGame = (mode, link, beat) => ({
    mode,
    link,
    beat,
    ways: mode === "daily" ? options.daily_ways : choices.ways,
    rounds: ["match", "daily"].includes(mode) ? options.match_rounds : 1,
    mine: [],
    network: [],
    review: [], // the rounds that one side got wrong
    ends: 0, // of the minute, in milliseconds
  });

  const isSeveral = () => game.rounds > 1;
  const isOver = () => isSeveral() && game.mine.length >= game.rounds;

  // `dealt`: a round that was asked for already.
  const start = guard(async (link = null, beat = null, dealt = null) => {
    turn += 1;
    clearInterval(clock);
    round = null;
    ahead = dealt;
    choices.mode = link ? modeOf(link) : choices.mode;
    const { ways, source } = choicesIn(link ?? "");
    if (options.ways.includes(ways)) choices.ways = ways;
    if (options.sources.some((one) => one.key === source)) choices.source = source;
    const isNamed = link !== null && link !== "daily" && link !== MODES[choices.mode].link;
    const ownLink = choices.mode === "daily" ? `daily-${today()}` : null;
    game = newGame(choices.mode, isNamed ? link : ownLink, beat);
    const saved = isSeveral() && game.link ? savedGame(remember(), game.link, game.rounds) : null;
    if (saved) Object.assign(game, { mine: saved.mine, network: saved.network, review: saved.review });
    panel.dataset.mode = game.mode;
    showChoices();
    part("detail").textContent = part("from").textContent = part("copied").textContent = "";
    syncAddress();
    if (isOver()) return finish();
    if (game.mode === "timed") return waitForStart();
    showState("playing");
    if (game.mode === "draw") return dealDrawing();
    return deal();
  });

  const waitForStart = () => {
    part("query").replaceChildren();
    candidates.replaceChildren();
    showState("waiting");
    showNext("Start the minute", true);
    say(element, "");
  };

  // ?challenge= follows what is played, as long as this tab is in sight.
  const syncAddress = () => {
    if (!game || panel.offsetParent === null) return;
    const isToday = game.link === `daily-${today()}`;
    const link = isToday ? "daily" : (MODES[game.mode].link ?? game.link ?? round?.link ?? null);
    showAddress(withChallenge(location.href, link, game.beat));
  };

  // ---- a round

  const request = () => {
    if (game.link) return { link: game.link, index: isSeveral() ? game.mine.length : 0 };
    return { n_way: choices.ways, source: choices.source, match: game.mode === "match" };
  };

  // A round that is refused is not kept: the next press asks anew.
  const dealAhead = () => {
    const asked = (ahead = ask(server, "challenge_deal", request()));
    asked.catch(() => {
      if (ahead === asked) ahead = null;
    });
  };

  const deal = async () => {
    turn += 1;
    showNext("Next", false);
    candidates.setAttribute("aria-busy", "true");
    const asked = ahead ?? ask(server, "challenge_deal", request());
    ahead = null;
    let dealt;
    try {
      dealt = await thisTurn(asked);
    } catch (error) {
      if (error.lasting) {
        game = newGame(game.mode, game.mode === "daily" ? `daily-${today()}` : null, null);
        showAddress(withChallenge(location.href, null));
      }
      throw error;
    }
    if (!dealt) return;
    round = { ...dealt, index: isSeveral() ? game.mine.length : 0, answered: false };
    if (isSeveral()) game.link = dealt.link;
    game.ways = dealt.n_way;
    syncAddress();
    showRound();
  };

  // Where the characters come from or, in a game of several rounds, how it stands.
  const showFrom = () => {
    const score = `You ${count(game.mine)}, network ${count(game.network)}`;
    part("from").textContent = isSeveral() ? score : round.source_name;
  };

  const showRound = () => {
    part("query").replaceChildren(ink(round.query, "The character to find"));
    showFrom();
    part("last-key").textContent = nameOf(round.n_way - 1);
    showCandidates(candidates, round.candidates, "Pick", pick);
    nameKeys(candidates, areLettersOn());
    part("detail").textContent = part("copied").textContent = "";
    const place = isSeveral() ? `Round ${round.index + 1} of ${game.rounds}` : "";
    say(element, place || `Pick one of the ${round.n_way}.`);
    showState("playing");
  };

  const pick = guard(async (place) => {
    if (panel.dataset.state !== "playing" || !round || round.answered || place >= round.candidates.length) return;
    if (game.mode === "draw") return confirm(place);
    round.answered = true;
    const mine = turn;
    candidates.children[place].classList.add("yours");
    const result = await thisTurn(ask(server, "challenge_answer", { round: round.round, choice: place }));
    if (!result) return;
    record(result);
    showFrom();
    showResult(candidates, result);
    say(element, verdictSentence(result));
    part("detail").textContent = detailSentence(result);
    showState("playing");
    if (game.mode === "timed") {
      dealAhead();
      const dealOn = async () => {
        if (mine !== turn || Date.now() >= game.ends) return;
        await deal();
        focusGame();
      };
      setTimeout(guard(dealOn), PAUSE_MS);
      return;
    }
    showNext(isOver() ? "Result" : "Next", true);
    next.focus({ preventScroll: true });
    if (game.mode === "free") game.link = null; // the next round is a new one
    if (!isOver()) dealAhead();
  });

  const record = (result) => {
    game.mine.push(result.right);
    game.network.push(result.network_right);
    const isKept = isSeveral() || game.mode === "timed";
    if (isKept && !(result.right && result.network_right))
      game.review.push(reviewOf(game.mine.length - 1, round, result));
    remember((memory) => {
      countRound(memory, round, result, game.mine);
      if (!isSeveral()) return;
      saveGame(memory, { ...game, n_way: round.n_way });
      if (!isOver()) return;
      if (game.mode === "daily") saveDay(memory, game.link.replace("daily-", ""), today());
      else saveBest(memory, `match-${round.n_way}`, count(game.mine));
    });
  };

  const goOn = guard(async () => {
    if (next.disabled || panel.dataset.state === "finished") return;
    if (!game) return begin();
    if (game.mode === "timed" && !game.ends) {
      game.ends = Date.now() + TIMED_S * 1000;
      clock = setInterval(tick, 200);
      tick();
    }
    if (game.mode === "draw") await dealDrawing();
    else if (isOver()) return finish();
    else await deal();
    focusGame();
  });

  const tick = () => {
    const left = Math.max(0, Math.ceil((game.ends - Date.now()) / 1000));
    part("clock").textContent = `${left} s`;
    if (left > 0) return;
    clearInterval(clock);
    turn += 1;
    remember((memory) => saveBest(memory, `timed-${game.ways}`, count(game.mine)));
    finish();
  };

  const focusGame = () => {
    const isTile = panel.dataset.state === "playing" && candidates.firstElementChild;
    const place =
      game.mode === "draw" ? element.querySelector(".pad-sheet") : isTile ? candidates.firstElementChild : next;
    place?.focus({ preventScroll: true });
  };

  // ---- the end

  const finish = () => {
    const day = game.mode === "daily" ? game.link.replace("daily-", "") : null;
    const name = { timed: "one minute", match: "match of ten", daily: day && `daily of ${inWords(day)}` }[game.mode];
    const link = game.mode === "timed" ? null : linkTo(location.href, game.link, count(game.mine));
    const memory = remember();
    const best = { timed: `timed-${game.ways}`, match: `match-${game.ways}` }[game.mode];
    const isToday = day === today();
    showState("finished");
    showFinish(part("finish"), game, {
      text: resultText(name, game.ways, game.mine, game.network, link),
      link,
      best: memory.best?.[best] ?? null,
      note: day ? `The daily of ${inWords(day)}.` : "",
      daily: day ? { now, days: streakDays(memory.days, today()), onNewDay: () => start("daily") } : null,
      again: { daily: isToday ? "Continue in free play" : "Play today's daily" }[game.mode] ?? "Play again",
      onAgain: async () => {
        if (day && isToday) choices.mode = "free";
        await start();
        focusGame();
      },
    });
  };

  // ---- "You draw"

  const dealDrawing = async () => {
    turn += 1;
    showNext("Next", false);
    const asked = ask(server, "challenge_draw", { n_way: choices.ways, source: choices.source });
    const dealt = await thisTurn(asked);
    if (!dealt) return;
    round = { ...dealt, answered: false, guessed: null };
    const sheet = drawingPad(round, { element, candidates, server, guard, thisTurn });
    part("query").replaceChildren(sheet.node);
    part("from").textContent = `Alphabet: ${round.alphabet}`;
    showCandidates(candidates, round.candidates, "I drew", pick);
    nameKeys(candidates, areLettersOn());
    part("detail").textContent = "";
    showNext("Next", true);
    showState("playing");
  };

  const confirm = (place) => {
    const isRight = confirmDrawing(round, place, { element, candidates });
    if (isRight === null) return;
    game.network.push(isRight);
    next.focus({ preventScroll: true });
    showState("playing");
  };

  // ---- everything together

  const areLettersOn = () => remember().shortcuts !== false;
  part("shortcuts").checked = areLettersOn();
  part("shortcuts").addEventListener("change", ({ target }) => {
    remember((memory) => (memory.shortcuts = target.checked));
    nameKeys(candidates, target.checked);
  });

  listenToKeys(panel, {
    areLettersOn,
    goOn,
    isAnswered: () => Boolean(round?.answered),
    move: (key) => moveFocus(candidates, key),
    pick: (place) => {
      pick(place);
      return place < candidates.children.length;
    },
  });

  next.addEventListener("click", goOn);
  part("copy-link").addEventListener("click", async () => {
    const link = game?.link ?? round?.link;
    if (!link) return;
    await copy(linkTo(location.href, link));
    part("copied").textContent = "The link was copied.";
  });
  new IntersectionObserver(syncAddress).observe(panel);

  const begin = guard(async () => {
    showNext("Next", false);
    const link = challengeIn(location.href);
    const first = link ? null : ask(server, "challenge_deal", { n_way: choices.ways }); // together with the options
    first?.catch(() => {}); // `start` meets the refusal
    options = await ask(server, "challenge_options");
    clockSkewMs = options.now_s * 1000 - Date.now();
    choices.source = options.sources[0].key;
    makeControls();
    await start(link, beatIn(location.href), first);
  });
  begin();
};
