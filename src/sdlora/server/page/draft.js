// A lesson being prepared: its classes as cards, what is still wrong with it, and the button that starts it.

import { ask } from "./api.js";
import { classCard } from "./card.js";
import { count, duration, h, icon } from "./dom.js";

export function draftView(api) {
  const cards = new Map(); // by key
  const more = h("button", { class: "add", onclick: () => addCard(true) }, icon("plus"), "Add a class");
  const list = h("div", { class: "cards" }, more);
  const start = h("button", { class: "primary big", onclick: go });
  const reason = h("p", { class: "soft reason", id: "reason" });
  const result = h("div", {});
  start.setAttribute("aria-describedby", "reason");
  const element = h("div", {}, result,
    h("p", { class: "lead" }, "Teach new classes"),
    h("p", { class: "soft" }, "Pictures stay on this server, are used for this lesson only, then deleted."),
    list, h("div", { class: "start" }, start, reason));
  let isBusy = false;
  let told = null; // which outcome of a lesson is shown

  async function addCard(focus) {
    if (isBusy) return;
    isBusy = true;
    try {
      await api.ensure();
      const { key } = await ask("POST", api.url("/classes"), { json: { name: "" } });
      await api.reload();
      if (focus) cards.get(key)?.focus();
    } catch (error) {
      api.shared.notice(error.text ?? error.message);
    } finally {
      isBusy = false;
    }
  }

  async function onEnter() {
    while (api.lesson && api.lesson.state === "draft" && api.lesson.classes.length < 2 && !isBusy) {
      const before = api.lesson.classes.length;
      await addCard(false);
      if (api.lesson.classes.length === before) return; // refused: the notice says why
    }
  }

  async function go() {
    start.disabled = true;
    try {
      await Promise.all([...cards.values()].map((card) => card.settle()));
      await ask("POST", api.url("/start"));
      await api.reload();
    } catch (error) {
      reason.textContent = error.text ?? error.message;
    }
  }

  function update() {
    const { lesson } = api;
    for (const [key, card] of cards) {
      if (lesson.classes.some((entry) => entry.key === key)) continue;
      const isFocused = card.element.contains(document.activeElement);
      card.leave();
      card.element.remove();
      cards.delete(key);
      if (isFocused) more.focus();
    }
    for (const entry of lesson.classes) {
      if (!cards.has(entry.key)) {
        cards.set(entry.key, classCard(api, entry.key));
        more.before(cards.get(entry.key).element);
      }
      cards.get(entry.key).update(entry, lesson.flaws.filter((flaw) => flaw.key === entry.key), lesson.classes.length);
    }
    const filled = lesson.classes.filter((entry) => entry.name || entry.images.length).length;
    const about = lesson.seconds_estimate ? ` (about ${duration(lesson.seconds_estimate)})` : "";
    start.textContent = filled ? `Teach ${count(filled, "class", "classes")}${about}` : "Teach";
    start.disabled = lesson.flaws.length > 0 || !lesson.id;
    const first = lesson.flaws[0];
    const owner = first?.key ? lesson.classes.find((entry) => entry.key === first.key)?.name : null;
    reason.textContent = first ? `${owner && !first.message.includes(owner) ? `${owner}: ` : ""}${first.message}` : "";
    const outcome = JSON.stringify([lesson.id, lesson.state, lesson.failure]);
    if (outcome !== told) result.replaceChildren(...failure(lesson)); // said once
    told = outcome;
  }

  return { element, update, onEnter, leave: () => cards.forEach((card) => card.leave()) };

  function failure(lesson) {
    if (lesson.state === "failed") {
      const { detail, fix } = lesson.failure;
      return [h("div", { class: "panel bad", role: "alert" }, h("h2", {}, "The lesson failed"), h("p", {}, detail, fix ? ` ${fix}` : ""),
        h("p", { class: "soft" }, "The model is unchanged, your draft is kept."), h("button", { onclick: go }, "Try again"))];
    }
    return lesson.state === "cancelled" ? [h("p", { class: "notice", role: "status" }, "Cancelled. The model is unchanged, your draft is kept.")] : [];
  }
}
