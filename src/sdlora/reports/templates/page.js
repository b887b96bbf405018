"use strict";
// Sorting by a click on a column head; without script the table is simply in order of Acc.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  table.querySelectorAll("thead th[data-sort]").forEach((head) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    const column = head.cellIndex;
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      table.querySelectorAll("th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[column].dataset.value ?? "";
      const number = (text) => (text === "" ? -Infinity : Number(text));
      const compare = head.dataset.sort === "text"
        ? (a, b) => key(b).localeCompare(key(a))
        : (a, b) => number(key(b)) - number(key(a));
      [...body.rows].sort((a, b) => (down ? compare(a, b) : compare(b, a))).forEach((row) => body.append(row));
    });
  });
}
