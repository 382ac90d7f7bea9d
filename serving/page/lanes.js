// One lane a stem: waveform, region, mute, solo, gain, and what can be done to it.

import { drawWave, wireTrack } from "./wave.js";

const GOLDEN_ANGLE = 137.5;
const ORIGINS = {
  generated: "new", kept: "as it was", varied: "another texture", spliced: "new in a region", continued: "goes on", silent: "silent",
};

/** What a region is called. */
export const regionName = ({ start, end }) => `${+start.toFixed(2)}–${+end.toFixed(2)} s`;

export class Lane {
  /** `does` are {seek(seconds), again(lane), texture(lane), save(lane)}. */
  constructor(stem, index, player, frameRate, does) {
    Object.assign(this, { name: stem.name, player, frameRate, does });
    this.deck = null;
    this.region = null; // {start, end} in seconds
    this.element = document.querySelector("#lane").content.firstElementChild.cloneNode(true);
    this.element.dataset.stem = stem.name;
    this.element.style.setProperty("--hue", (45 + index * GOLDEN_ANGLE) % 360);
    this.find(".lane-name").textContent = stem.name;
    this.find(".texture").hidden = stem.codebooks < 2;
    this.#wireMix();
    this.#wireRegion();
    this.#wireActions();
    this.#showRegion();
  }

  find(selector) {
    return this.element.querySelector(selector);
  }

  /** Show the sound of a take; `origin` is its manifest's, once there is one. */
  show(deck, origin, done) {
    this.deck = deck;
    this.find(".lane-origin").textContent = ORIGINS[origin] ?? (done ? "" : "being played");
    for (const button of this.element.querySelectorAll(".actions button")) button.disabled = !done;
    this.draw();
  }

  draw() {
    if (!this.deck) return;
    drawWave(this.find(".wave"), this.deck, this.name);
    this.#showRegion();
  }

  /** Show the position, as a share of the take. */
  tick(share) {
    this.find(".playhead").style.left = `${100 * share}%`;
    this.element.classList.toggle("unheard", !this.player.audible(this.name));
  }

  /** Choose from `start` to `end` in seconds, on whole frames; or nothing. */
  choose(start, end) {
    const snap = (time) => Math.round(time * this.frameRate) / this.frameRate;
    this.region = end > start ? { start: snap(start), end: Math.max(snap(end), snap(start) + 1 / this.frameRate) } : null;
    this.find(".from").value = this.region ? +this.region.start.toFixed(3) : "";
    this.find(".to").value = this.region ? +this.region.end.toFixed(3) : "";
    this.#showRegion();
  }

  #wireMix() {
    for (const [kind, key, label] of [["mute", "muted", "Mute"], ["solo", "solo", "Solo"]]) {
      const button = this.find(`.${kind}`);
      button.setAttribute("aria-label", `${label} ${this.name}`);
      button.addEventListener("click", () => {
        const on = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", on);
        this.player.set(this.name, { [key]: on });
      });
    }
    const gain = this.find(".gain");
    gain.setAttribute("aria-label", `Gain of ${this.name}`);
    const tell = () => {
      const level = Number(gain.value);
      gain.setAttribute("aria-valuetext", level ? `${(20 * Math.log10(level)).toFixed(1)} dB` : "silent");
    };
    gain.addEventListener("input", () => {
      this.player.set(this.name, { gain: Number(gain.value) });
      tell();
    });
    tell();
  }

  #wireRegion() {
    const seconds = () => this.player.seconds;
    wireTrack(
      this.find(".track"),
      (share) => this.does.seek(share * seconds()),
      (from, to) => this.choose(from * seconds(), to * seconds()),
    );
    this.find(".bounds").setAttribute("aria-label", `Region of ${this.name}`);
    for (const [kind, label] of [["from", "From"], ["to", "to"]]) {
      this.find(`.${kind}`).setAttribute("aria-label", `${label} second, region of ${this.name}`);
      this.find(`.${kind}`).addEventListener("input", () => this.#readRegion());
    }
    this.find(".clear").setAttribute("aria-label", `Clear the region of ${this.name}`);
    const clear = () => {
      this.choose(0, 0);
      this.find(".from").focus();
    };
    this.find(".clear").addEventListener("click", clear);
    this.find(".bounds").addEventListener("keydown", (event) => event.key === "Escape" && clear());
  }

  /** The region as it is typed: a bound left out is the take's. What makes no sense the service will tell. */
  #readRegion() {
    const [from, to] = [this.find(".from").value, this.find(".to").value];
    this.region = from === "" && to === "" ? null : { start: Number(from), end: to === "" ? this.player.seconds : Number(to) };
    this.#showRegion();
  }

  #showRegion() {
    const { region } = this;
    const box = this.find(".region");
    const seconds = this.player.seconds || 1;
    box.hidden = !region || !(region.end > region.start);
    if (region) {
      box.style.left = `${Math.min(100, (100 * region.start) / seconds)}%`;
      box.style.right = `${Math.max(0, 100 - (100 * region.end) / seconds)}%`;
    }
    this.find(".clear").hidden = !region;
    setLabel(this.find(".again"), region ? "Regenerate this stem here" : "Regenerate this stem", this.name);
    setLabel(this.find(".texture"), region ? "Another texture here" : "Another texture", this.name);
    const where = region ? `, region ${regionName(region)}` : "";
    this.find(".wave").setAttribute("aria-label", `Waveform of ${this.name}${where}`);
  }

  #wireActions() {
    for (const kind of ["again", "texture", "save"]) {
      this.find(`.${kind}`).addEventListener("click", () => this.does[kind](this));
    }
    this.find(".save").setAttribute("aria-label", `Save ${this.name}`);
  }
}

function setLabel(button, text, name) {
  if (button.textContent !== text) button.textContent = text;
  button.setAttribute("aria-label", `${text}: ${name}`);
}
