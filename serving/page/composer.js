// The form: words, length, seed, and a song of one's own.

const IDEAS = [
  "calm electric piano over a slow beat", "funky bass, dry drums", "dusty hip hop, warm keys, late at night",
  "bright synth pop, four to the floor", "slow blues, brushed drums",
];

const find = (selector) => document.querySelector(selector);

export class Composer {
  /** `onSong` gets the fields of a song from text; `onFile` a FormData, a name for it, and "edit" or "extend". */
  constructor(model, onSong, onFile) {
    Object.assign(this, { model, onSong, onFile });
    this.form = find("#composer");
    const { limits } = model;
    Object.assign(find("#seconds"), { min: limits.min_seconds, max: limits.max_seconds });
    find("#seconds").value = Math.min(find("#seconds").value, limits.max_seconds);
    find("#prompt").maxLength = limits.max_prompt_characters;
    find("#ideas").replaceChildren(...IDEAS.map((idea) => this.#idea(idea)));
    find("#regenerate").replaceChildren(...model.stems.map((stem, index) => stemChoice(stem.name, index === 0)));
    find("#drop").hidden = !model.separates;
    find("#submit").disabled = false;
    this.form.addEventListener("submit", (event) => this.#submit(event));
    find("#prompt").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.form.requestSubmit();
    });
    this.#wireFile();
    this.lastSeed = null;
    find("#lock").addEventListener("change", () => {
      find("#seed").value = find("#lock").checked ? (this.lastSeed ?? find("#seed").value) : "";
    });
  }

  get prompt() {
    return find("#prompt").value;
  }

  /** The seed to ask for, as text: what is typed or kept, or a new one that is short enough to be told. */
  get seed() {
    return find("#seed").value || String(crypto.getRandomValues(new Uint32Array(1))[0] % 1_000_000);
  }

  /** What to do with a song of one's own: "edit" or "extend". */
  get mode() {
    return this.form.querySelector("[name=mode]:checked").value;
  }

  get file() {
    return find("#file").files[0] ?? null;
  }

  /** The seed that was used: kept for the next take if that is wished. */
  used(seed) {
    this.lastSeed = seed;
    if (find("#lock").checked) find("#seed").value = seed;
    else if (find("#seed").value === String(seed)) find("#seed").value = "";
    find("#lock-label").textContent = `Keep the seed (${seed})`;
  }

  #submit(event) {
    event.preventDefault();
    if (this.file) this.#submitFile();
    else {
      const seconds = numberOr(find("#seconds").value);
      this.onSong({ prompt: this.prompt, seconds, seed: numberOr(this.seed) });
    }
  }

  #submitFile() {
    const body = this.fields();
    body.append("song", this.file);
    if (this.mode === "extend") {
      const seconds = find("#seconds").value;
      body.append("seconds", seconds);
      this.onFile(body, `${this.file.name}: ${seconds} s more`, this.mode);
      return;
    }
    const wanted = [...this.form.querySelectorAll("[name=regenerate]:checked")].map((box) => box.value);
    for (const name of wanted) body.append("regenerate", name);
    this.onFile(body, `${this.file.name}: ${wanted.join(", ")}`, this.mode);
  }

  /** Words and seed, as each change of a song sends them. */
  fields() {
    const body = new FormData();
    body.append("prompt", this.prompt);
    body.append("seed", this.seed);
    return body;
  }

  #idea(text) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: text });
    button.addEventListener("click", () => {
      find("#prompt").value = text;
      find("#prompt").focus();
    });
    return button;
  }

  #wireFile() {
    find("#file").addEventListener("change", () => this.#showFile());
    find("#no-file").addEventListener("click", () => {
      find("#file").value = "";
      this.#showFile();
      find("#file").focus();
    });
    find("#mode").addEventListener("change", () => this.#showFile());
    for (const kind of ["dragover", "dragleave", "drop"]) {
      document.addEventListener(kind, (event) => {
        if (!this.model.separates || !event.dataTransfer?.types.includes("Files")) return;
        event.preventDefault();
        find("#drop").classList.toggle("over", kind === "dragover");
      });
    }
    document.addEventListener("drop", (event) => {
      if (!this.model.separates || !event.dataTransfer?.files.length) return;
      find("#file").files = event.dataTransfer.files;
      this.#showFile();
    });
    this.#showFile(); // a reload may have kept the choice
  }

  #showFile() {
    const chosen = this.file !== null;
    const extend = chosen && this.mode === "extend";
    find("#mode").hidden = !chosen;
    find("#stems-to-change").hidden = !chosen || extend;
    find("#length").hidden = chosen && !extend;
    find("#no-file").hidden = !chosen;
    find("#submit").textContent = extend ? "Extend the song" : chosen ? "Regenerate the stems" : "Make the song";
    find("#composer-title").textContent = chosen ? "Change a song" : "Make a song";
  }
}

/** What is typed as a number; what is none stays as it is, for the service to tell. */
function numberOr(text) {
  return text === "" ? null : Number(text);
}

function stemChoice(name, checked) {
  const label = Object.assign(document.createElement("label"), { className: "choice" });
  const box = { type: "checkbox", name: "regenerate", value: name, checked };
  label.append(Object.assign(document.createElement("input"), box), ` ${name}`);
  return label;
}
