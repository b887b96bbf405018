// Classify: pictures in, names out.

import { arrange, count, h, icon, takesPictures } from "./dom.js";
import { liveCamera } from "./live.js";
import { pictureCard } from "./picture.js";

const AT_ONCE = 4; // pictures on their way at one time

export function classify(shared) {
  const root = document.querySelector('[data-panel="classify"]');
  let items = []; // as shown: newest first, those that came together in their order
  let queue = []; // in the order in which they are asked
  let underway = 0;
  let early = []; // what was chosen before the model was heard of
  let byProbability = false;

  const choose = h("button", { class: "primary", onclick: () => field.click() }, icon("picture"), "Choose pictures");
  const useCamera = h("button", { onclick: () => live.open() }, icon("camera"), "Use the camera");
  const drop = h("div", { class: "drop" },
    h("div", { class: "badge" }, icon("picture")),
    h("p", { class: "lead" }, "What is this?"),
    h("p", { class: "soft" }, "Drop, paste or choose pictures, or use the camera."),
    h("div", { class: "row centre" }, choose, useCamera));
  const field = takesPictures(root, (files) => add(files), drop);
  const live = liveCamera((blob) => add([blob]));
  const progress = h("span", { class: "soft grow" });
  const sort = h("button", { class: "quiet", "aria-pressed": "false", onclick: () => { byProbability = !byProbability; show(); } }, "Surest first");
  const tools = h("div", { class: "row tools", hidden: true }, progress, sort,
    h("button", { class: "quiet", onclick: () => saveCsv(items) }, "Save as CSV"),
    h("button", { class: "quiet", onclick: () => { items.forEach((item) => item.dispose()); items = []; queue = []; show(); choose.focus(); } }, "Clear"));
  const grid = h("div", { class: "grid" });
  const known = h("div", { class: "known" });
  root.append(drop, live.element, tools, grid, known);

  document.addEventListener("paste", (event) => {
    if (root.hidden) return;
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length) add(files);
  });
  for (const name of ["dragover", "drop"]) window.addEventListener(name, (event) => event.preventDefault());

  shared.listeners.push((model) => {
    if (!model) return;
    const files = early;
    early = [];
    add(files);
  });

  function add(files) {
    if (!shared.model) early.push(...files);
    if (!files.length || !shared.model?.num_seen) return;
    const made = files.map((file) => pictureCard(shared, file, { remove, again: start }));
    items = [...made, ...items];
    made.forEach(start);
    show();
  }

  function start(item) {
    item.wait();
    queue.push(item);
    pump();
  }

  function pump() {
    while (underway < AT_ONCE && queue.length) {
      underway += 1;
      queue.shift().ask().finally(() => { underway -= 1; pump(); show(); });
    }
    tellAhead();
  }

  /** Say how many pictures come first: of others on the server, of ours on their way, of ours here. */
  function tellAhead() {
    const others = Math.max(0, (shared.model?.waiting ?? 0) - underway);
    queue.forEach((item, i) => item.tellAhead(others + underway + i));
    for (const item of items) if (item.state === "asked") item.tellAhead(others);
  }

  function remove(item) {
    item.dispose();
    items = items.filter((other) => other !== item);
    queue = queue.filter((other) => other !== item);
    show();
    choose.focus();
  }

  function show() {
    const shown = byProbability
      ? [...items].sort((a, b) => (b.prediction?.probability ?? -1) - (a.prediction?.probability ?? -1))
      : items;
    arrange(grid, shown.map((item) => item.element));
    grid.classList.toggle("single", items.length === 1);
    drop.classList.toggle("small", items.length > 0);
    tools.hidden = items.length < 2;
    sort.setAttribute("aria-pressed", String(byProbability));
    const left = items.filter((item) => item.state === "waiting" || item.state === "asked").length;
    progress.textContent = left ? `${items.length - left} of ${count(items.length, "picture")}` : count(items.length, "picture");
  }

  shared.listeners.push((model, before) => {
    tellAhead();
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

function saveCsv(items) {
  // A cell that begins like a formula would be run by a spreadsheet.
  const cell = (value) => `"${String(value ?? "").replace(/^[=+\-@\t\r]/, "'$&").replaceAll('"', '""')}"`;
  const lines = items.map(({ name, prediction }) => [cell(name), cell(prediction?.label), prediction?.probability ?? "", prediction?.is_unsure ?? "", prediction?.task ?? ""].join(","));
  const text = ["picture,class,probability,not_sure,lesson", ...lines].join("\r\n");
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  h("a", { href: url, download: "predictions.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
