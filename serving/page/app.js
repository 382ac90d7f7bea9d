// The studio: a form, takes, lanes, and a player, put together.

import { continueSong, editSong, getModel, makeSong, patiently, varySong } from "./api.js";
import { Composer } from "./composer.js";
import { wireKeys } from "./keyring.js";
import { Lane, regionName } from "./lanes.js";
import { Player } from "./player.js";
import { clearProblems, showProblem } from "./problems.js";
import { fileName, save } from "./save.js";
import { Studio } from "./studio.js";
import { wireTransport } from "./transport.js";

const find = (selector) => document.querySelector(selector);

wireKeys();
start();

async function start() {
  let model;
  try {
    model = await patiently(getModel, (problem) => (find("#about").textContent = `${problem.message} Waiting …`));
  } catch (error) {
    find("#about").textContent = error.message;
    return;
  }
  const names = model.stems.map((stem) => stem.name);
  find("#about").textContent =
    `Model ${model.digest} plays ${listed(names)}; up to ${model.limits.max_seconds} s at a time.`;
  compose(model, names);
}

function compose(model, names) {
  let shown = null;
  let show = () => {};
  const showAll = () => {
    shown = studio.heard;
    showSong(studio, lanes, show);
  };
  const player = new Player(model.sample_rate, names, () => (studio.heard === shown ? show() : showAll()));
  const studio = new Studio(model, player, find("#takes"), {
    say: (text) => (find("#status").textContent = text),
    changed: showAll,
    drawn: (take, name) => {
      if (take !== studio.heard) return;
      lanes.find((lane) => lane.name === name).draw();
      show();
    },
    seed: (seed) => composer.used(seed),
  });
  const composer = new Composer(
    model,
    (fields) => studio.perform({ prompt: fields.prompt }, (how) => makeSong(fields, how), [composer.form]),
    (body, what, mode) => {
      const send = mode === "extend" ? continueSong : editSong;
      studio.perform({ what, prompt: body.get("prompt") }, (how) => send(body, how), [composer.form]);
    },
  );
  const does = laneActions(studio, composer, player);
  const lanes = model.stems.map((stem, index) => new Lane(stem, index, player, model.frame_rate, does));
  find("#lanes").replaceChildren(...lanes.map((lane) => lane.element));
  const slotNames = () => Object.fromEntries(Object.entries(studio.slots).map(([slot, take]) => [slot, take?.name]));
  show = wireTransport(player, slotNames, (share) => lanes.forEach((lane) => lane.tick(share)));
  wireDownloads(studio);
  wireExtension(studio, composer);
  wireRedrawing(lanes);
  offer(studio, player);
  show();
  studio.restore([composer.form]);
}

/** What the buttons of a lane do. */
function laneActions(studio, composer, player) {
  const change = (lane, what, field, send) => {
    const { heard } = studio;
    const body = composer.fields();
    body.append("of", heard.job);
    body.append(field, lane.name);
    if (lane.region) body.append("region", `${lane.region.start}-${lane.region.end}`);
    const where = lane.region ? ` ${regionName(lane.region)}` : "";
    const about = { what: `${lane.name}${where}${what}`, prompt: composer.prompt, parent: heard.number };
    studio.perform(about, (how) => send(body, how), [lane.element, composer.form]);
  };
  return {
    seek: (seconds) => player.seek(seconds),
    again: (lane) => change(lane, "", "regenerate", editSong),
    texture: (lane) => change(lane, ", another texture", "stem", varySong),
    save: (lane) => saveFile(studio, (links) => links.stems[lane.name]),
  };
}

/** Show the take that is heard. */
function showSong(studio, lanes, show) {
  const { heard, list } = studio;
  find("#invitation").hidden = find("#ideas").hidden = list.rows.size > 0;
  find("#desk").hidden = list.rows.size === 0;
  find("#song").hidden = !heard;
  list.mark(studio.slots, studio.player.heard);
  show();
  if (!heard) return;
  find("#song-title").textContent = heard.name;
  find("#song-facts").textContent = facts(heard);
  for (const button of find("#downloads").querySelectorAll("button")) button.disabled = !heard.done;
  find("#extend button").disabled = !heard.done;
  for (const lane of lanes) lane.show(heard.deck, studio.origin(lane.name), heard.done);
}

function facts(take) {
  const { manifest } = take.result ?? {};
  const turned = manifest && manifest.gain < 1 ? `turned down ${(-20 * Math.log10(manifest.gain)).toFixed(1)} dB` : "";
  const length = manifest ? `${manifest.seconds.toFixed(1)} s` : "";
  const seed = take.seed === null ? "" : `seed ${take.seed}`;
  return [take.what, length, seed, turned, take.prompt && `“${take.prompt}”`].filter(Boolean).join(" · ");
}

/** The take that is heard goes on, in all its stems. */
function wireExtension(studio, composer) {
  const form = find("#extend");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const { heard } = studio;
    if (!heard?.done) return;
    const [body, seconds] = [composer.fields(), find("#more-seconds").value];
    body.append("of", heard.job);
    body.append("seconds", seconds);
    const about = { what: `${seconds} s more`, prompt: composer.prompt, parent: heard.number };
    studio.perform(about, (how) => continueSong(body, how), [form, composer.form]);
  });
}

function wireDownloads(studio) {
  for (const button of find("#downloads").querySelectorAll("[data-save]")) {
    button.addEventListener("click", () => saveFile(studio, (links) => links[button.dataset.save]));
  }
}

async function saveFile({ heard }, choose) {
  clearProblems(find("#downloads"));
  try {
    const path = choose(heard.result.links);
    await save(path, fileName(heard, path));
  } catch (error) {
    showProblem(error, [find("#downloads")]);
  }
}

function wireRedrawing(lanes) {
  const redraw = () => lanes.forEach((lane) => lane.draw());
  new ResizeObserver(redraw).observe(find("#lanes"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
}

/**
 * `window.studio`, for tests and the curious:
 * `render()` what would be heard from start to end with the levels as they are, as mono samples;
 * `position`, in seconds; `playing`; `waiting`, for more sound to come; `slot` that is heard, "a" or "b";
 * `takes`, [{number, label, job, done}].
 */
function offer(studio, player) {
  window.studio = Object.freeze({
    render: () => player.render(),
    get position() {
      return player.position;
    },
    get playing() {
      return player.playing;
    },
    get waiting() {
      return player.waiting;
    },
    get slot() {
      return player.heard;
    },
    get takes() {
      return studio.takes.map(({ number, label, job, done }) => ({ number, label, job, done }));
    },
  });
}

const listed = (names) => new Intl.ListFormat("en").format(names);
