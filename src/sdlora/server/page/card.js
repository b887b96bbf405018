// One class of a lesson being prepared: its name, its pictures, and the camera that takes more of them.

import { ask, request } from "./api.js";
import { closeCamera, openCamera, takeFrame } from "./camera.js";
import { bar, count, h, icon, say, takesPictures } from "./dom.js";
import { addPictures } from "./uploads.js";

const FRAMES_A_SECOND = 8;
const ENOUGH = 10; // pictures of a class
const TYPING_PAUSE = 350; // milliseconds before a name is sent

/** Make the card. Its elements stay while its content changes, so the focus stays too. */
export function classCard(api, key) {
  const thumbs = new Map(); // by number of the picture
  let timer = null;
  let sent = Promise.resolve(); // the name on its way to the server
  let isUnsent = false; // the server did not answer when the name was sent
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
  const choose = h("button", { onclick: () => field.click() }, icon("picture"), "Choose");
  const gallery = h("div", { class: "thumbs" });
  const meter = bar(0, "meter");
  const meterText = h("span", { class: "soft" });
  const clear = h("button", { class: "link", onclick: removeAll }, "remove all");
  const close = h("button", { class: "round", onclick: removeCard }, icon("close"));
  const hint = h("p", { class: "soft hint" }, "Drop pictures here");
  const element = h("article", { class: "card" }, name, flaw,
    h("div", { class: "row" }, choose, record), video,
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
      isUnsent = false;
      await api.reload();
    } catch (error) {
      isUnsent = error.code === "no_answer";
      tell([error.text ?? error.message]);
    }
  }

  async function add(files) {
    element.setAttribute("aria-busy", "true");
    const problems = await addPictures(api, `key=${key}`, files, (sent) => { meterText.textContent = `adding ${sent + 1} of ${files.length}`; });
    element.removeAttribute("aria-busy");
    tell(problems);
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
    choose.focus();
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
      const next = thumbs.get(number).nextElementSibling?.querySelector("button") ?? choose;
      await ask("DELETE", api.url(`/images/${number}`)).catch((error) => tell([error.text]));
      await api.reload();
      if (document.activeElement === document.body) next.focus();
    } }, icon("close")));
  }

  function update(entry, flaws, numCards) {
    if (isUnsent && timer === null) { isUnsent = false; tell([]); send(); }
    else if (document.activeElement !== name && timer === null) name.value = entry.name;
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
