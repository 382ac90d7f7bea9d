// Plays two takes, A and B, locked to the sample on one clock; one of them is heard.

import { build, schedule, schedulePiece, silence } from "./graph.js";

const LEAD = 0.05; // seconds ahead that sounds are scheduled
const FADE = 0.006; // time constant of changes of level, in seconds
const CUSHION = 1; // seconds that must have come before playing goes on

export class Player {
  /** `onChange` is called whenever playing starts, waits or ends, and when what is heard changes. */
  constructor(rate, names, onChange) {
    Object.assign(this, { rate, names, onChange });
    this.mix = new Map(names.map((name) => [name, { gain: 1, muted: false, solo: false }]));
    this.slots = { a: null, b: null };
    this.heard = "a";
    this.playing = false; // or waiting for sound to come
    this.context = null; // made at the first play, as browsers want it
    this.graphs = null; // while it sounds
    this.offset = 0; // sample at which it starts, or started at time `startedAt`
    this.startedAt = 0;
  }

  get deck() {
    return this.slots[this.heard];
  }

  get seconds() {
    return this.deck?.seconds ?? 0;
  }

  get waiting() {
    return this.playing && !this.graphs;
  }

  /** Where the song is now, in seconds. */
  get position() {
    return Math.min(this.seconds, this.#sample() / this.rate);
  }

  /** Put a deck into slot "a" or "b"; null empties it. */
  put(slot, deck) {
    if (this.slots[slot] === deck) return;
    this.slots[slot] = deck;
    if (this.graphs) this.#exchange(slot, deck);
    this.#settle();
    this.onChange();
  }

  /** Hear slot "a" or "b", at the same position. */
  hear(slot) {
    if (this.heard === slot || !this.slots[slot]) return;
    this.heard = slot;
    this.#level();
    this.#settle();
    this.onChange();
  }

  /** A piece of a stem has come. */
  arrived(deck, name, piece) {
    this.#settle();
    const graph = this.#graphOf(deck);
    if (graph) {
      const when = this.#soon();
      schedulePiece(graph, name, piece, when, this.#sample(when));
    }
  }

  /** All of a deck has come, in place of its pieces. */
  finished(deck) {
    const graph = this.#graphOf(deck);
    if (graph) {
      const when = this.#soon();
      silence(graph, when);
      schedule(graph, when, this.#sample(when));
    }
    this.#settle();
    this.onChange();
  }

  async play() {
    if (this.playing || !this.deck) return;
    this.context ??= new AudioContext({ sampleRate: this.rate });
    if (this.deck.complete && this.offset >= this.deck.length) this.offset = 0;
    this.playing = true;
    this.timer = setInterval(() => this.#settle(), 30);
    this.onChange();
    await this.context.resume();
    this.#settle();
  }

  stop() {
    if (!this.playing) return;
    this.#halt();
    this.playing = false;
    clearInterval(this.timer);
    this.onChange();
  }

  seek(seconds) {
    const sample = Math.round(Math.min(Math.max(0, seconds), this.seconds) * this.rate);
    if (this.graphs) this.#halt();
    this.offset = sample;
    this.#settle();
    this.onChange();
  }

  /** Set `gain`, `muted` or `solo` of a stem, in both takes. */
  set(name, change) {
    Object.assign(this.mix.get(name), change);
    this.#level();
    this.onChange();
  }

  audible(name) {
    const anySolo = [...this.mix.values()].some((stem) => stem.solo);
    return anySolo ? this.mix.get(name).solo : !this.mix.get(name).muted;
  }

  /** What would be heard from start to end, by the same nodes, as mono samples. */
  async render() {
    const context = new OfflineAudioContext(1, Math.max(1, this.deck.length), this.rate);
    for (const graph of Object.values(this.#buildAll(context))) schedule(graph, 0, 0);
    return (await context.startRendering()).getChannelData(0);
  }

  #levels() {
    return Object.fromEntries(this.names.map((name) => [name, this.audible(name) ? this.mix.get(name).gain : 0]));
  }

  #build(context, slot) {
    return build(context, this.slots[slot], this.#levels(), slot === this.heard ? 1 : 0);
  }

  #buildAll(context) {
    const filled = Object.keys(this.slots).filter((slot) => this.slots[slot]);
    return Object.fromEntries(filled.map((slot) => [slot, this.#build(context, slot)]));
  }

  /** Let another deck sound in a slot, from where the song is. */
  #exchange(slot, deck) {
    if (this.graphs[slot]) this.#fade(this.graphs[slot]);
    delete this.graphs[slot];
    if (!deck) return;
    const when = this.#soon();
    this.graphs[slot] = this.#build(this.context, slot);
    schedule(this.graphs[slot], when, this.#sample(when));
  }

  /** Bring the levels of what sounds to what is set. */
  #level() {
    const now = this.context?.currentTime;
    const levels = this.#levels();
    for (const [slot, graph] of Object.entries(this.graphs ?? {})) {
      graph.output.gain.setTargetAtTime(slot === this.heard ? 1 : 0, now, FADE);
      for (const [name, node] of graph.stems) node.gain.setTargetAtTime(levels[name], now, FADE);
    }
  }

  #graphOf(deck) {
    return Object.values(this.graphs ?? {}).find((graph) => graph.deck === deck);
  }

  /** A time a moment ahead, on a sample. */
  #soon() {
    return Math.ceil((this.context.currentTime + LEAD) * this.rate) / this.rate;
  }

  /** The sample that is heard at a time. */
  #sample(when = this.context?.currentTime) {
    if (!this.graphs) return this.offset;
    return this.offset + Math.max(0, Math.round((when - this.startedAt) * this.rate));
  }

  /** Start, wait or end, as there is sound and as it is wanted. */
  #settle() {
    if (!this.playing || this.context.state !== "running" || !this.deck) return;
    const { complete, ready, length } = this.deck;
    const whole = complete || (length > 0 && ready >= length);
    if (!this.graphs && (whole || ready >= this.offset + CUSHION * this.rate)) this.#begin();
    if (!this.graphs) return;
    const margin = whole ? 0 : 2 * LEAD * this.rate;
    if (this.#sample() < ready - margin) return;
    if (whole) this.stop();
    else {
      this.#halt();
      this.onChange();
    }
  }

  #begin() {
    this.startedAt = this.#soon();
    this.graphs = this.#buildAll(this.context);
    for (const graph of Object.values(this.graphs)) schedule(graph, this.startedAt, this.offset);
    this.onChange();
  }

  #halt() {
    this.offset = Math.min(this.#sample(), this.deck?.length ?? 0);
    for (const graph of Object.values(this.graphs ?? {})) this.#fade(graph);
    this.graphs = null;
  }

  #fade(graph) {
    const now = this.context.currentTime;
    graph.output.gain.setTargetAtTime(0, now, FADE);
    silence(graph, now + 6 * FADE);
  }
}
