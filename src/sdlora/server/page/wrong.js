// "Wrong?": what people say of a picture themselves.

import { h } from "./dom.js";

/** "Wrong?": lets the user name the picture; a new name begins a draft with it. */
export function wrongForm(shared, file, isUnsure) {
  const name = h("input", { name: "name", placeholder: "What is it?", maxlength: "200", required: true, autocomplete: "off", "aria-label": "What is it?" });
  const told = h("p", { class: "trouble", role: "alert", hidden: true });
  const tell = (text) => { told.textContent = text; told.hidden = false; };
  const form = h("form", { class: "wrong", hidden: true, onsubmit: submit }, h("div", { class: "row" }, name, h("button", { class: "primary" }, "Teach")), told);
  const button = h("button", { class: isUnsure ? "" : "link", "aria-expanded": "false", onclick: () => {
    form.hidden = !form.hidden;
    button.setAttribute("aria-expanded", String(!form.hidden));
    if (!form.hidden) name.focus();
  } }, isUnsure ? "Teach this" : "Wrong?");

  async function submit(event) {
    event.preventDefault();
    const label = name.value.trim().normalize("NFC");
    if (shared.model.classes.some((entry) => entry.label === label)) {
      tell("Known classes cannot be taught again yet; the picture was not kept.");
      return;
    }
    try {
      await shared.startDraft(label, file);
      location.hash = "#teach";
    } catch (error) {
      tell(error.code === "token" ? "Teaching needs the token of this server: enter it under Teach." : error.text ?? error.message);
    }
  }
  return { button, form };
}
