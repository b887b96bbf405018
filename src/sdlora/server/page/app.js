// The frame: which part is shown, what the model is, and whether the server answers.

import { ask } from "./api.js";
import { classify } from "./classify.js";
import { count } from "./dom.js";
import { history } from "./history.js";
import { teach } from "./teach.js";

const LOOK_SECONDS = 2.5;
const byId = (name) => document.getElementById(name);

/** What all parts share: the model as last heard of, and who wants to know. */
export const shared = {
  model: null,
  isOnline: true,
  listeners: [],
  async refresh() { await look(); },
  notice(text) { byId("notice").textContent = text; byId("notice").hidden = !text; },
};

const parts = { classify: classify(shared), teach: teach(shared), history: history(shared) };

function show() {
  const name = location.hash.slice(1) in parts ? location.hash.slice(1) : "classify";
  for (const panel of document.querySelectorAll("[data-panel]")) panel.hidden = panel.dataset.panel !== name;
  for (const tab of document.querySelectorAll("[data-tab]")) {
    if (tab.dataset.tab === name) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  for (const [key, part] of Object.entries(parts)) part.onShow?.(key === name);
}

async function look() {
  const before = shared.model;
  try {
    shared.model = await ask("GET", "/v1/model");
    shared.isOnline = true;
  } catch {
    shared.isOnline = false;
  }
  describe();
  if (shared.isOnline && before && before.model_version !== shared.model.model_version) announce(before, shared.model);
  for (const listener of shared.listeners) listener(shared.model, before);
}

function announce(before, after) {
  const time = after.changed ? new Date(after.changed).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" }) : "";
  const last = after.lessons.at(-1);
  if (after.lessons.length > before.lessons.length) shared.notice(`The model learned lesson ${last.task} at ${time}: ${last.classes.slice(0, 4).join(", ")}${last.classes.length > 4 ? ", …" : ""}.`);
  else if (after.lessons.length < before.lessons.length) shared.notice(`Lesson ${before.lessons.at(-1).task} was taken back at ${time}.`);
  else shared.notice(`The model changed at ${time}.`);
  setTimeout(() => shared.notice(""), 15000);
}

function describe() {
  const { model } = shared;
  const state = !shared.isOnline ? "offline" : model?.trouble ? "trouble" : "ready";
  const words = { offline: "The server does not answer.", trouble: model?.trouble, ready: "ready" };
  byId("dot").className = `dot ${state}`;
  byId("dot").setAttribute("aria-label", words[state]);
  byId("dot").title = words[state];
  if (!model) { byId("facts").textContent = state === "offline" ? words.offline : ""; return; }
  byId("name").textContent = model.name;
  document.title = `${model.name} · sdlora`;
  const facts = model.num_seen
    ? [count(model.num_seen, "class", "classes"), count(model.lessons.length, "lesson"), `version ${model.model_version}`, model.device]
    : ["nothing taught yet"];
  byId("facts").textContent = state === "offline" ? words.offline : facts.filter(Boolean).join(" · ");
  byId("teaching").hidden = !model.running;
}

window.addEventListener("hashchange", () => { show(); byId("main").focus({ preventScroll: true }); });
show();
await look();
setInterval(() => { if (!document.hidden) look(); }, 1000 * LOOK_SECONDS);
