// A lesson under way, and what came of it.

import { ask } from "./api.js";
import { bar, count, duration, h, icon, percent, say } from "./dom.js";
import { confirmUndo } from "./undo.js";

export function runningView(api) {
  const title = h("h2", {});
  const line = bar(0, "progress");
  const facts = h("p", { class: "soft" });
  const cancel = h("button", { onclick: async () => {
    cancel.disabled = true;
    cancel.textContent = "Cancelling …";
    try { await ask("DELETE", api.url()); } catch (error) { api.shared.notice(error.text ?? error.message); }
    await api.reload();
  } }, "Cancel");
  const element = h("div", { class: "panel running" }, title, line, facts, h("p", { class: "soft" }, "Classify keeps working with the model as it was."), cancel);
  say("The lesson has begun");

  function update() {
    const { lesson } = api;
    const { fraction, epoch, num_epochs: epochs, seconds_left: left, held_out_accuracy: accuracy } = lesson.progress;
    const names = lesson.classes.filter((entry) => entry.images.length).map((entry) => entry.name);
    title.textContent = `Learning ${names.slice(0, 4).join(", ")}${names.length > 4 ? " and more" : ""}`;
    line.fill(fraction ?? 0);
    line.classList.toggle("unknown", fraction === undefined);
    facts.textContent = fraction === undefined
      ? "Getting ready"
      : fraction >= 1 ? "Measuring and saving" : [
        `${Math.round(100 * fraction)} %`, `epoch ${epoch} of ${epochs}`, left === null ? null : `${duration(left)} left`,
        typeof accuracy === "number" ? `${percent(accuracy)} on held-out pictures so far` : null].filter(Boolean).join(" · ");
  }
  return { element, update };
}

export function doneView(api) {
  const { record } = api.lesson;
  const accuracy = record?.held_out_accuracy;
  const title = record ? `Learned ${count(record.classes.length, "class", "classes")}${accuracy === null ? "" : `, ${percent(accuracy)} on held-out pictures`}` : "Learned";
  const weakest = record?.weakest;
  const undo = h("button", { onclick: () => confirmUndo(api.shared, (isDone) => (isDone ? api.again() : undo.focus())) }, icon("undo"), "Undo");
  const element = h("div", { class: "panel good" },
    h("div", { class: "tick" }, icon("check")),
    h("h2", { tabindex: "-1" }, title),
    record ? h("ul", { class: "chips" }, record.classes.map((label) => h("li", {}, label))) : null,
    weakest && weakest.accuracy < 1 ? h("p", {}, `Weakest: ${weakest.label}, ${percent(weakest.accuracy)}${weakest.taken_for ? ` (taken for ${weakest.taken_for})` : ""}`) : null,
    record && accuracy === null ? h("p", { class: "soft" }, "Nothing was held out: a class of fewer than 4 pictures is learned whole.") : null,
    record?.advice ? h("p", { class: "trouble" }, record.advice) : null,
    record?.retests?.length ? retests(record.retests) : null,
    h("div", { class: "row" },
      h("a", { class: "button primary", href: "#classify" }, "Try it"),
      api.shared.model.can_undo ? undo : null,
      h("button", { class: "quiet", onclick: () => api.again() }, "Teach more")));
  return { element, onEnter() { say(title); element.querySelector("h2").focus({ preventScroll: true }); api.shared.refresh(); } };
}

function retests(rows) {
  return h("table", {}, h("caption", {}, "Did it forget?"),
    h("thead", {}, h("tr", {}, ["Earlier pictures", "before", "after"].map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, h("th", { scope: "row" }, `${row.name} (${row.num_images})`), h("td", {}, row.before === null ? "–" : percent(row.before)), h("td", {}, percent(row.after))))));
}
