// The camera on Classify.

import { predict } from "./api.js";
import { closeCamera, openCamera, takeFrame } from "./camera.js";
import { h, percent, scoreRow } from "./dom.js";

/** The camera with bars that move while you watch. */
export function liveCamera(keep) {
  const video = h("video", { muted: true, playsinline: true, "aria-label": "What the camera sees" });
  video.muted = true;
  const label = h("p", { class: "label" }, " ");
  const rows = h("div", { class: "bars" });
  const told = h("p", { class: "trouble", role: "alert", hidden: true });
  const frame = h("div", { class: "frame" }, video);
  const keeping = h("button", { class: "primary", onclick: async () => keep(await takeFrame(video)) }, "Keep this picture");
  const element = h("article", { class: "result live", hidden: true }, frame,
    h("div", { class: "body" }, label, rows, told, h("div", { class: "row" }, keeping, h("button", { onclick: close }, "Close"))));
  let isOpen = false;

  async function open() {
    if (isOpen) return;
    isOpen = true;
    element.hidden = false;
    told.hidden = true;
    for (const part of [frame, label, rows]) part.hidden = false;
    keeping.hidden = true;
    try {
      await openCamera(video);
    } catch (error) {
      isOpen = false;
      for (const part of [frame, label, rows]) part.hidden = true;
      tell(error);
      return;
    }
    if (!isOpen) { closeCamera(video); return; } // closed while the browser asked for permission
    keeping.hidden = false;
    watch();
  }

  function tell(error) {
    told.textContent = error.text ?? error.message;
    told.hidden = false;
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
        tell(error);
        await new Promise((resolve) => { setTimeout(resolve, 2000); });
      }
      await new Promise((resolve) => { setTimeout(resolve, 150); });
    }
  }

  function update(top) {
    while (rows.childElementCount < top.length) rows.append(scoreRow({ label: "", probability: 0 }));
    top.forEach((entry, i) => {
      const [name, line, number] = rows.children[i].children;
      name.textContent = entry.label;
      line.fill(entry.probability);
      number.textContent = percent(entry.probability);
    });
  }

  return { element, open, close };
}
