// What all tabs share. Runs once, in the document's head, before any tab is built.
(() => {
  "use strict";
  const oneLook = (window.oneLook = {});

  oneLook.Refusal = class extends Error {};

  // One call to the server; a refusal becomes an exception whose text is a sentence for the visitor.
  oneLook.ask = async (server, name, payload = {}) => {
    let answer;
    try {
      answer = await server[name](payload);
    } catch {
      throw new oneLook.Refusal("The server did not answer. Please try again in a moment.");
    }
    if (!answer || typeof answer !== "object") throw new oneLook.Refusal("The server could not take this. Please try again.");
    if (answer.error) throw Object.assign(new oneLook.Refusal(answer.error), { lasting: answer.lasting === true });
    return answer;
  };

  // What was asked for; null where `isWanted` says that nobody waits for it any more, and no refusal is told then.
  oneLook.inTime = async (asked, isWanted) => {
    try {
      const answer = await asked;
      return isWanted() ? answer : null;
    } catch (error) {
      if (isWanted()) throw error;
      return null;
    }
  };

  oneLook.make = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (name === "text") node.textContent = value;
      else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children);
    return node;
  };
  const make = oneLook.make;

  oneLook.percent = (share, digits = 0) => {
    // 99.97 per cent is not "100 %": a score never claims more than it has
    const value = share * 100;
    if (value > 99 && value < 100) return `${Math.floor(value * 10) / 10}\u00a0%`;
    if (value > 0 && value < 1) return `${Math.ceil(value * 10) / 10}\u00a0%`;
    return `${value.toFixed(digits)}\u00a0%`;
  };

  oneLook.say = (element, sentence, isError = false) => {
    const line = element.querySelector("[data-say]");
    line.textContent = sentence;
    line.classList.toggle("refusal", isError);
    line.setAttribute("role", isError ? "alert" : "status");
  };

  oneLook.guard = (element, action) => async (...given) => {
    try {
      return await action(...given);
    } catch (error) {
      if (!(error instanceof oneLook.Refusal)) console.error(error);
      oneLook.say(element, error instanceof oneLook.Refusal ? error.message : "Something went wrong on this page.", true);
    }
  };

  // A button's action that ignores presses while it is under way; a button that is disabled would lose the focus.
  oneLook.pressed = (button, action) => async () => {
    if (button.ariaDisabled === "true") return;
    button.ariaDisabled = "true";
    try {
      return await action();
    } finally {
      button.ariaDisabled = null;
    }
  };

  const loadImage = (url) =>
    new Promise((resolve, reject) => {
      const image = new Image();
      image.onload = () => resolve(image);
      image.onerror = () => reject(new oneLook.Refusal("This browser cannot show the picture."));
      image.src = url;
    });

  // A drawing as smooth ink without paper, large and centred on its tile; the theme decides both colours.
  oneLook.drawInk = async (canvas, url, side = 315) => {
    const image = await loadImage(url);
    const small = make("canvas", { width: image.width, height: image.height });
    const look = small.getContext("2d", { willReadFrequently: true });
    look.drawImage(image, 0, 0);
    const seen = look.getImageData(0, 0, image.width, image.height).data;
    let [left, top, right, bottom] = [image.width, image.height, 0, 0];
    for (let i = 0; i < image.width * image.height; i++) {
      if (seen[4 * i] > 127) continue;
      const [x, y] = [i % image.width, Math.floor(i / image.width)];
      [left, right, top, bottom] = [Math.min(left, x), Math.max(right, x), Math.min(top, y), Math.max(bottom, y)];
    }
    if (right < left) [left, top, right, bottom] = [0, 0, image.width, image.height];
    const extent = Math.max(right - left + 1, bottom - top + 1, image.width * 0.58); // a small character stays smaller
    const scale = (side * 0.8) / extent;
    canvas.width = canvas.height = side;
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    pen.fillStyle = "white";
    pen.fillRect(0, 0, side, side);
    pen.imageSmoothingQuality = "high";
    if ("filter" in pen) pen.filter = `blur(${scale / 2.2}px)`;
    pen.drawImage(image, side / 2 - (scale * (left + right + 1)) / 2, side / 2 - (scale * (top + bottom + 1)) / 2, scale * image.width, scale * image.height);
    if ("filter" in pen) pen.filter = "none";
    const pixels = pen.getImageData(0, 0, side, side);
    for (let i = 0; i < pixels.data.length; i += 4) {
      const ink = 255 - pixels.data[i];
      pixels.data[i] = pixels.data[i + 1] = pixels.data[i + 2] = 0;
      pixels.data[i + 3] = Math.max(0, Math.min(255, (ink - 118) * 3.4 + 128)); // a steeper edge
    }
    pen.putImageData(pixels, 0, 0);
  };

  oneLook.ink = (url, label, side) => {
    const canvas = make("canvas", { class: "ink", role: "img", "aria-label": label });
    oneLook.drawInk(canvas, url, side).catch(() => canvas.setAttribute("aria-label", `${label} (cannot be shown)`));
    return canvas;
  };

  // What the network sees, pixel for pixel.
  oneLook.seen = (url, label) => make("img", { class: "seen", src: url, alt: label, width: 105, height: 105 });

  // A score on a labelled scale from 0 to 100 % with the threshold marked.
  oneLook.scale = (score, threshold, left = "different", right = "the same") => {
    const at = (share) => `${(share * 100).toFixed(2)}%`;
    const track = make("div", { class: "scale-track" });
    const fill = make("div", { class: "scale-fill" });
    const mark = make("div", { class: "scale-mark", style: `left:${at(threshold)}` }, make("span", { text: `threshold ${oneLook.percent(threshold)}` }));
    if (threshold > 0.6) mark.classList.add("from-right");
    const bead = make("div", { class: "scale-bead", style: `left:${at(score)}` });
    track.append(fill, mark, bead);
    requestAnimationFrame(() => (fill.style.width = at(score)));
    const label = `Similarity ${oneLook.percent(score)} on a scale from 0 to 100 per cent; the threshold is ${oneLook.percent(threshold)}.`;
    return make("div", { class: "scale", role: "img", "aria-label": label }, track,
      make("div", { class: "scale-ends" }, make("span", { text: `0 % ${left}` }), make("span", { text: "50 %" }), make("span", { text: `100 % ${right}` })));
  };

  // What this browser remembers. Never sent anywhere, never trusted.
  const MEMORY_KEY = "one-look/1";
  oneLook.remember = (change) => {
    let memory = {};
    try {
      memory = JSON.parse(localStorage.getItem(MEMORY_KEY)) || {};
    } catch { /* private mode, or somebody else's text */ }
    if (change) {
      change(memory);
      try {
        localStorage.setItem(MEMORY_KEY, JSON.stringify(memory));
      } catch { /* nothing is remembered then */ }
    }
    return memory;
  };

  oneLook.copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = make("textarea", { class: "visually-hidden" });
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  };
})();
