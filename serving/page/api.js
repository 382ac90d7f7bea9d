// The public API, as the page uses it.

/** A failure that names the field at fault and the mend. */
export class Problem extends Error {
  constructor({ detail, mend = "", field = "" }) {
    super(`${detail} ${mend}`.trim());
    this.field = field;
  }
}

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { ...options, headers: { Accept: "application/json", ...options.headers } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ detail: "The service cannot be reached.", mend: "Is it still running?" });
  }
  if (answer.ok) return answer;
  const wait = answer.headers.get("Retry-After");
  let problem = { detail: `The service answered ${answer.status}.` };
  try {
    problem = await answer.json();
  } catch {
    // Whatever stands between the page and the service may answer in its own words.
  }
  if (wait) problem.mend = `Try again in ${wait} s.`;
  throw new Problem(problem);
}

export async function getModel() {
  return (await ask("/v1/model")).json();
}

/** Make a song: {prompt, seconds, seed}. The answer is {id, links, manifest}. */
export async function makeSong(fields, signal) {
  const headers = { "Content-Type": "application/json" };
  return (await ask("/v1/songs", { method: "POST", headers, body: JSON.stringify(fields), signal })).json();
}

/** Change a song: a FormData of audio files and fields. The answer is as for makeSong. */
export async function editSong(form, signal) {
  return (await ask("/v1/edits", { method: "POST", body: form, signal })).json();
}

export async function getBytes(path, signal) {
  return (await ask(path, { signal, headers: { Accept: "*/*" } })).arrayBuffer();
}
