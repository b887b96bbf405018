// The routes of the API, read from openapi.json.

import { ask } from "./api.js";
import { h } from "./dom.js";

const TITLES = { predict: "Predict", about: "The model and the server", teach: "Teach" };

for (const name of ["here", "there"]) document.getElementById(name).textContent = location.origin;

const { paths } = await ask("GET", "/openapi.json");
const groups = new Map(Object.keys(TITLES).map((tag) => [tag, []]));
for (const [path, methods] of Object.entries(paths)) {
  for (const [method, route] of Object.entries(methods)) groups.get(route.tags[0]).push({ path, method, ...route });
}
for (const [tag, routes] of groups) {
  document.getElementById("routes").append(h("h2", {}, TITLES[tag]), h("ul", { class: "routes" }, routes.map(row)));
}

function row({ path, method, summary, description, parameters = [], requestBody }) {
  const query = parameters.filter((each) => each.in === "query").map((each) => h("li", {},
    h("code", {}, each.name), each.schema.default === undefined ? "" : ` = ${each.schema.default}`, each.description ? ` · ${each.description}` : ""));
  const bodies = Object.keys(requestBody?.content ?? {});
  return h("li", {},
    h("p", {}, h("span", { class: `verb ${method}` }, method.toUpperCase()), h("code", {}, path)),
    h("p", { class: "soft" }, summary, description ? `. ${description}` : ""),
    bodies.length ? h("p", { class: "soft" }, "Body: ", bodies.join(" or ")) : null,
    query.length ? h("ul", { class: "soft" }, query) : null);
}
