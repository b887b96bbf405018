// One picture with what becomes of it.

import { predict } from "./api.js";
import { checkSize, count, day, fill, h, icon, percent, say, scoreRow } from "./dom.js";
import { wrongForm } from "./wrong.js";

const BAR_AFTER = 300; // milliseconds
const AHEAD_AFTER = 2000;
const MORE = 10; // classes shown on request

/** Make its card: `remove` takes it away, `again` asks once more. */
export function pictureCard(shared, file, { remove, again }) {
  const url = URL.createObjectURL(file);
  const picture = h("img", { src: url, alt: file.name ? `Your picture ${file.name}` : "Your picture" });
  picture.addEventListener("error", () => picture.replaceWith(h("div", { class: "noimage" }, icon("picture"))));
  const body = h("div", { class: "body" });
  const ahead = h("p", { class: "soft", hidden: true });
  const close = h("button", { class: "round", "aria-label": "Remove this picture", onclick: () => remove(item) }, icon("close"));
  const element = h("article", { class: "result", "aria-busy": "true" }, h("div", { class: "frame" }, picture), body, close);
  const item = { element, state: "waiting", prediction: null, name: file.name ?? "camera", wait, ask, tellAhead, dispose };
  let timers = [];

  /** Wait for its turn and for the answer: a bar after a moment, how many come first after a while. */
  function wait() {
    item.state = "waiting";
    element.setAttribute("aria-busy", "true");
    body.replaceChildren();
    ahead.hidden = true;
    timers = [
      setTimeout(() => body.replaceChildren(h("div", { class: "working", role: "progressbar", "aria-label": "Waiting for the answer" }, h("i")), ahead), BAR_AFTER),
      setTimeout(() => { ahead.hidden = false; }, AHEAD_AFTER),
    ];
  }

  async function ask() {
    item.state = "asked";
    try {
      checkSize(file, shared.model.limits);
      item.prediction = await predict(file);
      item.state = "done";
      showAnswer();
    } catch (error) {
      item.state = "failed";
      showTrouble(error);
    } finally {
      timers.forEach(clearTimeout);
      element.setAttribute("aria-busy", "false");
    }
  }

  function tellAhead(number) {
    ahead.textContent = number > 0 ? `${count(number, "picture")} ahead of ${item.state === "asked" ? "you" : "this one"}` : "";
  }

  function dispose() {
    timers.forEach(clearTimeout);
    URL.revokeObjectURL(url);
  }

  function showAnswer() {
    const { prediction } = item;
    element.classList.toggle("unsure", prediction.is_unsure);
    const lesson = shared.model.lessons.find((each) => each.task === prediction.task);
    const taught = `taught in lesson ${prediction.task}${lesson?.date ? `, ${day(lesson.date)}` : ""}`;
    const bars = h("div", { class: "bars" }, prediction.top.map(scoreRow));
    const more = shared.model.num_seen > prediction.top.length ? moreButton(bars) : null;
    const parts = prediction.is_unsure
      ? [h("p", { class: "label" }, "Not sure"),
         h("p", { class: "soft" }, `It can only answer with the ${count(shared.model.num_seen, "class", "classes")} it was taught.`)]
      : [h("p", { class: "label" }, prediction.label), h("p", { class: "soft" }, taught)];
    const wrong = shared.model.can_teach ? wrongForm(shared, file, prediction.is_unsure) : null;
    fill(body, ...parts, bars, h("div", { class: "row" }, wrong?.button, more), wrong?.form);
    say(prediction.is_unsure ? `Not sure. Perhaps ${prediction.label}.` : `${prediction.label}, ${percent(prediction.probability)}`);
  }

  /** A button that shows more classes, then fewer again. */
  function moreButton(bars) {
    const button = h("button", { class: "link", onclick: async () => {
      if (bars.childElementCount > item.prediction.top.length) {
        bars.replaceChildren(...item.prediction.top.map(scoreRow));
        button.textContent = "more";
        return;
      }
      try {
        bars.replaceChildren(...(await predict(file, MORE)).top.map(scoreRow));
        button.textContent = "fewer";
      } catch (error) {
        button.replaceWith(h("span", { class: "trouble" }, error.text ?? error.message));
      }
    } }, "more");
    return button;
  }

  function showTrouble(error) {
    const isGone = error.code === "no_answer";
    fill(body,
      h("p", { class: "trouble", role: "alert" }, error.text ?? error.message, isGone ? " Your picture is still here." : ""),
      isGone || error.status >= 500 || error.status === 408 ? h("button", { onclick: () => again(item) }, "Retry") : null);
  }

  return item;
}
