// Classify: pictures in, names out.

import { ask, predict } from "./api.js";
import { closeCamera, openCamera, takeFrame } from "./camera.js";
import { bar, count, day, fill, h, icon, megabytes, percent, say, takesPictures } from "./dom.js";

const AT_ONCE = 4; // pictures on their way at one time
const BAR_AFTER = 300; // milliseconds
const AHEAD_AFTER = 2000;
const MORE = 10; // classes shown on request

export function classify(shared) {
  const root = document.querySelector('[data-panel="classify"]');
  let items = [];
  let underway = 0;
  let byProbability = false;

  const choose = h("button", { class: "primary", onclick: () => field.click() }, icon("picture"), "Choose pictures");
  const useCamera = h("button", { onclick: () => live.open() }, icon("camera"), "Use the camera");
  const drop = h("div", { class: "drop" },
    h("div", { class: "badge" }, icon("picture")),
    h("p", { class: "lead" }, "What is this?"),
    h("p", { class: "soft" }, "Drop, paste or choose pictures, or use the camera."),
    h("div", { class: "row centre" }, choose, useCamera));
  const field = takesPictures(drop, (files) => add(files));
  const live = liveCamera(shared, (blob) => add([blob]));
  const tools = h("div", { class: "row tools", hidden: true });
  const grid = h("div", { class: "grid" });
  const known = h("div", { class: "known" });
  root.append(drop, live.element, tools, grid, known);

  document.addEventListener("paste", (event) => {
    if (root.hidden) return;
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length) add(files);
  });
  for (const name of ["dragover", "drop"]) window.addEventListener(name, (event) => event.preventDefault());

  function add(files) {
    if (!files.length) return;
    const made = files.map((file) => pictureCard(shared, file, { remove, again: start }));
    items = [...made, ...items];
    arrange();
    made.forEach(start);
  }

  function start(item) {
    item.state = "waiting";
    pump();
  }

  function pump() {
    for (const item of [...items].reverse()) {
      if (underway >= AT_ONCE) return;
      if (item.state !== "waiting") continue;
      underway += 1;
      item.ask().finally(() => { underway -= 1; arrange(); pump(); });
    }
  }

  function remove(item) {
    item.dispose();
    items = items.filter((other) => other !== item);
    arrange();
  }

  function arrange() {
    const shown = byProbability
      ? [...items].sort((a, b) => (b.prediction?.probability ?? -1) - (a.prediction?.probability ?? -1))
      : items;
    grid.replaceChildren(...shown.map((item) => item.element));
    grid.classList.toggle("single", items.length === 1);
    drop.classList.toggle("small", items.length > 0);
    tools.hidden = items.length < 2;
    const left = items.filter((item) => item.state === "waiting" || item.state === "asked").length;
    tools.replaceChildren(
      h("span", { class: "soft grow" }, left ? `${items.length - left} of ${count(items.length, "picture")}` : count(items.length, "picture")),
      h("button", { class: "quiet", "aria-pressed": String(byProbability), onclick: () => { byProbability = !byProbability; arrange(); } }, "Surest first"),
      h("button", { class: "quiet", onclick: () => saveCsv(items) }, "Save as CSV"),
      h("button", { class: "quiet", onclick: () => { items.forEach((item) => item.dispose()); items = []; arrange(); choose.focus(); } }, "Clear"));
  }

  shared.listeners.push((model, before) => {
    if (!model || (before && before.model_version === model.model_version && known.childElementCount)) return;
    known.replaceChildren(...knownClasses(model));
    for (const button of [choose, useCamera]) button.disabled = !model.num_seen;
  });

  return { onShow: (isShown) => { if (!isShown) live.close(); } };
}

function knownClasses(model) {
  if (!model.num_seen) {
    return [h("p", { class: "empty" }, "Nothing taught yet. ", h("a", { href: "#teach" }, "Teach the first lesson"), ".")];
  }
  const names = [...model.classes].map((entry) => entry.label).sort((a, b) => a.localeCompare(b));
  const shown = names.slice(0, 60).map((label) => h("li", {}, label));
  const list = h("ul", { class: "chips" }, shown);
  if (names.length > 60) {
    list.append(h("li", {}, h("button", { class: "link", onclick: () => list.replaceChildren(...names.map((label) => h("li", {}, label))) }, `and ${names.length - 60} more`)));
  }
  return [h("h2", {}, `It knows ${count(names.length, "class", "classes")}`), list];
}

/** One picture with what becomes of it. */
function pictureCard(shared, file, { remove, again }) {
  const url = URL.createObjectURL(file);
  const picture = h("img", { src: url, alt: file.name ? `Your picture ${file.name}` : "Your picture" });
  picture.addEventListener("error", () => picture.replaceWith(h("div", { class: "noimage" }, icon("picture"))));
  const body = h("div", { class: "body" });
  const close = h("button", { class: "round", "aria-label": "Remove this picture", onclick: () => remove(item) }, icon("close"));
  const element = h("article", { class: "result", "aria-busy": "true" }, h("div", { class: "frame" }, picture), body, close);
  const item = { element, state: "waiting", prediction: null, name: file.name ?? "camera", ask: send, dispose: () => URL.revokeObjectURL(url) };

  async function send() {
    item.state = "asked";
    element.setAttribute("aria-busy", "true");
    body.replaceChildren();
    const timers = [
      setTimeout(() => body.replaceChildren(h("div", { class: "working", role: "progressbar", "aria-label": "Waiting for the answer" }, h("i"))), BAR_AFTER),
      setTimeout(tellAhead, AHEAD_AFTER),
    ];
    try {
      checkSize(file, shared.model?.limits);
      item.prediction = await predict(file);
      item.state = "done";
      showAnswer();
    } catch (error) {
      item.state = "failed";
      showTrouble(error);
    } finally {
      timers.forEach(clearTimeout);
      element.setAttribute("aria-busy", "false");
    }
  }

  async function tellAhead() {
    try {
      const model = await ask("GET", "/v1/model");
      if (item.state === "asked" && model.waiting > 1) body.append(h("p", { class: "soft" }, `${count(model.waiting - 1, "picture")} ahead of you`));
    } catch { /* the answer itself will say so */ }
  }

  function showAnswer() {
    const { prediction } = item;
    element.classList.toggle("unsure", prediction.is_unsure);
    const lesson = shared.model?.lessons.find((each) => each.task === prediction.task);
    const taught = `taught in lesson ${prediction.task}${lesson?.date ? `, ${day(lesson.date)}` : ""}`;
    const bars = h("div", { class: "bars" }, prediction.top.map(barRow));
    const more = h("button", { class: "link", onclick: () => showMore(bars, more) }, "more");
    const parts = prediction.is_unsure
      ? [h("p", { class: "label" }, "Not sure"),
         h("p", { class: "soft" }, `It can only answer with the ${count(shared.model.num_seen, "class", "classes")} it was taught.`)]
      : [h("p", { class: "label" }, prediction.label), h("p", { class: "soft" }, taught)];
    const canTeach = shared.model?.can_teach;
    const wrong = canTeach ? wrongForm(shared, file, prediction.is_unsure) : null;
    fill(body, ...parts, bars, h("div", { class: "row" }, wrong?.button ?? null, shared.model.num_seen > prediction.top.length ? more : null), wrong?.form);
    say(prediction.is_unsure ? `Not sure. Perhaps ${prediction.label}.` : `${prediction.label}, ${percent(prediction.probability)}`);
  }

  async function showMore(bars, more) {
    more.disabled = true;
    try {
      const prediction = await predict(file, MORE);
      bars.replaceChildren(...prediction.top.map(barRow));
      more.remove();
    } catch (error) {
      more.replaceWith(h("span", { class: "trouble" }, error.text ?? error.message));
    }
  }

  function showTrouble(error) {
    const isGone = error.code === "no_answer";
    fill(body,
      h("p", { class: "trouble", role: "alert" }, error.text ?? error.message, isGone ? " Your picture is still here." : ""),
      isGone || error.status >= 500 || error.status === 408 ? h("button", { onclick: () => again(item) }, "Retry") : null);
  }

  return item;
}

function checkSize(file, limits) {
  if (limits && file.size > limits.image_bytes) {
    throw new Error(`${megabytes(file.size)} is over the limit of ${megabytes(limits.image_bytes)}.`);
  }
}

function barRow({ label, probability }) {
  return h("div", { class: "score" }, h("span", { class: "name" }, label), bar(probability), h("span", { class: "number" }, percent(probability)));
}

/** "Wrong?": lets the user name the picture; a new name begins a draft with it. */
function wrongForm(shared, file, isUnsure) {
  const name = h("input", { name: "name", placeholder: "What is it?", maxlength: "200", required: true, autocomplete: "off", "aria-label": "What is it?" });
  const told = h("p", { class: "trouble", role: "alert", hidden: true });
  const tell = (text) => { told.textContent = text; told.hidden = false; };
  const form = h("form", { class: "wrong", hidden: true, onsubmit: submit }, h("div", { class: "row" }, name, h("button", { class: "primary" }, "Teach")), told);
  const button = h("button", { class: isUnsure ? "" : "link", "aria-expanded": "false", onclick: () => {
    form.hidden = !form.hidden;
    button.setAttribute("aria-expanded", String(!form.hidden));
    if (!form.hidden) name.focus();
  } }, isUnsure ? "Teach this" : "Wrong?");

  async function submit(event) {
    event.preventDefault();
    const label = name.value.trim().normalize("NFC");
    if (shared.model.classes.some((entry) => entry.label === label)) {
      tell("Known classes cannot be taught again yet; the picture was not kept.");
      return;
    }
    try {
      await shared.startDraft(label, file);
      location.hash = "#teach";
    } catch (error) {
      tell(error.code === "token" ? "Teaching needs the token of this server: enter it under Teach." : error.text ?? error.message);
    }
  }
  return { button, form };
}

/** The camera with bars that move while you watch. */
function liveCamera(shared, keep) {
  const video = h("video", { muted: true, playsinline: true, "aria-label": "What the camera sees" });
  video.muted = true;
  const label = h("p", { class: "label" }, " ");
  const rows = h("div", { class: "bars" });
  const told = h("p", { class: "trouble", role: "alert", hidden: true });
  const element = h("article", { class: "result live", hidden: true },
    h("div", { class: "frame" }, video),
    h("div", { class: "body" }, label, rows, told,
      h("div", { class: "row" },
        h("button", { class: "primary", onclick: async () => keep(await takeFrame(video)) }, "Keep this picture"),
        h("button", { onclick: () => close() }, "Close"))));
  let isOpen = false;

  async function open() {
    element.hidden = false;
    told.hidden = true;
    try {
      await openCamera(video);
    } catch (error) {
      told.textContent = error.message;
      told.hidden = false;
      return;
    }
    isOpen = true;
    watch();
  }

  function close() {
    isOpen = false;
    closeCamera(video);
    element.hidden = true;
  }

  async function watch() {
    while (isOpen) {
      try {
        const prediction = await predict(await takeFrame(video));
        label.textContent = prediction.is_unsure ? "Not sure" : prediction.label;
        element.classList.toggle("unsure", prediction.is_unsure);
        update(prediction.top);
        told.hidden = true;
      } catch (error) {
        told.textContent = error.text ?? error.message;
        told.hidden = false;
        await new Promise((resolve) => { setTimeout(resolve, 2000); });
      }
      await new Promise((resolve) => { setTimeout(resolve, 150); });
    }
  }

  function update(top) {
    while (rows.childElementCount < top.length) rows.append(barRow({ label: "", probability: 0 }));
    top.forEach((entry, i) => {
      const [name, line, number] = rows.children[i].children;
      name.textContent = entry.label;
      line.fill(entry.probability);
      number.textContent = percent(entry.probability);
    });
  }

  return { element, open, close };
}

function saveCsv(items) {
  // A cell that begins like a formula would be run by a spreadsheet.
  const cell = (value) => `"${String(value ?? "").replace(/^[=+\-@\t\r]/, "'$&").replaceAll('"', '""')}"`;
  const lines = items.map(({ name, prediction }) => [cell(name), cell(prediction?.label), prediction?.probability ?? "", prediction?.is_unsure ?? "", prediction?.task ?? ""].join(","));
  const text = ["picture,class,probability,not_sure,lesson", ...lines].join("\r\n");
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  h("a", { href: url, download: "predictions.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
