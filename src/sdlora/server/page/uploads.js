// Pictures on their way into a lesson.

import { request } from "./api.js";
import { megabytes } from "./dom.js";

/** Add pictures to a class, one request each; returns what was wrong with some of them. */
export async function addPictures(api, where, files) {
  const problems = [];
  const limit = api.shared.model.limits.image_bytes;
  for (const file of files) {
    const name = file.name ?? "a picture";
    try {
      if (file.size > limit) throw new Error(`${megabytes(file.size)} is over the limit of ${megabytes(limit)}.`);
      await request("POST", api.url(`/images?${where}`), { body: file, type: "application/octet-stream" });
    } catch (error) {
      problems.push(`${name}: ${error.text ?? error.message}`);
      if (error.code === "no_answer" || error.status === 409) break;
    }
  }
  return problems;
}
