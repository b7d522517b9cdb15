// What tabs share that gather pictures and ask about them; it stands in front of such a tab's own script.
const { make, pad, ask, say, guard, percent, fileToUrl, Refusal } = window.oneLook;
const part = (name) => element.querySelector(`[data-${name}]`);
const refuse = (sentence) => say(element, sentence, true);

// A sheet at [data-<place>] whose picture the button [data-add] adds to a set; several files at once are added by
// themselves. Options are a pad's and: add(url, file), which throws what it refuses, and changed(), which answers.
// What is refused is told in one sentence at the end, and costs nothing of what is there already.
const gather = ({ place, add, changed, ...options }) => {
  const button = part("add");
  const addAll = guard(element, async (files) => {
    const refused = [];
    for (const file of files) {
      try {
        await add(await fileToUrl(file), file);
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        refused.push(`${file.name}: ${error.message}`);
      }
    }
    if (refused.length < files.length) await changed();
    if (refused.length === 1) refuse(refused[0]);
    else if (refused.length) refuse(`${refused.length} of ${files.length} files could not be added; the first is ${refused[0]}`);
  });
  const sheet = pad({ ...options, onRefusal: refuse, onMany: addAll,
    onChange: (value) => { button.disabled = !value; options.onChange?.(); } });
  const addOne = guard(element, async () => {
    const value = sheet.value();
    if (!value) return;
    button.disabled = true; // one press, one picture
    try {
      await add(value);
    } catch (error) {
      button.disabled = false;
      throw error;
    }
    sheet.clear(false);
    await changed();
  });
  button.addEventListener("click", addOne);
  part(place).replaceWith(sheet.node);
  return { sheet, addOne };
};

// A button that takes something out of a list; the keyboard goes on from the next one, or from `after`.
const removeButton = (label, list, after, remove) => make("button", { type: "button", class: "remove", text: "×", "aria-label": label,
  onclick: () => { remove(); (list.querySelector(".remove") ?? after).focus({ preventScroll: true }); } });

// An answer to the newest question alone. `question` gives what is asked, a sentence about what is missing, or null
// while nothing is to change; an older answer that arrives late is dropped, and so is an older refusal.
const answering = (name, question, show) => {
  let latest = 0;
  return guard(element, async () => {
    const asked = question();
    if (asked === null) return;
    const turn = ++latest;
    if (typeof asked === "string") {
      part("answer").hidden = true;
      say(element, asked);
      return;
    }
    say(element, "Looking …");
    let result;
    try {
      result = await ask(server, name, asked);
    } catch (error) {
      if (turn !== latest) return;
      part("answer").hidden = true;
      throw error;
    }
    if (turn !== latest) return;
    say(element, "");
    part("answer").hidden = false;
    show(result, asked);
  });
};
