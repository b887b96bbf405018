// Small helpers. Text is always set as text, so no name can become markup.

/** Make an element: h("a", {href: "/", class: "x", onclick: f}, "text", child). Null children are left out. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Put children into an order, moving only those out of place: an animation begins anew in what is moved. */
export function arrange(parent, children) {
  const kept = new Set(children);
  const focused = document.activeElement;
  for (const child of [...parent.children]) if (!kept.has(child)) child.remove();
  children.forEach((child, i) => { if (parent.children[i] !== child) parent.insertBefore(child, parent.children[i] ?? null); });
  if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
}

/** Put other children into an element; null ones are left out. */
export function fill(element, ...children) {
  element.replaceChildren(...children.filter((child) => child !== null && child !== undefined && child !== false));
}

const SVG = "http://www.w3.org/2000/svg";
const ICONS = {
  picture: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.5 9.5h.01",
  camera: "M4 8h3l2-3h6l2 3h3v11H4zM12 17a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7",
  plus: "M12 5v14M5 12h14",
  close: "M6 6l12 12M18 6 6 18",
  check: "M5 13l4 4L19 7",
  undo: "M9 4 4 9l5 5M4 9h10a5 5 0 0 1 0 10h-3",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
};

/** Draw one of the icons; it means nothing to a screen reader. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" })) svg.setAttribute(key, value);
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** A thin bar that is filled to a fraction; the number stands beside it, so it is decoration. */
export function bar(fraction, kind = "") {
  const inner = h("i");
  const outer = h("div", { class: `bar ${kind}`, "aria-hidden": "true" }, inner);
  outer.fill = (value) => { inner.style.width = `${Math.max(0, Math.min(1, value)) * 100}%`; };
  outer.fill(fraction);
  return outer;
}

/** A class with its probability, as a bar and in percent. */
export function scoreRow({ label, probability }) {
  return h("div", { class: "score" }, h("span", { class: "name", title: label }, label), bar(probability), h("span", { class: "number" }, percent(probability)));
}

export const percent = (fraction) => `${(100 * fraction).toFixed(fraction > 0.9995 || fraction === 0 ? 0 : 1)}\u00a0%`;
export const count = (number, noun, many = `${noun}s`) => `${number.toLocaleString("en")} ${number === 1 ? noun : many}`;

/** Say a time the way people do: 40 s, 3 min. */
export function duration(seconds) {
  if (seconds < 99.5) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 5970 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

export function megabytes(bytes) {
  return bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1).replace(/\.0$/, "")} MB` : `${Math.max(1, Math.round(bytes / 1e3))} kB`;
}

/** Refuse a file that the server would refuse, before it is sent; its size is rounded up, so it reads as more. */
export function checkSize(file, limits) {
  if (!limits || file.size <= limits.image_bytes) return;
  throw new Error(`${megabytes(1e5 * Math.ceil(file.size / 1e5))} is over the limit of ${megabytes(limits.image_bytes)}.`);
}

/** Say of the lesson under way how long it takes. */
export function lessonRuns({ seconds_left: left }) {
  return `A lesson is running${left === null || left === undefined ? "" : `, ${duration(left)} left`}`;
}

export function day(iso) {
  return new Date(iso).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
}

/** Tell a screen reader. */
export function say(text) { document.getElementById("spoken").textContent = text; }

/** Let an element take pictures: dropped on it, or chosen with the returned, hidden field. `shown` shows that it does. */
export function takesPictures(element, onFiles, shown = element) {
  const field = h("input", { type: "file", accept: "image/*", multiple: true, class: "unseen", tabindex: "-1", "aria-hidden": "true" });
  field.addEventListener("change", () => { onFiles([...field.files]); field.value = ""; });
  let depth = 0;
  const isFiles = (event) => [...event.dataTransfer.types].includes("Files");
  element.addEventListener("dragenter", (event) => { if (isFiles(event)) { depth += 1; shown.classList.add("over"); } });
  element.addEventListener("dragleave", () => { depth = Math.max(0, depth - 1); if (!depth) shown.classList.remove("over"); });
  element.addEventListener("dragover", (event) => { if (isFiles(event)) event.preventDefault(); });
  element.addEventListener("drop", (event) => {
    if (!isFiles(event)) return;
    event.preventDefault();
    event.stopPropagation();
    depth = 0;
    shown.classList.remove("over");
    onFiles([...event.dataTransfer.files]);
  });
  element.append(field);
  return field;
}
