// Teach: a draft that lives on the server, and the lesson made of it.

import { Refused, ask, request, token } from "./api.js";
import { closeCamera, openCamera, takeFrame } from "./camera.js";
import { bar, count, duration, h, icon, megabytes, percent, say, takesPictures } from "./dom.js";

const LOOK_SECONDS = 0.7;
const FRAMES_A_SECOND = 8;
const ENOUGH = 10; // pictures of a class
const TYPING_PAUSE = 350; // milliseconds before a name is sent

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

const VIEWS = { off: offView, locked: lockedView, draft: draftView, running: runningView, done: doneView };

function offView() {
  return { element: h("div", { class: "panel" }, h("h2", {}, "Teaching is off here"), h("p", {}, "Start with ", h("code", {}, "--teach on"), ".")) };
}

function lockedView(api) {
  const field = h("input", { type: "password", autocomplete: "off", required: true, "aria-label": "Token", placeholder: "Token" });
  const told = h("p", { class: "trouble", role: "alert" });
  const form = h("form", { class: "panel", onsubmit: submit },
    h("h2", {}, "Teaching needs the token of this server"),
    h("p", { class: "soft" }, "Whoever started it has it. It is kept until this tab is closed."),
    h("div", { class: "row" }, field, h("button", { class: "primary" }, "Go on")), told);

  async function submit(event) {
    event.preventDefault();
    token.set(field.value.trim());
    try {
      await ask("GET", "/v1/lessons");
      told.textContent = "";
      await api.reload();
    } catch (error) {
      told.textContent = error.status === 401 ? "That is not the token." : error.text ?? error.message;
      field.select();
    }
  }
  return { element: form };
}

/** Add pictures to a class, one request each; returns what was wrong with some of them. */
async function addPictures(api, where, files) {
  const problems = [];
  const limit = api.shared.model.limits.image_bytes;
  for (const file of files) {
    const name = file.name ?? "a picture";
    try {
      if (file.size > limit) throw new Error(`${megabytes(file.size)} is over the limit of ${megabytes(limit)}.`);
      await request("POST", api.url(`/images?${where}`), { body: file, type: "application/octet-stream" });
    } catch (error) {
      problems.push(`${name}: ${error.text ?? error.message}`);
      if (error.code === "no_answer" || error.status === 409) break;
    }
  }
  return problems;
}

function draftView(api) {
  const cards = new Map(); // by key
  const list = h("div", { class: "cards" });
  const more = h("button", { class: "add", onclick: () => addCard(true) }, icon("plus"), "Add a class");
  const start = h("button", { class: "primary big", onclick: go });
  const reason = h("p", { class: "soft reason", id: "reason" });
  const result = h("div", {});
  start.setAttribute("aria-describedby", "reason");
  const element = h("div", {}, result,
    h("p", { class: "lead" }, "Teach new classes"),
    h("p", { class: "soft" }, "Pictures stay on this server, are used for this lesson only, then deleted."),
    list, h("div", { class: "start" }, start, reason));
  let isBusy = false;

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
      if (!lesson.classes.some((entry) => entry.key === key)) { card.leave(); card.element.remove(); cards.delete(key); }
    }
    for (const entry of lesson.classes) {
      if (!cards.has(entry.key)) {
        cards.set(entry.key, classCard(api, entry.key));
        more.remove();
        list.append(cards.get(entry.key).element);
      }
      cards.get(entry.key).update(entry, lesson.flaws.filter((flaw) => flaw.key === entry.key), lesson.classes.length);
    }
    list.append(more);
    const filled = lesson.classes.filter((entry) => entry.name || entry.images.length).length;
    const about = lesson.seconds_estimate ? ` (about ${duration(lesson.seconds_estimate)})` : "";
    start.textContent = filled ? `Teach ${count(filled, "class", "classes")}${about}` : "Teach";
    start.disabled = lesson.flaws.length > 0 || !lesson.id;
    const first = lesson.flaws[0];
    const owner = first?.key ? lesson.classes.find((entry) => entry.key === first.key)?.name : null;
    reason.textContent = first ? `${owner && !first.message.includes(owner) ? `${owner}: ` : ""}${first.message}` : "";
    result.replaceChildren(...failure(lesson));
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

/** One class of a draft. Its elements stay while its content changes, so the focus stays too. */
function classCard(api, key) {
  const thumbs = new Map(); // by number of the picture
  let timer = null;
  let sent = Promise.resolve(); // the name on its way to the server
  let isRecording = false;
  let filmed = Promise.resolve(); // what the camera gave, on its way to the server
  const name = h("input", { class: "title", maxlength: "200", autocomplete: "off", placeholder: "Name of the class", "aria-label": "Name of the class", oninput: rename, onblur: () => timer && send() });
  const flaw = h("p", { class: "trouble", role: "alert" });
  const wrong = h("p", { class: "trouble", role: "alert" });
  const video = h("video", { muted: true, playsinline: true, hidden: true, "aria-label": "What the camera sees" });
  video.muted = true;
  const record = h("button", { class: "record", title: "Hold the button, or the space bar", onpointerdown: (event) => { event.preventDefault(); record.focus(); record.setPointerCapture(event.pointerId); hold(); }, onpointerup: release, onpointercancel: release,
    onkeydown: (event) => { if ((event.key === " " || event.key === "Enter") && !event.repeat) { event.preventDefault(); hold(); } },
    onkeyup: release, onblur: release, oncontextmenu: (event) => event.preventDefault() }, h("span", { class: "lamp" }), "Hold to record");
  const gallery = h("div", { class: "thumbs" });
  const meter = bar(0, "meter");
  const meterText = h("span", { class: "soft" });
  const clear = h("button", { class: "link", onclick: removeAll }, "remove all");
  const close = h("button", { class: "round", onclick: removeCard }, icon("close"));
  const hint = h("p", { class: "soft hint" }, "Drop pictures here");
  const element = h("article", { class: "card" }, name, flaw,
    h("div", { class: "row" }, h("button", { onclick: () => field.click() }, icon("picture"), "Choose"), record), video,
    wrong, gallery, hint, h("div", { class: "row meters" }, meter, meterText, clear), close);
  const field = takesPictures(element, add);
  element.addEventListener("paste", (event) => { if (event.clipboardData.files.length) add([...event.clipboardData.files]); });

  function rename() {
    clearTimeout(timer);
    timer = setTimeout(send, TYPING_PAUSE);
  }

  function send() {
    clearTimeout(timer);
    timer = null;
    sent = store();
  }

  async function store() {
    try {
      await ask("PATCH", api.url(`/classes/${key}`), { json: { name: name.value } });
      await api.reload();
    } catch (error) { tell([error.text ?? error.message]); }
  }

  async function add(files) {
    element.setAttribute("aria-busy", "true");
    tell(await addPictures(api, `key=${key}`, files));
    element.removeAttribute("aria-busy");
    await api.reload();
  }

  function tell(problems) {
    const rest = problems.length > 3 ? ` And ${problems.length - 3} more.` : "";
    wrong.textContent = problems.slice(0, 3).join(" ") + rest;
  }

  function hold() {
    if (isRecording) return;
    isRecording = true;
    record.classList.add("on");
    filmed = film();
  }

  async function film() {
    try {
      if (!video.srcObject) { video.hidden = false; await openCamera(video); }
    } catch (error) {
      video.hidden = true;
      tell([error.message]);
      release();
      return;
    }
    const frames = [];
    let sending = null;
    while (isRecording) {
      frames.push(await takeFrame(video));
      sending ??= drain().finally(() => { sending = null; });
      await new Promise((resolve) => { setTimeout(resolve, 1000 / FRAMES_A_SECOND); });
    }
    await sending;
    if (frames.length) await drain();
    await api.reload();

    async function drain() {
      while (frames.length) tell(await addPictures(api, `key=${key}`, [frames.shift()]));
    }
  }

  function release() {
    isRecording = false;
    record.classList.remove("on");
  }

  async function removeCard() {
    await ask("DELETE", api.url(`/classes/${key}`)).catch((error) => tell([error.text]));
    await api.reload();
  }

  async function removeAll() {
    const label = name.value;
    await filmed;
    for (const number of [...thumbs.keys()]) await ask("DELETE", api.url(`/images/${number}`)).catch(() => {});
    say(`Removed all pictures of ${label || "this class"}`);
    await api.reload();
    field.previousElementSibling?.focus?.();
  }

  async function load(number, image) {
    try {
      const response = await request("GET", api.url(`/images/${number}`));
      image.src = URL.createObjectURL(await response.blob());
      image.addEventListener("load", () => URL.revokeObjectURL(image.src), { once: true });
    } catch { image.alt = "This picture could not be shown"; }
  }

  function thumb(number) {
    const image = h("img", { alt: `Picture ${number}` });
    load(number, image);
    return h("div", { class: "thumb" }, image, h("button", { "aria-label": `Remove picture ${number}`, onclick: async () => {
      await ask("DELETE", api.url(`/images/${number}`)).catch((error) => tell([error.text]));
      await api.reload();
    } }, icon("close")));
  }

  function update(entry, flaws, numCards) {
    if (document.activeElement !== name && timer === null) name.value = entry.name;
    const isUntouched = !entry.name && !entry.images.length;
    const shown = isUntouched ? [] : flaws.filter((each) => each.code !== "no_pictures" && (each.code !== "no_name" || document.activeElement !== name));
    flaw.textContent = shown.map((each) => each.message).join(" ");
    name.setAttribute("aria-invalid", String(shown.length > 0));
    element.setAttribute("aria-label", entry.name ? `Class ${entry.name}` : "A class without a name");
    close.setAttribute("aria-label", `Remove ${entry.name || "this class"}`);
    close.hidden = numCards <= 2 && isUntouched;
    for (const [number, each] of thumbs) if (!entry.images.includes(number)) { each.remove(); thumbs.delete(number); }
    for (const number of entry.images) {
      if (thumbs.has(number)) continue;
      thumbs.set(number, thumb(number));
      gallery.append(thumbs.get(number));
    }
    const total = entry.images.length;
    hint.hidden = total > 0;
    clear.hidden = total < 2;
    meter.fill(total / ENOUGH);
    meter.classList.toggle("full", total >= ENOUGH);
    meterText.textContent = total ? `${count(total, "picture")}${total < ENOUGH ? `, ${ENOUGH} or more are better` : ""}` : "";
    meter.hidden = total === 0;
  }

  /** Wait until the server knows the name as it stands. */
  function settle() {
    if (timer) send();
    return sent;
  }

  return { element, update, settle, focus: () => name.focus(), leave: () => { release(); closeCamera(video); video.hidden = true; } };
}

function runningView(api) {
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
    const { fraction, epoch, num_epochs: epochs, seconds_left: left } = lesson.progress;
    const names = lesson.classes.filter((entry) => entry.images.length).map((entry) => entry.name);
    title.textContent = `Learning ${names.slice(0, 4).join(", ")}${names.length > 4 ? " and more" : ""}`;
    line.fill(fraction ?? 0);
    line.classList.toggle("unknown", fraction === undefined);
    facts.textContent = fraction === undefined
      ? "Getting ready"
      : fraction >= 1 ? "Measuring and saving" : [`${Math.round(100 * fraction)} %`, `epoch ${epoch} of ${epochs}`, left === null ? null : `${duration(left)} left`].filter(Boolean).join(" · ");
  }
  return { element, update };
}

function doneView(api) {
  const { record } = api.lesson;
  const accuracy = record?.held_out_accuracy;
  const title = record ? `Learned ${count(record.classes.length, "class", "classes")}${accuracy === null ? "" : `, ${percent(accuracy)} on held-out pictures`}` : "Learned";
  const weakest = record?.weakest;
  const told = h("p", { class: "trouble", role: "alert" });
  const undo = h("button", { onclick: async () => {
    undo.disabled = true;
    try {
      await ask("POST", "/v1/undo");
      await api.shared.refresh();
      await api.again();
    } catch (error) { told.textContent = error.text ?? error.message; undo.disabled = false; }
  } }, icon("undo"), "Undo");
  const element = h("div", { class: "panel good" },
    h("div", { class: "tick" }, icon("check")),
    h("h2", { tabindex: "-1" }, title),
    record ? h("ul", { class: "chips" }, record.classes.map((label) => h("li", {}, label))) : null,
    weakest && weakest.accuracy < 1 ? h("p", {}, `Weakest: ${weakest.label}, ${percent(weakest.accuracy)}${weakest.taken_for ? ` (taken for ${weakest.taken_for})` : ""}`) : null,
    record && accuracy === null ? h("p", { class: "soft" }, "Nothing was held out: a class of fewer than 4 pictures is learned whole.") : null,
    record?.retests?.length ? retests(record.retests) : null,
    h("div", { class: "row" },
      h("a", { class: "button primary", href: "#classify" }, "Try it"),
      api.shared.model.can_undo ? undo : null,
      h("button", { class: "quiet", onclick: () => api.again() }, "Teach more")), told);
  return { element, onEnter() { say(title); element.querySelector("h2").focus({ preventScroll: true }); api.shared.refresh(); } };
}

function retests(rows) {
  return h("table", {}, h("caption", {}, "Did it forget?"),
    h("thead", {}, h("tr", {}, ["Earlier pictures", "before", "after"].map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, h("th", { scope: "row" }, `${row.name} (${row.num_images})`), h("td", {}, row.before === null ? "–" : percent(row.before)), h("td", {}, percent(row.after))))));
}
