// What survives a reload of the page: which jobs are on the list of takes.

const SHELF = "stems-takes";

/** Remember takes that have a job. */
export function shelve(takes) {
  const kept = takes.filter((take) => take.job).map(({ number, what, prompt, parent, job }) => ({
    number, what, prompt, parent, job,
  }));
  try {
    sessionStorage.setItem(SHELF, JSON.stringify(kept));
  } catch {
    // A full or closed storage costs no more than this.
  }
}

/** What was remembered: the first arguments of takes. */
export function unshelve() {
  try {
    return JSON.parse(sessionStorage.getItem(SHELF)) ?? [];
  } catch {
    return [];
  }
}
