// Taking back the last lesson: asks once and names what is lost.

import { ask } from "./api.js";
import { h } from "./dom.js";

/** Ask, then take it back; `closed` is called with whether that was done. */
export function confirmUndo(shared, closed) {
  const last = shared.model.lessons.at(-1);
  const names = `${last.classes.slice(0, 8).join(", ")}${last.classes.length > 8 ? ` and ${last.classes.length - 8} more` : ""}`;
  const lost = names
    ? `The model forgets ${names}. Their pictures are gone, so only teaching again brings them back.`
    : "The model answers as it did before the lesson. Its pictures are gone.";
  const told = h("p", { class: "trouble", role: "alert" });
  const dialog = h("dialog", { "aria-labelledby": "ask" },
    h("h2", { id: "ask" }, `Take back lesson ${last.task}?`),
    h("p", {}, lost),
    told,
    h("div", { class: "row" }, h("button", { class: "danger", onclick: go }, "Take it back"), h("button", { autofocus: true, onclick: () => dialog.close() }, "Keep it")));
  let isDone = false;
  dialog.addEventListener("close", () => { dialog.remove(); closed(isDone); });
  document.body.append(dialog);
  dialog.showModal();

  async function go() {
    try {
      await ask("POST", "/v1/undo");
      isDone = true;
      await shared.refresh();
      dialog.close();
    } catch (error) { told.textContent = error.text ?? error.message; }
  }
}
