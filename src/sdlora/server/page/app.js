// The frame: which part is shown, what the model is, and whether the server answers.

import { ask } from "./api.js";
import { classify } from "./classify.js";
import { count, lessonRuns } from "./dom.js";
import { history } from "./history.js";
import { teach } from "./teach.js";

const LOOK_SECONDS = 2.5;
const NOTICE_SECONDS = 15;
const byId = (name) => document.getElementById(name);
let vanishing = null; // the timer of the notice
let isLooking = false;

/** What all parts share: the model as last heard of, and who wants to know. */
export const shared = {
  model: null,
  isOnline: true,
  listeners: [],
  async refresh() { await look(); },
  notice(text) {
    byId("notice").textContent = text;
    byId("notice").hidden = false;
    clearTimeout(vanishing);
    vanishing = setTimeout(() => { byId("notice").hidden = true; }, 1000 * NOTICE_SECONDS);
  },
};

const parts = { classify: classify(shared), teach: teach(shared), history: history(shared) };

function show() {
  const name = Object.hasOwn(parts, location.hash.slice(1)) ? location.hash.slice(1) : "classify";
  for (const panel of document.querySelectorAll("[data-panel]")) panel.hidden = panel.dataset.panel !== name;
  for (const tab of document.querySelectorAll("[data-tab]")) {
    if (tab.dataset.tab === name) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  for (const [key, part] of Object.entries(parts)) part.onShow?.(key === name);
}

async function look() {
  const before = shared.model;
  isLooking = true;
  try {
    shared.model = await ask("GET", "/v1/model");
    shared.isOnline = true;
  } catch {
    shared.isOnline = false;
  } finally {
    isLooking = false;
  }
  describe();
  if (shared.isOnline && before && before.model_version !== shared.model.model_version) announce(before, shared.model);
  for (const listener of shared.listeners) listener(shared.model, before);
}

function announce(before, after) {
  const time = after.changed ? new Date(after.changed).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" }) : "";
  const last = after.lessons.at(-1);
  if (after.lessons.length > before.lessons.length) {
    const names = [...last.classes, ...(last.updated ?? [])];
    shared.notice(`The model learned lesson ${last.task} at ${time}: ${names.slice(0, 4).join(", ")}${names.length > 4 ? ", …" : ""}.`);
  }
  else if (after.lessons.length < before.lessons.length) shared.notice(`Lesson ${before.lessons.at(-1).task} was taken back at ${time}.`);
  else shared.notice(`The model changed at ${time}.`);
}

function describe() {
  const { model } = shared;
  const state = !shared.isOnline ? "offline" : model?.trouble ? "troubled" : "ready";
  const words = { offline: "The server does not answer.", troubled: model?.trouble, ready: "ready" };
  byId("dot").className = `dot ${state}`;
  byId("dot").setAttribute("aria-label", words[state]);
  byId("dot").title = words[state];
  if (!model) { byId("facts").textContent = state === "offline" ? words.offline : ""; return; }
  byId("name").textContent = model.name;
  document.title = `${model.name} · sdlora`;
  const facts = model.num_seen
    ? [count(model.num_seen, "class", "classes"), count(model.lessons.length, "lesson"), `version ${model.model_version}`, model.device]
    : ["nothing taught yet"];
  if (model.running) facts.push(lessonRuns(model.running));
  byId("facts").textContent = state === "offline" ? words.offline : facts.filter(Boolean).join(" · ");
  byId("teaching").hidden = !model.running;
}

window.addEventListener("hashchange", () => { show(); byId("main").focus({ preventScroll: true }); });
show();
await look();
setInterval(() => { if (!document.hidden && !isLooking) look(); }, 1000 * LOOK_SECONDS);
