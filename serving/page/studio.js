// From a wish to a take: ask, follow, load; and which takes are A and B.

import { deleteJob, getBlob, getJob, newToken, patiently, Problem } from "./api.js";
import { Deck, decode } from "./deck.js";
import { follow, samplesOf } from "./events.js";
import { clearProblems, showProblem } from "./problems.js";
import { shelve, unshelve } from "./shelf.js";
import { Take, TakeList } from "./takes.js";

const DECKS = 6; // takes whose sound stays in memory; the others are fetched again
const OTHER = { a: "b", b: "a" };

export class Studio {
  /** `told` are {say(text), changed(), drawn(take, stem), seed(number)}. */
  constructor(model, player, list, told) {
    Object.assign(this, { model, player, told });
    this.takes = [];
    this.slots = { a: null, b: null };
    this.list = new TakeList(list, {
      put: (slot, take) => this.#guarded(this.put(slot, take)),
      cancel: (take) => this.#guarded(this.cancel(take)),
    });
  }

  /** The take that is heard, or null. */
  get heard() {
    return this.slots[this.player.heard];
  }

  /** The origin of a stem of the take that is heard, once it is done. */
  origin(name) {
    return this.heard?.result?.manifest.stems.find((stem) => stem.name === name)?.origin;
  }

  /** Make a take: `send` asks for it, `about` says what it is; problems are shown in `scopes`. */
  async perform(about, send, scopes) {
    scopes.forEach(clearProblems);
    const take = this.#newTake(about);
    const [token, { signal }] = [newToken(), take.stopper];
    try {
      const job = await patiently(() => send({ token }), (problem) => this.#busy(take, problem), signal);
      clearInterval(take.countdown);
      take.job = job.id;
      if (signal.aborted) await deleteJob(job.id);
      signal.throwIfAborted();
      this.#enlist(take);
      await this.#accept(take, job);
      await this.#follow(take);
      shelve(this.takes);
    } catch (error) {
      this.#drop(take);
      this.#report(error, scopes, `${take.name} is cancelled.`);
    }
  }

  /** Bring back what was on the list before the page was loaded again. */
  async restore(scopes) {
    for (const about of unshelve()) {
      const take = this.#newTake(about);
      try {
        const job = await getJob(take.job);
        this.#enlist(take);
        this.#job(take, job);
        if (job.state === "done") this.#done(take, job);
        else this.#resume(take, job, scopes);
      } catch {
        this.#drop(take); // it is no longer kept
      }
    }
    const last = this.takes.findLast((take) => take.done);
    if (last && !this.heard) await this.#guarded(this.put("a", last));
  }

  async #resume(take, job, scopes) {
    try {
      await this.#accept(take, job);
      await this.#follow(take);
    } catch (error) {
      this.#drop(take);
      this.#report(error, scopes, `${take.name} is cancelled.`);
    }
  }

  /** Make a take A or B, and hear it. */
  async put(slot, take) {
    const other = OTHER[slot];
    if (this.slots[other] === take) this.#set(other, this.slots[slot]);
    this.#set(slot, take);
    this.player.hear(slot);
    this.told.changed();
    if (!take.deck) {
      take.deck = this.#newDeck();
      this.#set(slot, take);
      this.told.changed();
      await this.#load(take);
    }
    this.#unload();
  }

  async cancel(take) {
    if (take.job) await deleteJob(take.job);
    take.stopper.abort(new DOMException("Cancelled.", "AbortError"));
  }

  #set(slot, take) {
    this.slots[slot] = take;
    if (take) take.used = Date.now();
    this.player.put(slot, take?.deck ?? null);
  }

  #newDeck() {
    return new Deck(this.model.stems.map((stem) => stem.name), this.model.sample_rate);
  }

  #newTake(about) {
    const number = 1 + Math.max(0, ...this.takes.map((take) => take.number));
    const take = new Take({ number, ...about }, null);
    this.takes.push(take);
    return take;
  }

  /** Put a take on the list of the page, once. */
  #enlist(take) {
    if (!this.list.rows.has(take)) this.list.add(take);
    this.told.changed();
  }

  /** Say that the service has no room yet, and how long it says to wait. */
  #busy(take, problem) {
    this.#enlist(take);
    const until = Date.now() + problem.wait * 1000;
    const tell = () => {
      const left = Math.max(0, Math.ceil((until - Date.now()) / 1000));
      this.list.update(take, `${problem.message} Asking again in ${left} s.`);
    };
    clearInterval(take.countdown);
    take.countdown = setInterval(tell, 1000);
    tell();
    this.told.say(`${problem.message} Asking again in ${problem.wait} seconds.`);
  }

  /** The service has taken it: show it, at once where nothing else is being listened to. */
  async #accept(take, job) {
    take.deck = this.#newDeck();
    take.state = job.state;
    this.#job(take, job);
    this.told.say(`${take.name} is on its way.`);
    shelve(this.takes);
    if (!this.player.playing) await this.put(this.heard ? OTHER[this.player.heard] : this.player.heard, take);
    this.told.changed();
  }

  async #follow(take) {
    for await (const { kind, data } of follow(take.job, take.stopper.signal)) {
      if (kind === "job") this.#job(take, data);
      if (kind === "progress") this.#progress(take, data);
      if (kind === "audio") this.#audio(take, data);
      if (kind === "end") await this.#end(take, data);
    }
  }

  #job(take, job) {
    if (job.state !== "done") take.state = job.state; // it is, once it can be heard
    if (take.seed === null && Number.isInteger(job.seed)) {
      take.seed = job.seed;
      this.told.seed(job.seed);
    }
    this.#progress(take, job);
    this.list.update(take, job.state === "queued" ? "waiting for its turn" : "");
  }

  #progress(take, { frames, of }) {
    if (!of) return;
    take.deck?.expect((of / this.model.frame_rate) * this.model.sample_rate);
    this.list.progress(take, frames / of);
  }

  #audio(take, data) {
    const piece = take.deck.append(data.stem, data.first, samplesOf(data));
    if (!piece) return;
    this.player.arrived(take.deck, data.stem, piece);
    this.told.drawn(take, data.stem);
  }

  async #end(take, job) {
    if (job.state === "cancelled") throw new DOMException("Cancelled.", "AbortError");
    if (job.state !== "done") throw new Problem(job.problem ?? { detail: `${take.name} could not be made.` });
    take.result = job;
    await this.#load(take);
    this.#job(take, job);
    this.#done(take, job);
    if (!Object.values(this.slots).includes(take)) await this.put(OTHER[this.player.heard], take);
    this.#unload();
    this.told.say(`${take.name} is ready.`);
    this.told.changed();
  }

  #done(take, job) {
    Object.assign(take, { result: job, state: "done" });
    this.list.update(take);
  }

  /** Fetch a take's stems: they are what is saved, too, turned down where the mix would have clipped. */
  async #load(take) {
    const { signal } = take.stopper;
    const links = Object.entries(take.result.links.stems);
    const files = await Promise.all(links.map(async ([name, path]) => [name, await getBlob(path, signal)]));
    take.deck.finish(await decode(Object.fromEntries(files), this.model.sample_rate));
    this.player.finished(take.deck);
    this.told.changed();
  }

  /** Free the sound of takes that were not used for long. */
  #unload() {
    const idle = this.takes.filter((take) => take.done && take.deck && !Object.values(this.slots).includes(take));
    idle.sort((one, two) => (two.used ?? 0) - (one.used ?? 0));
    for (const take of idle.slice(DECKS - 2)) take.deck = null;
  }

  #drop(take) {
    clearInterval(take.countdown);
    this.takes = this.takes.filter((other) => other !== take);
    for (const slot of ["a", "b"]) if (this.slots[slot] === take) this.#vacate(slot);
    this.list.remove(take);
    shelve(this.takes);
    this.told.changed();
  }

  #vacate(slot) {
    if (this.player.heard === slot) this.player.stop();
    this.#set(slot, null);
    this.player.hear(OTHER[slot]);
  }

  #report(error, scopes, cancelled) {
    if (error.name === "AbortError") this.told.say(cancelled);
    else showProblem(error, scopes);
    if (error.name !== "AbortError" && !(error instanceof Problem)) console.error(error);
  }

  #guarded(work) {
    return work.catch((error) => this.#report(error, [document.querySelector("#downloads")], ""));
  }
}
