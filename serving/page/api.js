// The public API, as the studio uses it. Its paths are relative to the page, wherever a proxy shows it.

const KEY = "stems-key";

/** A failure that names the field at fault and how to fix it; `wait` is in seconds, 0 where waiting does not help. */
export class Problem extends Error {
  constructor({ detail, hint = "", field = "", status = 0, wait = 0 }) {
    super(`${detail} ${hint}`.trim());
    Object.assign(this, { detail, hint, field, status, wait });
  }
}

let keyNeeded = async (problem) => Promise.reject(problem);

/** `handler` is called with the problem when a key is missing or wrong; it answers once `useKey` was called. */
export function onKeyNeeded(handler) {
  keyNeeded = handler;
}

export const hasKey = () => sessionStorage.getItem(KEY) !== null;
export const useKey = (key) => sessionStorage.setItem(KEY, key);
export const dropKey = () => sessionStorage.removeItem(KEY);

async function ask(path, { headers, ...options } = {}) {
  for (;;) {
    const key = sessionStorage.getItem(KEY);
    const keyed = key === null ? {} : { Authorization: `Bearer ${key}` };
    const answer = await reach(path, { ...options, headers: { Accept: "application/json", ...headers, ...keyed } });
    if (answer.ok) return answer;
    const problem = await problemOf(answer);
    if (answer.status !== 401) throw problem;
    if (key === sessionStorage.getItem(KEY)) await keyNeeded(problem, key !== null);
  }
}

async function reach(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ detail: "The service cannot be reached.", hint: "Is it still running?" });
  }
}

async function problemOf(answer) {
  let told = {};
  try {
    told = await answer.json();
  } catch {
    // Whatever stands between the page and the service may answer in its own words.
  }
  const wait = Number(answer.headers.get("Retry-After")) || 0;
  return new Problem({ detail: `The service answered ${answer.status}.`, ...told, status: answer.status, wait });
}

export async function getModel(signal) {
  return (await ask("v1/model", { signal })).json();
}

/** A job as it is now. */
export async function getJob(id, signal) {
  return (await ask(`v1/jobs/${encodeURIComponent(id)}`, { signal })).json();
}

/** Cancel a job that is not done; forget one that is. */
export async function deleteJob(id) {
  await ask(`v1/jobs/${encodeURIComponent(id)}`, { method: "DELETE" });
}

/** Ask for a song: `fields` are {prompt, seconds, seed}. Answers the job. */
export function makeSong(fields, { token, signal }) {
  return post("v1/songs", JSON.stringify(fields), { "Content-Type": "application/json" }, token, signal);
}

/** Ask for a change of a song: a FormData of fields and files. Answers the job. */
export const editSong = (form, { token, signal }) => post("v1/edits", form, {}, token, signal);

/** Ask for another texture of a stem: a FormData. Answers the job. */
export const varySong = (form, { token, signal }) => post("v1/variations", form, {}, token, signal);

/** Ask for more of a song: a FormData. Answers the job. */
export const continueSong = (form, { token, signal }) => post("v1/continuations", form, {}, token, signal);

async function post(path, body, headers, token, signal) {
  return (await ask(path, { method: "POST", body, signal, headers: { ...headers, "Idempotency-Key": token } })).json();
}

/** The bytes of a file that a link leads to: what follows the service's prefix in it is below the page, too. */
export async function getBlob(link, signal) {
  return (await ask(link.slice(link.indexOf("/v1/") + 1), { signal, headers: { Accept: "*/*" } })).blob();
}

/** The stream of a job's events, with sound, after event `last`. */
export async function openEvents(id, last, signal) {
  const headers = { Accept: "text/event-stream", ...(last ? { "Last-Event-ID": last } : {}) };
  return (await ask(`v1/jobs/${encodeURIComponent(id)}/events?audio=true`, { signal, headers })).body;
}

/** A name for one request, so that asking again makes nothing twice. */
export function newToken() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Send, and while the service is busy, wait as long as it says and send again; `onWait` is told each time. */
export async function patiently(send, onWait, signal) {
  for (;;) {
    try {
      return await send();
    } catch (error) {
      if (!(error instanceof Problem) || !error.wait) throw error;
      onWait(error);
      await sleep(error.wait * 1000, signal);
    }
  }
}

/** Wait, or throw as fetch does once `signal` is aborted. */
export function sleep(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
