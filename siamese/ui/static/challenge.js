// The tab "One-shot challenge". The server deals and judges; nothing here knows the answer before it is given.
const { make, ask, say, ink, percent, remember, copy, pad, inTime, Refusal } = window.oneLook;
const part = (name) => element.querySelector(`[data-${name}]`);
const panel = element.querySelector(".challenge");
const KEYS = [..."1234567890qwertyuiop"];
const TIMED_S = 60;
const PAUSE_MS = 900; // how long a timed round shows what was right

const MODES = {
  free: { name: "Free play", rule: "The network has seen each candidate once, by another hand, as you have. Chance is one in as many as there are." },
  match: { name: "Match of ten", rule: "Ten rounds, you against the network, and a result to send to a friend." },
  timed: { name: "One minute", rule: "Sixty seconds. As many right ones as you can; every wrong one costs only time." },
  daily: { name: "Daily", rule: "The same ten rounds for everybody today, from alphabets that were invented for today." },
  draw: { name: "You draw", rule: "Draw one of these characters. The network says which, while you draw." },
};
const choices = { mode: "free", ways: 10, source: null };
let options = null;
let game = null; // {mode, link, rounds, index, mine: [bool], network: [bool], replay, ends}
let round = null; // what the server dealt, plus `answered`
let ahead = null; // the next round, dealt while the answer of this one is read
let sheet = null; // the pad of "You draw"
let turn = 0; // a call that returns after the visitor went elsewhere is dropped
let clock = 0;

const guard = (action) => async (...given) => {
  try {
    return await action(...given);
  } catch (error) {
    if (!(error instanceof Refusal)) console.error(error);
    say(element, error instanceof Refusal ? error.message : "Something went wrong on this page.", true);
    part("candidates").removeAttribute("aria-busy");
    showNext("Deal again", true); // the round that is due, in the game that is under way
  }
};

// What the server answers; null where the visitor went elsewhere meanwhile.
const thisTurn = (answer) => {
  const mine = turn;
  return inTime(answer, () => mine === turn);
};

let lost = false; // whether the keyboard's focus was on "Next" when it was disabled
const showNext = (text, isReady) => {
  const next = part("next");
  if (!isReady) lost ||= document.activeElement === next;
  next.textContent = text;
  next.disabled = !isReady;
  if (!isReady) return;
  if (lost && document.activeElement === document.body) next.focus({ preventScroll: true });
  lost = false;
};

// ---- choosing a game

const segments = (host, name, entries) => {
  for (const [value, text] of entries) {
    const input = make("input", { type: "radio", name: `one-look-${name}`, value, onchange: () => { choices[name] = value; start(); } });
    host.append(make("label", { class: "segment" }, input, make("span", { text })));
  }
};

const makeControls = () => {
  segments(part("modes"), "mode", Object.entries(MODES).map(([key, mode]) => [key, mode.name]));
  segments(part("ways"), "ways", options.ways.map((ways) => [ways, String(ways)]));
  segments(part("sources"), "source", options.sources.map((one) => [one.key, one.name.replace(" evaluation", "").replace(" alphabets", "")]));
};

const showChoices = () => {
  for (const input of element.querySelectorAll(".controls input")) input.checked = input.value === String(choices[input.name.replace("one-look-", "")]);
};

const start = guard(async (replay = null) => {
  turn += 1;
  clearInterval(clock);
  round = ahead = null;
  const mode = replay ? (replay.startsWith("daily") ? "daily" : replay.endsWith("-x10") ? "match" : "free") : choices.mode;
  choices.mode = mode;
  game = { mode, link: replay ?? (mode === "daily" ? "daily" : null), rounds: 1, index: 0, mine: [], network: [], replay: Boolean(replay), ends: 0 };
  panel.dataset.mode = mode;
  showChoices();
  part("rule").textContent = MODES[mode].rule;
  part("ways").hidden = mode === "daily";
  part("sources").hidden = mode === "daily";
  part("finish").hidden = true;
  part("board").hidden = false;
  part("detail").textContent = "";
  part("copy-link").hidden = mode === "draw" || mode === "timed";
  if (mode === "timed") return waitForStart();
  if (mode === "draw") return dealSheet();
  return deal();
});

const waitForStart = () => {
  part("query").replaceChildren();
  part("from").textContent = "";
  part("candidates").replaceChildren();
  part("board").hidden = true;
  showNext("Start the minute", true);
  say(element, "Ready when you are.");
  showTally();
};

// ---- a round

const request = () => {
  if (game.mode === "match" && !game.link) return { n_way: choices.ways, source: choices.source, match: true };
  if (game.link) return { link: game.link, index: game.index };
  return { n_way: choices.ways, source: choices.source };
};

// The next round, while the answer of this one is read. One that is refused is not kept: the next press asks anew.
const dealAhead = () => {
  const asked = (ahead = ask(server, "challenge_deal", request()));
  asked.catch(() => { if (ahead === asked) ahead = null; });
};

const deal = async () => {
  turn += 1;
  showNext("Next", false);
  part("candidates").setAttribute("aria-busy", "true");
  const asked = ahead ?? ask(server, "challenge_deal", request());
  ahead = null;
  let dealt;
  try {
    dealt = await thisTurn(asked);
  } catch (error) {
    if (error.lasting) {
      forgetLink();
      game.replay = false;
      game.link = game.mode === "daily" ? "daily" : null;
    }
    throw error;
  }
  if (!dealt) return;
  round = { ...dealt, answered: false };
  if (game.mode !== "timed" && game.mode !== "free") game.link = dealt.link;
  game.rounds = dealt.rounds;
  showRound();
};

const showRound = () => {
  part("asked-label").textContent = "Find this character";
  part("query").replaceChildren(ink(round.query, "The character to find"));
  part("from").textContent = round.source_name;
  showCandidates("Pick");
  part("detail").textContent = "";
  const place = game.rounds > 1 ? `Round ${game.index + 1} of ${game.rounds}. ` : "";
  say(element, `${place}Which of the ${round.n_way} is the same character, drawn by another hand?`);
  showTally();
};

const showCandidates = (verb) => {
  const host = part("candidates");
  host.removeAttribute("aria-busy");
  host.dataset.n = round.n_way;
  host.classList.remove("answered");
  host.replaceChildren(...round.candidates.map((url, place) => make("button", {
    type: "button", class: "tile candidate", tabindex: place === 0 ? 0 : -1, "data-place": place,
    "aria-label": `${verb} candidate ${place + 1} of ${round.n_way}`, "aria-keyshortcuts": KEYS[place],
    onclick: () => pick(place),
  }, make("span", { class: "face" }, ink(url, "", 240)),
  make("span", { class: "caption", "aria-hidden": "true" }, make("span", { class: "key", text: KEYS[place] })))));
  host.querySelectorAll("canvas").forEach((canvas) => { canvas.removeAttribute("role"); canvas.setAttribute("aria-hidden", "true"); });
};

const pick = guard(async (place) => {
  if (!round || round.answered || place >= round.n_way) return;
  if (game.mode === "draw") return confirmSheet(place);
  round.answered = true;
  const mine = turn;
  const tile = part("candidates").children[place];
  tile.classList.add("yours");
  const result = await thisTurn(ask(server, "challenge_answer", { round: round.round, choice: place }));
  if (!result) return;
  game.mine.push(result.right);
  game.network.push(result.network_right);
  record(result);
  showResult(result);
  game.index += 1;
  if (game.mode === "timed") {
    dealAhead();
    setTimeout(guard(async () => { if (mine === turn && Date.now() < game.ends) { await deal(); focusFirst(); } }), PAUSE_MS);
    return;
  }
  const isLast = game.rounds > 1 && game.index >= game.rounds;
  showNext(isLast ? "Result" : "Next", true);
  part("next").focus({ preventScroll: true });
  if (!isLast && (game.rounds > 1 || !game.replay)) dealAhead();
});

const clearBars = () => {
  for (const tile of part("candidates").children) {
    tile.querySelectorAll(".bar, .share, .tag, .seal").forEach((old) => old.remove());
    tile.classList.remove("network");
  }
};

const showBars = (result) => {
  clearBars();
  [...part("candidates").children].forEach((tile, place) => {
    const share = result.similarities[place];
    const fill = make("span", { class: "bar-fill", style: `width:${(share * 100).toFixed(1)}%` });
    tile.querySelector(".face").append(make("span", { class: "bar", "aria-hidden": "true" }, fill));
    tile.querySelector(".caption").append(make("span", { class: "share", text: percent(share) }));
    tile.classList.toggle("network", place === result.network_choice);
  });
};

const showResult = (result) => {
  const host = part("candidates");
  host.classList.add("answered");
  showBars(result);
  [...host.children].forEach((tile, place) => {
    const said = [`Candidate ${place + 1}, ${percent(result.similarities[place])} similar`];
    const tags = [];
    if (place === result.choice) tags.push("you");
    if (place === result.network_choice) tags.push("network");
    if (tags.length) tile.append(make("span", { class: "tag", "aria-hidden": "true", text: tags.length > 1 ? "both" : tags[0] }));
    if (place === result.truth) {
      tile.classList.add("truth");
      tile.append(make("span", { class: "seal", "aria-hidden": "true" }));
      said.push("the true one");
    } else if (place === result.choice) tile.classList.add("wrong");
    if (place === result.choice) said.push("your choice");
    if (place === result.network_choice) said.push("the network's choice");
    tile.setAttribute("aria-label", said.join(", "));
    tile.setAttribute("aria-disabled", "true");
  });
  const both = result.right === result.network_right;
  const network = result.network_right ? (both ? "so is the network" : "the network is right") : both ? "so is the network" : "the network is wrong";
  const sentence = result.right ? `Right${both ? ", and " : "; "}${network}.` : `Wrong${both ? ", and " : "; "}${network}.`;
  say(element, sentence);
  const kind = result.source === "omniglot" ? "from Omniglot" : "an invented alphabet";
  part("detail").textContent = `The alphabet is ${result.alphabet}, ${kind}. The network put ${percent(result.certainty)} of its belief on number ${result.network_choice + 1}.`;
  showTally();
};

const goOn = guard(async () => {
  if (part("next").disabled) return;
  if (!game) return begin();
  if (game.mode === "timed" && !game.ends) {
    game.ends = Date.now() + TIMED_S * 1000;
    part("board").hidden = false;
    clock = setInterval(tick, 200);
    await deal();
    return focusFirst();
  }
  if (game.mode === "draw") { await dealSheet(); return; }
  if (game.rounds > 1 && game.index >= game.rounds) return finish();
  if (game.mode === "free" && game.replay && game.mine.length) {
    forgetLink();
    await start();
  } else await deal();
  focusFirst();
});

const tick = () => {
  const left = Math.max(0, Math.ceil((game.ends - Date.now()) / 1000));
  const line = element.querySelector("[data-seconds]");
  if (line) line.textContent = `${left} s`;
  if (left === 0) { clearInterval(clock); turn += 1; finish(); }
};

const focusFirst = () => (round ? part("candidates").querySelector("button") : part("next")).focus({ preventScroll: true });

const forgetLink = () => {
  const url = new URL(location.href);
  url.searchParams.delete("challenge");
  history.replaceState(null, "", url);
};

// ---- the end of a match, a minute, a day

const count = (marks) => marks.filter(Boolean).length;
const squares = (marks) => marks.map((right) => (right ? "🟩" : "⬜")).join("");
const linkOf = (link) => {
  const url = new URL(location.pathname, location.origin);
  url.searchParams.set("challenge", link);
  return url.href;
};

const finish = () => {
  const [mine, network] = [count(game.mine), count(game.network)];
  const total = game.mine.length;
  const name = game.mode === "daily" ? `daily ${game.link.replace("daily-", "")}` : game.mode === "timed" ? "one minute" : "match of ten";
  const lines = [`One Look, ${name}, ${round ? round.n_way : choices.ways} candidates`, `me      ${squares(game.mine)} ${mine}/${total}`, `network ${squares(game.network)} ${network}/${total}`];
  if (game.mode !== "timed" && game.link) lines.push(linkOf(game.link));
  const verdict = mine > network ? "You won." : mine === network ? "A draw." : "The network won.";
  remember((memory) => {
    memory.best ??= {};
    const key = game.mode === "timed" ? `timed-${choices.ways}` : `match-${round?.n_way}`;
    if (game.mode !== "daily") memory.best[key] = Math.max(memory.best[key] ?? 0, mine);
    else {
      memory.daily ??= {};
      memory.daily[game.link] ??= { mine, network, marks: game.mine }; // the first try of a day counts
      for (const day of Object.keys(memory.daily).sort().slice(0, -60)) delete memory.daily[day];
    }
  });
  const memory = remember();
  const first = game.mode === "daily" ? memory.daily[game.link] : null;
  const best = game.mode === "daily" ? null : memory.best[game.mode === "timed" ? `timed-${choices.ways}` : `match-${round?.n_way}`];
  part("board").hidden = true;
  part("finish").hidden = false;
  part("finish").replaceChildren(
    make("h3", { text: verdict, tabindex: -1 }),
    make("dl", { class: "finish-score" },
      make("div", {}, make("dt", { text: "You" }), make("dd", { text: `${mine} of ${total}` })),
      make("div", {}, make("dt", { text: "Network" }), make("dd", { text: `${network} of ${total}` }))),
    make("div", { class: "marks", role: "img", "aria-label": `You ${mine} of ${total}, the network ${network} of ${total}` }, marksRow("You", game.mine, total), marksRow("Network", game.network, total)),
    make("p", { class: "detail", text: first && first.mine !== mine ? `Your first try of this day, ${first.mine} of 10, is the one that this browser keeps.` : best !== null ? `Your best in this browser: ${best}.` : "" }),
    make("div", { class: "finish-buttons" },
      make("button", { type: "button", class: "button primary", text: "Copy the result", onclick: async (event) => { await copy(lines.join("\n")); event.target.textContent = "Copied"; say(element, "The result is in the clipboard."); } }),
      make("button", { type: "button", class: "button", text: "Play again", onclick: async () => { forgetLink(); if (game.mode === "daily") choices.mode = "free"; await start(); focusFirst(); } })),
  );
  showNext("Next", false);
  say(element, `${verdict} You ${mine}, the network ${network}, of ${total}.`);
  part("detail").textContent = "";
  showTally();
  part("finish").querySelector("h3").focus({ preventScroll: true });
};

// ---- what this browser remembers

const record = (result) => {
  remember((memory) => {
    memory.totals ??= {};
    const totals = (memory.totals[round.n_way] ??= { rounds: 0, mine: 0, network: 0 });
    totals.rounds += 1;
    totals.mine += result.right ? 1 : 0;
    totals.network += result.network_right ? 1 : 0;
    memory.streak = result.right ? (memory.streak ?? 0) + 1 : 0;
    memory.bestStreak = Math.max(memory.bestStreak ?? 0, memory.streak);
  });
};

const marksRow = (name, marks, total) => make("span", { class: "marks-row" }, make("em", { text: name }),
  ...Array.from({ length: total }, (_, i) => make("span", { class: i >= marks.length ? "mark" : marks[i] ? "mark right" : "mark wrong" })));

const showTally = () => {
  const memory = remember();
  const ways = game.mode === "daily" ? 10 : round?.n_way ?? choices.ways;
  const totals = memory.totals?.[ways] ?? { rounds: 0, mine: 0, network: 0 };
  const played = game.mine.length;
  const cells = [
    ["You", `${count(game.mine)} / ${played}`],
    ["Network", `${count(game.network)} / ${played}`],
    ["Streak", `${memory.streak ?? 0}`],
    ["Best streak", `${memory.bestStreak ?? 0}`],
  ];
  if (game.mode === "timed") cells.unshift(["Time", game.ends ? `${Math.max(0, Math.ceil((game.ends - Date.now()) / 1000))} s` : `${TIMED_S} s`]);
  if (game.mode === "draw") cells.splice(0, cells.length, ["Network right", `${count(game.network)} / ${game.network.length}`]);
  const list = make("dl", { class: "scores" }, ...cells.map(([name, value]) => make("div", {}, make("dt", { text: name }), make("dd", { text: value, "data-seconds": name === "Time" || null }))));
  const host = part("tally");
  host.replaceChildren(list);
  if (game.rounds > 1 && part("finish").hidden) {
    list.after(make("div", { class: "marks", "aria-hidden": "true" }, marksRow("You", game.mine, game.rounds), marksRow("Network", game.network, game.rounds)));
  }
  if (game.mode === "draw") return;
  host.append(ruler(ways, totals));
};

// Accuracy of both sides over all rounds of this browser, against chance, the paper and people.
const ruler = (ways, totals) => {
  const at = (share) => `left:${(share * 100).toFixed(2)}%`;
  const fixed = [["chance", 1 / ways, `chance ${percent(1 / ways)}`]];
  if (ways === 20) fixed.push(["paper", options.paper, `paper ${percent(options.paper, 1)}`], ["people", options.people, `people ${percent(options.people, 1)}`]);
  const line = make("div", { class: "ruler-line" });
  for (const [kind, share] of fixed) line.append(make("span", { class: `tick ${kind}`, style: at(share) }));
  const words = [];
  if (totals.rounds) {
    line.append(make("span", { class: "dot network", style: at(totals.network / totals.rounds) }), make("span", { class: "dot you", style: at(totals.mine / totals.rounds) }));
    words.push(`you ${percent(totals.mine / totals.rounds)}`, `network ${percent(totals.network / totals.rounds)}`);
  }
  words.push(...fixed.map(([, , text]) => text));
  if (ways !== 20) words.push(`on 20 candidates of Lake's task: paper ${percent(options.paper, 1)}, people ${percent(options.people, 1)}`);
  const rounds = totals.rounds ? `${totals.rounds} round${totals.rounds === 1 ? "" : "s"} with ${ways} candidates in this browser: ` : `With ${ways} candidates: `;
  return make("div", { class: "ruler" }, line, make("p", { class: "ruler-text", text: rounds + words.join(", ") + "." }));
};

// ---- "You draw, it guesses"

const dealSheet = async () => {
  const mine = ++turn;
  showNext("Next", false);
  const dealt = await thisTurn(ask(server, "challenge_draw", { n_way: choices.ways, source: choices.source }));
  if (!dealt) return;
  round = { ...dealt, answered: false, guessed: null };
  let busy = false;
  let again = false;
  const guess = guard(async () => {
    if (busy) { again = true; return; }
    if (mine !== turn || round.answered) return;
    const drawing = sheet.value();
    if (!drawing) {
      round.guessed = null;
      clearBars();
      return say(element, "Draw one of them.");
    }
    busy = true;
    try {
      const result = await thisTurn(ask(server, "challenge_guess", { round: round.round, drawing }));
      if (!result || round.answered) return;
      round.guessed = result.network_choice;
      showBars(result);
      say(element, `The network says number ${result.network_choice + 1}, with ${percent(result.certainty)} of its belief. Tap the one that you drew.`);
    } finally {
      busy = false;
      if (again) { again = false; guess(); }
    }
  });
  sheet = pad({ label: "Draw one of them", name: "drawing", drawOnly: true, hint: "Draw here", onChange: guess, onInk: guess });
  part("asked-label").textContent = "";
  part("query").replaceChildren(sheet.node);
  part("from").textContent = `${round.source_name}: ${round.alphabet}`;
  showCandidates("I drew");
  say(element, "Draw one of them.");
  part("detail").textContent = "";
  showNext("Next", true);
  showTally();
};

const confirmSheet = (place) => {
  if (round.guessed === null) return say(element, "Draw first; the network wants to guess.");
  round.answered = true;
  const right = place === round.guessed;
  game.network.push(right);
  const host = part("candidates");
  host.children[place].classList.add("truth");
  host.children[place].append(make("span", { class: "seal", "aria-hidden": "true" }));
  host.classList.add("answered");
  say(element, right ? "The network read your hand." : `The network took it for number ${round.guessed + 1}; you drew number ${place + 1}.`);
  part("next").focus({ preventScroll: true });
  showTally();
};

// ---- keyboard

const columns = (tiles) => {
  const top = tiles[0].offsetTop;
  const next = tiles.findIndex((tile) => tile.offsetTop > top + 4);
  return next < 0 ? tiles.length : next;
};

document.addEventListener("keydown", (event) => {
  if (!panel.isConnected || panel.offsetParent === null || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  const on = event.target;
  if (on.matches?.("textarea, select, [contenteditable], input:not([type=radio])")) return;
  const tiles = [...part("candidates").children];
  const place = KEYS.indexOf(event.key.toLowerCase());
  if (place >= 0 && place < tiles.length && !event.repeat && !part("board").hidden) {
    event.preventDefault();
    return pick(place);
  }
  const isOnTile = on.classList?.contains("candidate");
  if (event.key === "Enter" && !isOnTile && !on.matches?.("button, a, input")) { event.preventDefault(); return goOn(); }
  if (event.key === "Enter" && isOnTile && round?.answered) { event.preventDefault(); return goOn(); }
  if (!isOnTile && on !== document.body) return;
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns(tiles.length ? tiles : [panel]), ArrowUp: -columns(tiles.length ? tiles : [panel]), Home: -Infinity, End: Infinity }[event.key];
  if (!step || !tiles.length) return;
  event.preventDefault();
  const here = isOnTile ? tiles.indexOf(on) : -1;
  const wanted = isOnTile ? Math.max(0, Math.min(tiles.length - 1, here + step)) : 0;
  tiles.forEach((tile, i) => (tile.tabIndex = i === wanted ? 0 : -1));
  tiles[wanted].focus({ preventScroll: false });
});

part("next").addEventListener("click", goOn);
part("copy-link").addEventListener("click", async () => {
  const link = round?.link;
  if (!link) return;
  await copy(linkOf(link));
  say(element, game.rounds > 1 ? "A link to these ten rounds is in the clipboard." : "A link to this round is in the clipboard.");
});

const begin = guard(async () => {
  showNext("Next", false);
  options = await ask(server, "challenge_options");
  choices.source = options.sources[0].key;
  makeControls();
  await start(new URLSearchParams(location.search).get("challenge"));
});
begin();
