// History: what was taught when, and the ways to change or keep it.

import { ask, token } from "./api.js";
import { bar, count, day, duration, h, icon, lessonRuns, megabytes, percent, say } from "./dom.js";
import { confirmUndo } from "./undo.js";

const FEW = 12; // classes of a lesson shown at first

export function history(shared) {
  const root = document.querySelector('[data-panel="history"]');
  const opened = new Set(); // lessons of which all classes are shown
  let editing = null; // the class being renamed
  let shown = "";
  const why = h("p", { class: "soft" }); // why something cannot be done

  function draw(model, before) {
    if (!model || editing !== null || document.querySelector("dialog[open]")) return;
    const state = JSON.stringify([model.model_version, model.running !== null, model.can_teach, model.trouble, shared.isOnline, [...opened]]);
    why.textContent = blocked(model) ?? (model.can_undo ? "" : "No earlier state is kept, so there is nothing to undo.");
    if (state === shown && before) return;
    shown = state;
    root.replaceChildren(...(model.lessons.length ? filled(model) : [empty(model)]));
  }

  const redraw = () => { shown = ""; draw(shared.model, shared.model); };

  function empty(model) {
    const link = model.can_teach ? h("a", { href: "#teach" }, "Teach the first lesson") : null;
    return h("div", { class: "panel centre" }, h("h2", {}, "Nothing taught yet"), link);
  }

  function blocked(model) {
    if (!model.can_teach) return "Teaching is off here, so nothing can be changed.";
    if (model.running) return `${lessonRuns(model.running)}; wait for its end.`;
    if (model.needs_token && !token.get()) return "Changing needs the token: enter it under Teach.";
    return null;
  }

  function filled(model) {
    const reason = blocked(model);
    const top = Math.max(...model.lessons.map((lesson) => lesson.magnitude ?? 0));
    return [
      model.trouble ? h("div", { class: "panel bad", role: "alert" }, h("h2", {}, "The newest state does not answer"), h("p", {}, model.trouble)) : null,
      h("div", { class: "row spread" },
        h("p", { class: "lead" }, `${count(model.num_seen, "class", "classes")} in ${count(model.lessons.length, "lesson")}`),
        h("button", { disabled: reason !== null || !model.can_undo, onclick: () => confirmUndo(shared, () => { redraw(); root.querySelector("button:enabled")?.focus(); }) }, icon("undo"), "Undo the last lesson")),
      why,
      growth(model),
      reason ? null : h("p", { class: "soft hint-line" }, "Choose a class to rename it."),
      h("ol", { class: "lessons", reversed: true }, [...model.lessons].reverse().map((lesson) => entry(lesson, model, reason, top))),
      keep(model),
    ].filter(Boolean);
  }

  /** Classes over time: a step for each lesson, as wide as its classes. */
  function growth(model) {
    const total = model.num_seen;
    const steps = model.lessons.map((lesson, i) => {
      const step = h("i", { title: `Lesson ${lesson.task}: ${count(lesson.classes.length, "class", "classes")}`, class: `tone${i % 4}` });
      step.style.flexGrow = String(lesson.classes.length);
      return step;
    });
    const words = model.lessons.map((lesson) => `lesson ${lesson.task} ${lesson.classes.length}`).join(", ");
    return h("div", { class: "growth", role: "img", "aria-label": `Of ${total} classes: ${words}` }, steps);
  }

  function entry(lesson, model, reason, top) {
    const names = opened.has(lesson.task) ? lesson.classes : lesson.classes.slice(0, FEW);
    const rest = lesson.classes.length - names.length;
    const facts = [
      lesson.num_images === undefined ? null : count(lesson.num_images, "picture"),
      lesson.held_out_accuracy === null || lesson.held_out_accuracy === undefined ? null : `${percent(lesson.held_out_accuracy)} on held-out pictures then`,
      lesson.seconds ? duration(lesson.seconds) : null,
      lesson.source ? `from ${lesson.source}` : null,
    ].filter(Boolean).join(" · ");
    return h("li", {},
      h("div", { class: "row spread" }, h("h3", {}, `Lesson ${lesson.task}`), h("span", { class: "soft" }, lesson.date ? day(lesson.date) : "")),
      h("p", { class: "soft" }, facts),
      h("ul", { class: "chips" }, names.map((label) => h("li", {}, className(label, reason))),
        rest > 0 ? h("li", {}, h("button", { class: "link", onclick: () => { opened.add(lesson.task); redraw(); } }, `and ${rest} more`)) : null),
      lesson.advice ? h("p", { class: "trouble" }, lesson.advice) : null,
      lesson.updated?.length ? h("p", { class: "soft" }, `Taught again: ${lesson.updated.slice(0, FEW).join(", ")}${lesson.updated.length > FEW ? ` and ${lesson.updated.length - FEW} more` : ""}`) : null,
      lesson.magnitude === null || lesson.magnitude === undefined ? null
        : h("div", { class: "score" }, h("span", { class: "name soft" }, "magnitude"), bar(lesson.magnitude / top, "thin"), h("span", { class: "number" }, lesson.magnitude.toFixed(2))));
  }

  function className(label, reason) {
    if (reason !== null) return label;
    return h("button", { class: "chip", title: `Rename ${label}`, onclick: (event) => rename(label, event.currentTarget) }, label);
  }

  const chip = (label) => [...root.querySelectorAll(".chip")].find((each) => each.textContent === label);

  function rename(label, button) {
    editing = label;
    const field = h("input", { value: label, maxlength: "200", autocomplete: "off", "aria-label": `New name of ${label}` });
    const told = h("span", { class: "trouble", role: "alert" });
    const form = h("form", { class: "row", onsubmit: submit, onkeydown: (event) => { if (event.key === "Escape") stop(); } },
      field, h("button", { class: "primary" }, "Rename"), h("button", { type: "button", onclick: stop }, "Keep"), told);
    button.replaceWith(form);
    field.select();

    function stop() {
      editing = null;
      redraw();
      chip(label)?.focus();
    }

    async function submit(event) {
      event.preventDefault();
      const name = field.value.trim();
      if (!name || name === label) { stop(); return; }
      try {
        await ask("POST", "/v1/rename", { json: { names: { [label]: name } } });
        say(`${label} is now called ${name}`);
        editing = null;
        await shared.refresh();
        redraw();
        chip(name)?.focus();
      } catch (error) { told.textContent = error.text ?? error.message; }
    }
  }

  shared.listeners.push(draw);
  return { onShow: (isShown) => { if (isShown && shared.model) redraw(); } };
}

/** Ways to take the model along. */
function keep(model) {
  const commands = ["timm", "peft", "onnx"].map((format) => `sdlora export ${quoted(model.name)} --to ${format}`);
  return h("section", { class: "keep" }, h("h2", {}, "Take it along"),
    h("p", { class: "row" }, h("a", { href: "/v1/model/card", download: "README.md" }, "Model card"), h("a", { href: "/v1/model/config", download: "config.json" }, "config.json"),
      model.bytes ? h("span", { class: "soft" }, `${model.method} on ${model.backbone}, ${megabytes(model.bytes)} learned`) : null),
    h("ul", { class: "commands" }, commands.map((text) => {
      const copy = h("button", { class: "round", "aria-label": `Copy: ${text}`, onclick: async () => {
        await navigator.clipboard.writeText(text);
        copy.replaceChildren(icon("check"));
        say("Copied");
        setTimeout(() => copy.replaceChildren(icon("copy")), 1500);
      } }, icon("copy"));
      return h("li", {}, h("code", {}, text), navigator.clipboard ? copy : null);
    })));
}

const quoted = (name) => (/^[\w.-]+$/.test(name) ? name : `'${name.replaceAll("'", "'\\''")}'`);
