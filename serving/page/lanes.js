// One lane a stem: waveform, mute, solo, volume, download.

const GOLDEN_ANGLE = 137.5;
const ORIGINS = { generated: "new", kept: "as it was", varied: "varied", silent: "silent" };

/** Fill the list with lanes for `stems` ([{name, origin, url, samples}]); answers a function that redraws them. */
export function showLanes(list, stems, player) {
  const template = document.querySelector("#lane");
  const lanes = stems.map((stem, index) => {
    const lane = template.content.firstElementChild.cloneNode(true);
    lane.style.setProperty("--hue", (24 + index * GOLDEN_ANGLE) % 360);
    lane.querySelector(".lane-name").textContent = stem.name;
    lane.querySelector(".lane-origin").textContent = ORIGINS[stem.origin];
    wireControls(lane, stem, player, () => lanes.forEach(markSilent));
    return { lane, stem, canvas: lane.querySelector("canvas"), peaks: null };
  });
  const markSilent = ({ lane, stem }) => lane.classList.toggle("silent-now", !player.audible(stem.name));
  list.replaceChildren(...lanes.map(({ lane }) => lane));
  return () => {
    const share = player.seconds ? player.position() / player.seconds : 0;
    for (const entry of lanes) draw(entry, share);
  };
}

function wireControls(lane, stem, player, changed) {
  const toggle = (button, label, key) => {
    button.setAttribute("aria-label", `${label} ${stem.name}`);
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", on);
      player.set(stem.name, { [key]: on });
      changed();
    });
  };
  toggle(lane.querySelector(".mute"), "Mute", "muted");
  toggle(lane.querySelector(".solo"), "Solo", "solo");
  lane.querySelector(".volume span").textContent = `Volume of ${stem.name}`;
  lane.querySelector(".gain").addEventListener("input", (event) => {
    player.set(stem.name, { gain: Number(event.target.value) });
  });
  const canvas = lane.querySelector("canvas");
  canvas.setAttribute("aria-label", `Waveform of ${stem.name}`);
  canvas.addEventListener("click", (event) => player.seek((event.offsetX / canvas.clientWidth) * player.seconds));
  const link = lane.querySelector(".download");
  link.href = stem.url;
  link.setAttribute("aria-label", `Save ${stem.name}`);
}

function draw(entry, share) {
  const { canvas, stem } = entry;
  const scale = window.devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * scale);
  const height = Math.round(canvas.clientHeight * scale);
  if (!width) return;
  if (canvas.width !== width || canvas.height !== height || !entry.peaks) {
    canvas.width = width;
    canvas.height = height;
    entry.peaks = peaksOf(stem.samples, width);
  }
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, width, height);
  pen.fillStyle = getComputedStyle(canvas).color;
  const head = share * width;
  for (let x = 0; x < width; x++) {
    const size = Math.max(scale, entry.peaks[x] * height);
    pen.globalAlpha = x <= head ? 1 : 0.45;
    pen.fillRect(x, (height - size) / 2, 1, size);
  }
  pen.globalAlpha = 1;
  pen.fillRect(head, 0, scale, height);
}

/** The loudest sample in each of `count` slices, 0 to 1. */
function peaksOf(samples, count) {
  const peaks = new Float32Array(count);
  const step = samples.length / count;
  for (let slice = 0; slice < count; slice++) {
    const end = Math.min(samples.length, Math.ceil((slice + 1) * step));
    for (let i = Math.floor(slice * step); i < end; i++) {
      peaks[slice] = Math.max(peaks[slice], Math.abs(samples[i]));
    }
  }
  return peaks.map((peak) => Math.min(1, peak));
}
