// A job's events, as they happen: server-sent events read by hand, since an EventSource cannot send a key.

import { openEvents, Problem, sleep } from "./api.js";

const TRIES = 8;

/** Events of a job, {kind, data}, up to its "end"; a stream that breaks is taken up where it broke. */
export async function* follow(id, signal) {
  let last = "";
  for (let tries = 0; tries < TRIES; tries++) {
    try {
      const bytes = await openEvents(id, last, signal);
      // Where nothing follows, not even an end, the service may count from one again: next time hear it all.
      const since = last;
      last = "";
      for await (const event of parse(bytes)) {
        tries = 0;
        last = event.id || since;
        yield { kind: event.kind, data: JSON.parse(event.data) };
        if (event.kind === "end") return;
      }
    } catch (error) {
      const refused = error instanceof Problem && error.status && !error.wait;
      if (signal.aborted || refused || error instanceof SyntaxError) throw error;
    }
    await sleep(250 * 2 ** tries, signal);
  }
  throw new Problem({ detail: "The service cannot be reached any more.", hint: "Reload the page to try again." });
}

/** {id, kind, data} for each event in a stream of bytes. */
async function* parse(bytes) {
  let event = { id: "", kind: "message", data: [] };
  for await (const line of lines(bytes)) {
    if (line === "") {
      if (event.data.length) yield { ...event, data: event.data.join("\n") };
      event = { id: "", kind: "message", data: [] };
      continue;
    }
    const [, field, value] = /^([^:]*):? ?(.*)$/.exec(line);
    if (field === "id") event.id = value;
    if (field === "event") event.kind = value;
    if (field === "data") event.data.push(value);
  }
}

async function* lines(bytes) {
  const reader = bytes.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const parts = (rest + value).split("\n");
      rest = parts.pop();
      for (const part of parts) yield part.replace(/\r$/, "");
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Samples of an "audio" event: base64 of 16-bit little-endian becomes floats. */
export function samplesOf({ pcm }) {
  const bytes = Uint8Array.from(atob(pcm), (character) => character.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length >> 1 }, (_, index) => view.getInt16(2 * index, true) / 32768);
}
