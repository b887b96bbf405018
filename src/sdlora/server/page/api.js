// Requests to the server this page came from, and to no other.

const TOKEN = "sdlora token"; // kept for this tab only
const OPEN = ["/v1/predict", "/v1/model"];

/** Why a request was refused: the server's problem document, or that it did not answer. */
export class Refused extends Error {
  constructor(problem, retryAfter = null) {
    super(problem.detail);
    Object.assign(this, problem, { retryAfter });
  }

  /** The whole message for people. */
  get text() { return this.fix ? `${this.detail} ${this.fix}` : this.detail; }
}

export const token = {
  get: () => sessionStorage.getItem(TOKEN),
  set: (value) => sessionStorage.setItem(TOKEN, value),
  forget: () => sessionStorage.removeItem(TOKEN),
};

/** Send a request; json is sent as JSON, body as it is. Returns the response. */
export async function request(method, path, { json, body, type } = {}) {
  const headers = {};
  if (json !== undefined) { body = JSON.stringify(json); type = "application/json"; }
  if (type) headers["Content-Type"] = type;
  if (token.get() && !OPEN.some((open) => path.startsWith(open))) headers.Authorization = `Bearer ${token.get()}`;
  let response;
  try {
    response = await fetch(path, { method, headers, body });
  } catch {
    throw new Refused({ status: 0, code: "no_answer", detail: "The server does not answer.", fix: null });
  }
  if (response.ok) return response;
  let problem = { status: response.status, code: "unknown", detail: `The server answered ${response.status}.`, fix: null };
  try { problem = { ...problem, ...(await response.json()) }; } catch { /* no problem document: keep ours */ }
  if (problem.status === 401) token.forget();
  throw new Refused(problem, Number(response.headers.get("Retry-After")) || null);
}

/** Send a request and return the JSON of its answer. */
export async function ask(method, path, options) {
  const response = await request(method, path, options);
  return response.status === 204 ? null : response.json();
}

const wait = (seconds) => new Promise((resolve) => { setTimeout(resolve, 1000 * seconds); });

/** Send a picture; waits politely while the server has too many. */
export async function sendPicture(path, blob) {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await ask("POST", path, { body: blob, type: "application/octet-stream" });
    } catch (error) {
      if (error.status !== 503 || attempt === 5) throw error;
      await wait(error.retryAfter ?? 1);
    }
  }
}

/** Ask what a picture shows. */
export async function predict(blob, topK = 3) {
  return (await sendPicture(`/v1/predict?top_k=${topK}`, blob)).predictions[0];
}
