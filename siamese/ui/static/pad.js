// The sheets that a visitor draws on or brings pictures to.
import { make } from "./dom.js";
import { inTime, UserError } from "./server.js";

  const PICTURE_SIDE_PX = 1600; // a larger upload is scaled down before it is sent
  const RAW_BYTES = 1_500_000; // a smaller file is sent as it is
  const UNREADABLE_BYTES = 6_000_000; // what this browser cannot open goes to the server, which says what is wrong
  const SHEET_PX = 420;
  const PEN_PX = 11;

  const MOVED_PX = 4; // of the sheet's; a press that moved less is a dot

  const hasLength = (stroke) => stroke.some(([x, y]) => Math.hypot(x - stroke[0][0], y - stroke[0][1]) >= MOVED_PX);

  export const readAsUrl = (blob) =>
    new Promise((resolve, reject) => {
      const reader = new FileReader();
      reader.onload = () => resolve(reader.result);
      reader.onerror = () => reject(new UserError("The file could not be read."));
      reader.readAsDataURL(blob);
    });

  // A file as a data URL: as it is when small, scaled down when large, untouched when only the server can judge it.
  export const fileToUrl = async (file) => {
    let bitmap = null;
    try {
      bitmap = await createImageBitmap(file);
    } catch {
      if (file.size > UNREADABLE_BYTES) throw new UserError(`${file.name} is not a picture that can be opened here; use PNG, JPEG, WebP, BMP or GIF.`);
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
  export const pad = (options) => {
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
        const url = await inTime(fileToUrl(blob), () => mine === newest);
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
        if (!strokes.some(hasLength)) return null; // a dot alone is a press, no drawing
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
