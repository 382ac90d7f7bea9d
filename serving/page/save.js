// Saving files: fetched with the key, then handed over, since a plain link could not send it.

import { getBlob } from "./api.js";

/** Save what lies at `path` as `name`. */
export async function save(path, name) {
  const url = URL.createObjectURL(await getBlob(path));
  Object.assign(document.createElement("a"), { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** A file's name that tells its take: "take-3-bass.wav". */
export function fileName(take, path) {
  return `take-${take.number}-${path.split("/").pop()}`;
}
