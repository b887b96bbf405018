// Pictures on their way into a lesson.

import { sendPicture } from "./api.js";
import { checkSize } from "./dom.js";

/** Add pictures to a class, one request each; tells how many were sent, returns what was wrong with some of them. */
export async function addPictures(api, where, files, onSent = () => {}) {
  const problems = [];
  for (const [i, file] of files.entries()) {
    onSent(i);
    const name = file.name ?? "a picture";
    try {
      checkSize(file, api.shared.model.limits);
      await sendPicture(api.url(`/images?${where}`), file);
    } catch (error) {
      problems.push(`${name}: ${error.text ?? error.message}`);
      if (error.code === "no_answer" || error.status === 409) break;
    }
  }
  return problems;
}
