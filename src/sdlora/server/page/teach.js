// Teach: a draft that lives on the server, and the lesson made of it.

import { Refused, ask, token } from "./api.js";
import { h } from "./dom.js";
import { draftView } from "./draft.js";
import { doneView, runningView } from "./lesson.js";
import { lockedView, offView } from "./lock.js";
import { addPictures } from "./uploads.js";

const LOOK_SECONDS = 0.7;

const VIEWS = { off: offView, locked: lockedView, draft: draftView, running: runningView, done: doneView };

export function teach(shared) {
  const root = document.querySelector('[data-panel="teach"]');
  const stage = h("div", {});
  root.append(stage);
  let lesson = null; // as the server last described it
  let view = null; // what is on the stage: {name, update}
  let dismissed = null; // a lesson whose result was read
  let watched = null; // a lesson that ran before our eyes, whose result comes before other drafts

  const api = {
    shared,
    get lesson() { return lesson; },
    url: (rest = "") => `/v1/lessons/${lesson.id}${rest}`,
    reload,
    async again() { dismissed = lesson?.id; lesson = null; await reload(); },
    async ensure() {
      if (lesson?.id && lesson.state !== "done") return;
      const { lessons } = await ask("GET", "/v1/lessons");
      lesson = lessons.filter((each) => each.state !== "done").at(-1) ?? await ask("POST", "/v1/lessons");
    },
  };

  shared.startDraft = async (label, file) => {
    await api.ensure();
    if (lesson.state === "running") throw new Refused({ code: "busy", detail: "A lesson is running.", fix: "Wait for its end." });
    watched = null;
    const problems = await addPictures(api, `class=${encodeURIComponent(label)}`, [file]);
    if (problems.length) throw new Error(problems[0]);
    await reload();
  };

  async function reload() {
    const { model } = shared;
    if (!model) return;
    if (!model.can_teach) return put("off");
    if (model.needs_token && !token.get()) return put("locked");
    try {
      const { lessons } = await ask("GET", "/v1/lessons");
      const open = lessons.filter((each) => each.state !== "done");
      const done = lessons.find((each) => each.state === "done" && each.id !== dismissed);
      const begun = open.filter((each) => each.num_images).at(-1);
      lesson = open.find((each) => each.state === "running") ?? (done?.id === watched ? done : null) ?? begun ?? done ?? open.at(-1)
        ?? { id: null, state: "draft", classes: [], flaws: [], num_images: 0 };
      if (lesson.state === "running") watched = lesson.id;
      put(lesson.state === "cancelled" || lesson.state === "failed" ? "draft" : lesson.state);
    } catch (error) {
      if (error.status === 401) put("locked");
      else if (error.code !== "no_answer") shared.notice(error.text ?? error.message);
    }
  }

  function put(name) {
    if (view?.name !== name) {
      view?.leave?.();
      view = { name, ...VIEWS[name](api) };
      stage.replaceChildren(view.element);
      view.onEnter?.();
    }
    view.update?.();
  }

  shared.listeners.push(() => { if (!root.hidden && shared.isOnline) reload(); });
  let timer = null;
  return {
    onShow(isShown) {
      clearInterval(timer);
      if (!isShown) { view?.leave?.(); return; }
      reload();
      timer = setInterval(() => { if (view?.name === "running" && !document.hidden) reload(); }, 1000 * LOOK_SECONDS);
    },
  };
}
