// What stands in the place of Teach for those who may not teach.

import { ask, token } from "./api.js";
import { h } from "./dom.js";

export function offView() {
  return { element: h("div", { class: "panel" }, h("h2", {}, "Teaching is off here"), h("p", {}, "Start with ", h("code", {}, "--teach on"), ".")) };
}

export function lockedView(api) {
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
