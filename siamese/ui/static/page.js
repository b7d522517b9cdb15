// What the tabs share. Runs once, in the document's head, before any tab is built.
import { challengeTab } from "./challenge/tab.js";
import { guard, make, percent, pressed, say } from "./dom.js";
import { drawInk, ink, seen } from "./ink.js";
import { remember } from "./memory.js";
import { fileToUrl, pad, readAsUrl } from "./pad.js";
import { scale } from "./scale.js";
import { ask, inTime, UserError } from "./server.js";
import { copy } from "./share.js";

window.oneLook = {
  ask,
  copy,
  drawInk,
  fileToUrl,
  guard,
  inTime,
  ink,
  make,
  pad,
  percent,
  pressed,
  readAsUrl,
  remember,
  say,
  scale,
  seen,
  UserError,
  Refusal: UserError,
  tabs: { challenge: challengeTab },
};
