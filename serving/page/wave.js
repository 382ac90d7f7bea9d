// Drawing a waveform, and drawing a region across it by pointer.

const BAR = 2; // CSS pixels
const GAP = 1;
const DRAG = 4; // pixels that make a drag of a click

/** Draw what has come of a stem as bars; dots where it has yet to come. */
export function drawWave(canvas, deck, name) {
  const scale = window.devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * scale);
  const height = Math.round(canvas.clientHeight * scale);
  if (!width) return;
  Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d");
  pen.fillStyle = getComputedStyle(canvas).color;
  const count = Math.floor(canvas.clientWidth / (BAR + GAP));
  const outline = deck.length ? deck.outline(name, count) : new Float32Array(count).fill(NaN);
  outline.forEach((peak, index) => {
    const known = !Number.isNaN(peak);
    pen.globalAlpha = known ? 1 : 0.35;
    // Bent, so that quiet sounds show, too.
    const size = known ? Math.max(BAR * scale, Math.min(1, peak ** 0.7) * height) : BAR * scale;
    pen.beginPath();
    pen.roundRect(index * (BAR + GAP) * scale, (height - size) / 2, BAR * scale, size, scale);
    pen.fill();
  });
}

/**
 * Let a track be clicked and dragged: `onSeek` gets a share of its width, `onRegion` two, the smaller first.
 */
export function wireTrack(track, onSeek, onRegion) {
  let origin = null; // where the pointer went down
  let dragged = false;
  const share = (event) => {
    const box = track.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
  };
  track.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    origin = event;
    dragged = false;
    track.setPointerCapture(event.pointerId);
  });
  track.addEventListener("pointermove", (event) => {
    if (!origin) return;
    dragged ||= Math.abs(event.clientX - origin.clientX) >= DRAG;
    if (dragged) onRegion(...[share(origin), share(event)].sort((a, b) => a - b));
  });
  track.addEventListener("pointerup", (event) => {
    if (origin && !dragged) onSeek(share(event));
    origin = null;
  });
  track.addEventListener("pointercancel", () => (origin = null));
}
