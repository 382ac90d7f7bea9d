// The list of takes: what each is, how far it is, and which are A and B.

/** One result, or one that is being made. */
export class Take {
  /** `about` are {number, what, prompt, parent, job}: what it is of, the take that it came from, its job's id. */
  constructor(about, deck) {
    Object.assign(this, about, { deck });
    this.state = "asking";
    this.result = null; // the job, once it is done
    this.seed = null;
    this.stopper = new AbortController();
  }

  get done() {
    return this.state === "done";
  }

  get name() {
    return `Take ${this.number}`;
  }

  get label() {
    return [this.name, this.what, this.seed === null ? "" : `seed ${this.seed}`].filter(Boolean).join(" · ");
  }
}

/** The list on the page. `does` are {put(slot, take), cancel(take)}. */
export class TakeList {
  constructor(list, does) {
    Object.assign(this, { list, does });
    this.rows = new Map();
  }

  add(take) {
    const row = document.querySelector("#take").content.firstElementChild.cloneNode(true);
    row.dataset.take = take.number;
    row.querySelector(".take-slots").setAttribute("aria-label", `${take.name} as`);
    for (const button of row.querySelectorAll(".slot")) {
      const { slot } = button.dataset;
      button.setAttribute("aria-label", `${slot.toUpperCase()}: ${take.name}`);
      button.addEventListener("click", () => this.does.put(slot, take));
    }
    const cancel = row.querySelector(".cancel");
    cancel.setAttribute("aria-label", `Cancel ${take.name}`);
    cancel.addEventListener("click", () => this.does.cancel(take));
    row.querySelector("progress").setAttribute("aria-label", `Progress of ${take.name}`);
    this.rows.set(take, row);
    this.list.prepend(row);
    this.update(take);
  }

  remove(take) {
    const row = this.rows.get(take);
    const focused = row?.contains(document.activeElement);
    row?.remove();
    this.rows.delete(take);
    if (focused) document.querySelector("#takes-title").focus();
  }

  /** Show a take's label and state; `note` in place of what it is by itself. */
  update(take, note = "") {
    const row = this.rows.get(take);
    if (!row) return;
    row.querySelector(".take-label").textContent = take.label;
    const from = take.parent ? `from take ${take.parent}` : "";
    const words = take.prompt ? `“${take.prompt}”` : "";
    row.querySelector(".take-note").textContent = note || [from, words].filter(Boolean).join(" · ");
    row.querySelector(".take-work").hidden = take.done;
    for (const button of row.querySelectorAll(".slot")) button.disabled = take.state === "asking";
  }

  progress(take, share) {
    const bar = this.rows.get(take)?.querySelector("progress");
    if (share > 0) bar?.setAttribute("value", share);
  }

  /** Mark which takes are in the slots, {a, b}, and which of them is heard. */
  mark(slots, heard) {
    for (const [take, row] of this.rows) {
      for (const button of row.querySelectorAll(".slot")) {
        button.setAttribute("aria-pressed", slots[button.dataset.slot] === take);
      }
      if (slots[heard] === take) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    }
  }
}
