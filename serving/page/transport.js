// Play, seek, A and B, the clock; and keys for them.

const find = (selector) => document.querySelector(selector);
const OTHER = { a: "b", b: "a" };

/** Connect the transport to a player; `names` answers what is in the slots, {a, b}. Returns the function that redraws it. */
export function wireTransport(player, names, onTick) {
  let frame = 0;
  const tick = () => {
    showTime(player);
    onTick(player.seconds ? player.position / player.seconds : 0);
    frame = player.playing ? requestAnimationFrame(tick) : 0;
  };
  const show = () => {
    find("#play").textContent = player.playing ? "Pause" : "Play";
    find("#play").disabled = !player.deck;
    find("#buffering").hidden = !player.waiting;
    showSlots(player, names());
    if (!frame) tick();
  };
  const toggle = () => (player.playing ? player.stop() : player.play());
  const change = () => player.hear(OTHER[player.heard]);
  find("#play").addEventListener("click", toggle);
  find("#switch").addEventListener("click", change);
  find("#seek").addEventListener("input", (event) => player.seek(Number(event.target.value)));
  wireKeys(toggle, change);
  return show;
}

function showTime(player) {
  const { position, seconds } = player;
  find("#seek").max = seconds;
  find("#seek").value = position;
  find("#seek").setAttribute("aria-valuetext", `${position.toFixed(1)} of ${seconds.toFixed(1)} seconds`);
  find("#clock").textContent = `${clock(position)} / ${clock(seconds)}`;
}

function clock(seconds) {
  const tenths = Math.floor(seconds * 10 + 1e-6);
  return `${Math.floor(tenths / 600)}:${String(Math.floor((tenths % 600) / 10)).padStart(2, "0")}.${tenths % 10}`;
}

function showSlots(player, names) {
  const button = find("#switch");
  const other = OTHER[player.heard];
  button.disabled = !(player.slots.a && player.slots.b);
  for (const slot of button.querySelectorAll(".slot")) slot.classList.toggle("heard", slot.dataset.slot === player.heard);
  button.title = button.disabled ? "Two takes are needed to switch between them" : "";
  find("#switch-label").textContent = button.disabled
    ? "Switch between A and B"
    : `A and B: hearing ${names[player.heard]}, switch to ${names[other]}`;
}

/** Single keys, unless they are turned off or would be typed. */
function wireKeys(toggle, change) {
  document.addEventListener("keydown", (event) => {
    if (!find("#shortcuts").checked || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("textarea, input:not([type=range], [type=checkbox], [type=file])")) return;
    if (event.key.toLowerCase() === "x") change();
    if (event.key === " " && !event.target.closest("button, input, a, summary")) {
      event.preventDefault();
      toggle();
    }
  });
}
