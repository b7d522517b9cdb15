// What all tabs share. Runs once, in the document's head, before any tab is built.
(() => {
  "use strict";
  const oneLook = (window.oneLook = {});
  const PICTURE_SIDE_PX = 1600; // a larger upload is scaled down before it is sent
  const RAW_BYTES = 1_500_000; // a smaller file is sent as it is
  const UNREADABLE_BYTES = 6_000_000; // what this browser cannot open goes to the server, which says what is wrong
  const SHEET_PX = 420;
  const PEN_PX = 11;

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

  const readAsUrl = (blob) =>
    new Promise((resolve, reject) => {
      const reader = new FileReader();
      reader.onload = () => resolve(reader.result);
      reader.onerror = () => reject(new oneLook.Refusal("The file could not be read."));
      reader.readAsDataURL(blob);
    });
  oneLook.readAsUrl = readAsUrl;

  // A file as a data URL: as it is when small, scaled down when large, untouched when only the server can judge it.
  oneLook.fileToUrl = async (file) => {
    let bitmap = null;
    try {
      bitmap = await createImageBitmap(file);
    } catch {
      if (file.size > UNREADABLE_BYTES) throw new oneLook.Refusal(`${file.name} is not a picture that can be opened here; use PNG, JPEG, WebP, BMP or GIF.`);
      return readAsUrl(file);
    }
    if (file.size <= RAW_BYTES && Math.max(bitmap.width, bitmap.height) <= PICTURE_SIDE_PX) return readAsUrl(file);
    const scale = Math.min(1, PICTURE_SIDE_PX / Math.max(bitmap.width, bitmap.height));
    const canvas = make("canvas");
    canvas.width = Math.max(1, Math.round(bitmap.width * scale));
    canvas.height = Math.max(1, Math.round(bitmap.height * scale));
    const pen = canvas.getContext("2d");
    pen.fillStyle = "white";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.imageSmoothingQuality = "high";
    pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    return canvas.toDataURL("image/jpeg", 0.93);
  };

  let pads = []; // every pad of the page that takes pictures

  // A camera is on only while its sheet is in sight: not behind another tab or window, not on a sheet that is gone.
  const watchCameras = () => {
    for (const pad of pads) if (document.hidden || !pad.sheet.offsetParent) pad.stopCamera();
    pads = pads.filter((pad) => pad.node.isConnected);
  };
  const sight = new ResizeObserver(watchCameras);
  document.addEventListener("visibilitychange", watchCameras);

  // A sheet to draw on that also takes files, the clipboard and the camera. `options`: label, name, hint, onChange,
  // onMany(files) for several at once (from `manyFrom` on), wide (a signature's shape), drawOnly. Returns {node,
  // sheet, take(file), show(url), value(), isDrawing(), clear(), stopCamera()}.
  oneLook.pad = (options) => {
    const canvas = make("canvas", { width: SHEET_PX, height: SHEET_PX, "aria-hidden": "true" });
    const pen = canvas.getContext("2d");
    const picture = make("img", { class: "pad-picture", alt: "", hidden: true });
    const video = make("video", { class: "pad-video", hidden: true, muted: true, playsinline: true });
    const hint = make("p", { class: "pad-hint", text: options.hint || "Draw here, or drop a picture" });
    const sheet = make("div", {
      class: options.wide ? "pad-sheet wide" : "pad-sheet", tabindex: 0, role: "group",
      "aria-label": `${options.label}: a sheet to draw on. Paste a picture here, or use the buttons below.`,
    }, canvas, picture, video, hint);
    const input = make("input", { type: "file", accept: "image/*", multiple: Boolean(options.onMany), class: "visually-hidden", "aria-label": `Upload: ${options.label}, choose a picture file`, name: options.name });
    const upload = make("label", { class: "tool" }, input, make("span", { text: "Upload" }));
    const camera = make("button", { type: "button", class: "tool" });
    const undo = make("button", { type: "button", class: "tool", text: "Undo", disabled: true, "aria-label": `Undo: ${options.label}, take back the last stroke` });
    const clear = make("button", { type: "button", class: "tool", text: "Clear", disabled: true, "aria-label": `Clear: ${options.label}, empty the sheet` });
    const tools = make("div", { class: "pad-tools" }, ...(options.drawOnly ? [] : [upload, camera]), undo, clear);
    const node = make("div", { class: "pad" }, make("h3", { class: "pad-label", text: options.label }), sheet, tools);

    let strokes = [];
    let stroke = null;
    let pointer = null; // the finger, pen or mouse that draws the stroke
    let newest = 0; // counts what the visitor brings; what comes late does not take the place of anything newer
    let file = null; // data URL of a picture that was uploaded, pasted or photographed
    let stream = null;
    let asking = false; // whether the visitor is being asked for the camera
    let timer = 0;

    const showTools = () => {
      undo.disabled = strokes.length === 0;
      clear.disabled = !file && strokes.length === 0 && !stream;
      hint.hidden = !clear.disabled;
    };
    const changed = (delay = 0) => {
      showTools();
      clearTimeout(timer);
      timer = setTimeout(() => options.onChange && options.onChange(pad.value()), delay);
    };

    const repaint = () => {
      pen.clearRect(0, 0, canvas.width, canvas.height);
      pen.lineWidth = PEN_PX;
      pen.lineCap = pen.lineJoin = "round";
      pen.strokeStyle = pen.fillStyle = "black";
      for (const points of strokes) {
        pen.beginPath();
        pen.moveTo(...points[0]);
        if (points.length === 1) pen.lineTo(points[0][0] + 0.1, points[0][1]);
        for (let i = 1; i < points.length; i++) {
          const [x, y] = points[i];
          const [px, py] = points[i - 1];
          pen.quadraticCurveTo(px, py, (px + x) / 2, (py + y) / 2);
        }
        pen.lineTo(...points[points.length - 1]);
        pen.stroke();
      }
    };

    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      return [((event.clientX - box.left) * canvas.width) / box.width, ((event.clientY - box.top) * canvas.height) / box.height];
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (file || stream || event.button !== 0 || (stroke && event.pointerId !== pointer)) return;
      event.preventDefault();
      newest += 1;
      pointer = event.pointerId;
      sheet.focus({ preventScroll: true });
      canvas.setPointerCapture(pointer);
      clearTimeout(timer);
      if (!strokes.length) canvas.width = Math.round((SHEET_PX * canvas.clientWidth) / canvas.clientHeight); // the sheet's shape
      stroke = [place(event)];
      strokes.push(stroke);
      hint.hidden = true;
      repaint();
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!stroke || event.pointerId !== pointer) return;
      for (const one of event.getCoalescedEvents?.() ?? [event]) stroke.push(place(one));
      repaint();
      if (options.onInk) options.onInk();
    });
    const lift = (event) => {
      if (!stroke || event.pointerId !== pointer) return;
      stroke = null;
      changed(options.drawOnly ? 120 : 700); // a character has several strokes; do not answer between them
    };
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) canvas.addEventListener(end, lift);

    const nameCamera = (text, does) => {
      camera.textContent = text;
      camera.setAttribute("aria-label", `${text}: ${options.label}, ${does}`);
    };
    const stopCamera = () => {
      if (stream) stream.getTracks().forEach((track) => track.stop());
      stream = null;
      video.srcObject = null;
      video.hidden = true;
      nameCamera("Camera", "photograph it");
    };
    stopCamera();

    const wipe = () => {
      newest += 1;
      stopCamera();
      strokes = [];
      stroke = null;
      repaint();
    };
    const show = (url) => {
      wipe();
      file = url;
      picture.hidden = false;
      picture.onerror = () => { picture.hidden = true; hint.hidden = false; hint.textContent = "A file that cannot be shown"; };
      picture.src = url;
      changed();
    };

    const take = async (blob) => {
      const mine = ++newest;
      try {
        const url = await oneLook.inTime(oneLook.fileToUrl(blob), () => mine === newest);
        if (url) show(url);
      } catch (error) {
        options.onRefusal && options.onRefusal(error.message);
      }
    };

    const takeAll = async (files) => {
      if (options.onMany && files.length >= (options.manyFrom ?? 2)) return options.onMany(files);
      if (!files.length) return;
      options.onFile && options.onFile(files[0]);
      await take(files[0]);
    };
    input.addEventListener("change", () => {
      const files = [...input.files];
      input.value = "";
      takeAll(files);
    });
    sheet.addEventListener("dragover", (event) => { event.preventDefault(); sheet.classList.add("over"); });
    sheet.addEventListener("dragleave", () => sheet.classList.remove("over"));
    sheet.addEventListener("drop", (event) => {
      event.preventDefault();
      sheet.classList.remove("over");
      if (!options.drawOnly) takeAll([...event.dataTransfer.files]);
    });
    camera.addEventListener("click", async () => {
      if (stream) {
        if (!video.videoWidth) return; // nothing to take before the first frame
        const shot = make("canvas");
        shot.width = video.videoWidth;
        shot.height = video.videoHeight;
        shot.getContext("2d").drawImage(video, 0, 0);
        return show(shot.toDataURL("image/jpeg", 0.93));
      }
      if (asking) return; // a second press must open no second camera
      const mine = ++newest;
      let opened;
      asking = true;
      try {
        opened = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      } catch {
        if (mine === newest && options.onRefusal) options.onRefusal("No camera can be used here; upload a picture instead.");
        return;
      } finally {
        asking = false;
      }
      const isWanted = mine === newest && !document.hidden && sheet.offsetParent;
      if (!isWanted) return opened.getTracks().forEach((track) => track.stop());
      pad.clear();
      stream = opened;
      video.srcObject = stream;
      video.hidden = false;
      hint.hidden = true;
      clear.disabled = false;
      nameCamera("Take picture", "photographed as it is now");
      await video.play().catch(() => {}); // the camera may be stopped before its first frame
    });
    const focusSheet = () => sheet.focus({ preventScroll: true });
    undo.addEventListener("click", () => {
      strokes.pop();
      repaint();
      changed();
      if (undo.disabled) focusSheet();
    });
    clear.addEventListener("click", () => { pad.clear(); focusSheet(); });

    const pad = {
      node, sheet, take, show,
      value: () => {
        if (file) return file;
        if (!strokes.length) return null;
        const flat = make("canvas");
        flat.width = canvas.width;
        flat.height = canvas.height;
        const paper = flat.getContext("2d");
        paper.fillStyle = "white";
        paper.fillRect(0, 0, flat.width, flat.height);
        paper.drawImage(canvas, 0, 0);
        return flat.toDataURL("image/png");
      },
      isDrawing: () => stroke !== null,
      clear: (notify = true) => {
        wipe();
        file = null;
        picture.hidden = true;
        picture.removeAttribute("src");
        hint.textContent = options.hint || "Draw here, or drop a picture";
        if (notify) changed();
        else { clearTimeout(timer); showTools(); }
      },
      stopCamera: () => { if (stream) { stopCamera(); showTools(); } },
    };
    if (!options.drawOnly) {
      pads.push(pad);
      sight.observe(sheet);
    }
    return pad;
  };

  document.addEventListener("paste", (event) => {
    const image = [...(event.clipboardData?.files ?? [])].find((file) => file.type.startsWith("image/"));
    if (!image) return;
    const visible = pads.filter((pad) => pad.node.offsetParent);
    const target = visible.find((pad) => pad.node.contains(document.activeElement)) ?? visible.find((pad) => !pad.value());
    if (target) { event.preventDefault(); target.take(image); }
  });

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
