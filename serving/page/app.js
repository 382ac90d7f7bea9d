// The page: two forms, one song.

import { editSong, getBytes, getModel, makeSong, Problem } from "./api.js";
import { showLanes } from "./lanes.js";
import { Player } from "./player.js";

const find = (selector) => document.querySelector(selector);

let model = null;
let player = null;
let current = null; // {manifest, links, files: {stem: ArrayBuffer}}
let redraw = () => {};

start();

async function start() {
  try {
    model = await getModel();
  } catch (error) {
    find("#about").textContent = error.message;
    return;
  }
  const names = model.stems.map((stem) => stem.name).join(", ");
  find("#about").textContent =
    `Model ${model.digest} plays ${names}; up to ${model.limits.max_seconds} s at a time.`;
  find("#seconds").max = model.limits.max_seconds;
  find("#seconds").min = model.limits.min_seconds;
  find("#prompt").maxLength = model.limits.max_prompt_characters;
  find("#regenerate").replaceChildren(...model.stems.map((stem, index) => stemChoice(stem.name, index === 0)));
  if (!model.separates) {
    find("#drop").textContent = "This model cannot take whole songs apart; make a song, then change it here.";
  }
  find("#make").addEventListener("submit", submitMake);
  find("#change").addEventListener("submit", submitChange);
  wireDrop();
  wireTransport();
}

function stemChoice(name, checked) {
  const label = document.createElement("label");
  label.className = "choice";
  const box = Object.assign(document.createElement("input"), { type: "checkbox", name: "regenerate", value: name, checked });
  label.append(box, ` ${name}`);
  return label;
}

function submitMake(event) {
  event.preventDefault();
  const form = event.target;
  const fields = { prompt: form.elements.prompt.value, seconds: Number(form.elements.seconds.value) };
  if (form.elements.seed.value !== "") fields.seed = Number(form.elements.seed.value);
  work(form, (signal) => makeSong(fields, signal));
}

function submitChange(event) {
  event.preventDefault();
  const form = event.target;
  const wanted = [...form.querySelectorAll("[name=regenerate]:checked")].map((box) => box.value);
  work(form, (signal) => {
    const body = new FormData();
    if (form.elements.source.value === "current") {
      for (const [name, bytes] of Object.entries(current.files)) {
        body.append(name, new Blob([bytes]), `${name}.${current.manifest.format}`);
      }
    } else {
      const [file] = find("#file")?.files ?? [];
      if (!file) throw new Problem({ detail: "There is no song yet.", mend: "Choose a file.", field: "song" });
      body.append("song", file);
    }
    for (const name of wanted) body.append("regenerate", name);
    body.append("prompt", form.elements.prompt.value);
    body.append("keep", form.elements.keep.value);
    if (form.elements.seed.value !== "") body.append("seed", form.elements.seed.value);
    return editSong(body, signal);
  });
}

/** Run one request of a form: show that it goes on, let it be stopped, show its song or its problem. */
async function work(form, request) {
  clearProblem(form);
  const stopper = new AbortController();
  const ending = showWorking(() => stopper.abort());
  try {
    const result = await request(stopper.signal);
    const stems = Object.entries(result.links.stems);
    const files = await Promise.all(stems.map(async ([name, url]) => [name, await getBytes(url, stopper.signal)]));
    await showSong(result, Object.fromEntries(files));
    ending("The song is ready.");
  } catch (error) {
    ending(error.name === "AbortError" ? "Stopped." : "");
    if (error.name !== "AbortError") showProblem(form, error);
  }
}

function showWorking(onCancel) {
  const began = Date.now();
  const tell = () => {
    find("#elapsed").textContent = `The model is playing … ${Math.round((Date.now() - began) / 1000)} s`;
  };
  tell();
  const timer = setInterval(tell, 1000);
  const buttons = document.querySelectorAll("form button");
  buttons.forEach((button) => (button.disabled = true));
  find("#cancel").onclick = onCancel;
  find("#working").hidden = false;
  find("#status").textContent = "The model is playing.";
  return (message) => {
    clearInterval(timer);
    buttons.forEach((button) => (button.disabled = false));
    find("#working").hidden = true;
    find("#status").textContent = message;
  };
}

function clearProblem(form) {
  form.querySelector(".problem").hidden = true;
  form.querySelectorAll("[aria-invalid]").forEach((field) => field.removeAttribute("aria-invalid"));
}

function showProblem(form, error) {
  const place = form.querySelector(".problem");
  place.textContent = error.message;
  place.hidden = false;
  const field = error.field === "song" ? find("#file") : error.field && form.elements[error.field];
  if (field instanceof HTMLElement) {
    field.setAttribute("aria-invalid", "true");
    field.focus();
  }
}

async function showSong(result, files) {
  player ??= new Player(model.sample_rate, showPlaying);
  const samples = await player.load(files);
  const { manifest, links } = result;
  current = { manifest, links, files };
  find("#song").hidden = false;
  find("#song-facts").textContent =
    `${manifest.seconds.toFixed(1)} s · seed ${manifest.seed}` + (manifest.prompt ? ` · “${manifest.prompt}”` : "");
  find("#seek").max = player.seconds;
  for (const key of ["zip", "mix", "manifest"]) find(`#${key}`).href = links[key];
  const stems = manifest.stems.map(({ name, origin }) => ({
    name, origin, url: links.stems[name], samples: samples[name],
  }));
  redraw = showLanes(find("#lanes"), stems, player);
  find("[name=source][value=current]").disabled = false;
  find("[name=source][value=current]").checked = true;
  showSource();
  showTime();
  find("#song").scrollIntoView({ block: "nearest" });
}

function wireDrop() {
  const drop = find("#drop");
  const useFile = () => {
    find("[name=source][value=file]").checked = true;
    showSource();
  };
  for (const kind of ["dragover", "dragleave", "drop"]) {
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragover");
    });
  }
  drop.addEventListener("drop", (event) => {
    if (!event.dataTransfer.files.length || !find("#file")) return;
    find("#file").files = event.dataTransfer.files;
    useFile();
  });
  find("#source").addEventListener("change", showSource);
}

function showSource() {
  find("#drop").hidden = find("[name=source]:checked").value === "current";
}

function wireTransport() {
  find("#play").addEventListener("click", () => (player.playing ? player.stop() : player.play()));
  find("#seek").addEventListener("input", (event) => {
    player.seek(Number(event.target.value));
    showTime();
  });
  window.addEventListener("resize", () => redraw());
  find("#lanes").addEventListener("click", () => showTime());
}

function showPlaying() {
  find("#play").textContent = player.playing ? "Pause" : "Play";
  if (player.playing) requestAnimationFrame(tick);
}

function tick() {
  showTime();
  if (!player.playing) return;
  if (player.position() >= player.seconds) player.stop();
  else requestAnimationFrame(tick);
}

function showTime() {
  const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
  find("#seek").value = player.position();
  find("#seek").setAttribute("aria-valuetext", `${player.position().toFixed(1)} seconds`);
  find("#clock").textContent = `${clock(player.position())} / ${clock(player.seconds)}`;
  redraw();
}
