// The page: it takes the input and updates the other cards.

import { buildAnswer, paintAnswer } from "./answer.js";
import { buildCapsule, paintCapsule, redraw } from "./capsule.js";
import { buildGuide, paintGuide, turnUntilTouched } from "./guide.js";
import { buildMoves, movesNow, paintMoves, seenAfterMoves, setMoves } from "./moves.js";
import { makePad } from "./pad.js";
import { paintPicture } from "./pictures.js";
import { paintRouting } from "./routing.js";
import { ask, askFile, complain, network, newSlot, state, worker } from "./state.js";
import { announce, el, explain, later, listenForHows, newest } from "./tools.js";
import { buildVotes, MOST_SHARP, paintVotes } from "./votes.js";

const MODES = ["draw", "test", "upload"];
const pad = makePad(el("pad"), lookAtDrawing);
let mode = "", uploaded = null;

function show(base, seen) { // a new input; nothing if it could not be read
  const slots = seen ? seen.chosen.map((label, index) => newSlot(label, seen.drawn[index])) : [];
  Object.assign(state, { base, seen, slots, active: 0 });
  paintAll();
}

// Looks at a new input: `asked` gives what the network makes of it; null if there is no input.
const look = newest((error) => { show(null, null); complain(error); }, async (asked) => {
  const base = asked ? await asked() : null, seen = await seenAfterMoves(base);
  complain(null);
  show(base, seen);
});

// Looks at the same input after a move, or with another sharpness: the capsules that are shown stay.
const lookAgain = newest(complain, async () => {
  const { base } = state, seen = await seenAfterMoves(base);
  if (state.base !== base || !seen) return;
  state.seen = seen;
  for (const slot of state.slots) {
    const picture = slot.offsets.every((offset) => offset === 0) && seen.drawn[seen.chosen.indexOf(slot.label)];
    if (picture) slot.picture = picture;
    else if (network.decoder) redraw(slot);
  }
  paintAll();
});

function choose(label) {
  const index = state.slots.findIndex((slot) => slot.label === label);
  if (index >= 0) state.active = index;
  else state.slots[state.active] = newSlot(label, state.slots[state.active].picture);
  paintAll();
  if (index < 0 && network.decoder) redraw(state.slots[state.active]);
}

function paintAll() {
  paintAnswer();
  if (mode !== "draw" || !state.seen) el("shown").hidden = !state.seen;
  if (state.seen) paintPicture(el("shown"), state.seen.input);
  paintVotes();
  paintRouting();
  paintCapsule();
  paintMoves();
  paintGuide(mode);
  writeLink();
}

function setMode(chosen) {
  mode = chosen;
  for (const each of MODES) {
    el(`mode-${each}`).setAttribute("aria-pressed", each === mode);
    el(`controls-${each}`).hidden = each !== mode;
  }
  el("pad").hidden = mode !== "draw";
  el("shown").hidden = mode === "draw";
  const what = network.targets === 2 ? "two overlapping digits" : "a digit";
  el("hint").textContent = mode === "draw" ? `Draw ${what} here` : "Choose an image file";
  el("hint").hidden = mode === "test" || (mode === "upload" && uploaded !== null);
  if (mode === "draw") lookAtDrawing();
  if (mode === "test") look(() => ask("example", shownExample()));
  if (mode === "upload") look(uploaded && (() => askFile(uploaded)));
}

function lookAtDrawing() {
  el("hint").hidden = pad.strokes.length > 0;
  const strokes = pad.strokes.map((stroke) => [...stroke]);
  look(strokes.length ? () => ask("drawing", strokes) : null);
}

const shownExample = () => Number(el("index").value);

function goTo(index) {
  el("index").value = (index + network.examples) % network.examples;
  setMode("test");
}

function goToWrong() {
  const { wrong, examples } = network;
  if (wrong.length) goTo(wrong.find((index) => index > shownExample()) ?? wrong[0]);
  else announce(el("truth").textContent = `The network gets all ${examples} examples right.`);
}

// The state in the address, such as #test=191&turn=12: reading it, if it is one, and writing it at rest.
function followLink() {
  const link = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  if (!("test" in link)) return false;
  setMoves(link);
  const sharpness = Number(link.sharpness ?? network.sharpness);
  state.sharpness = sharpness >= 0 && sharpness <= MOST_SHARP ? sharpness : network.sharpness;
  state.step = link.iteration > 0 ? Math.floor(link.iteration) - 1 : Infinity;
  el("index").value = link.test;
  setMode("test");
  return true;
}

const writeLink = later(300, "last", () => {
  const { sharpness, step } = state, link = new URLSearchParams();
  if (state.turning) return;
  if (mode === "test" && state.seen) {
    for (const [key, amount] of Object.entries({ test: shownExample(), ...movesNow() })) link.set(key, amount);
    if (sharpness !== network.sharpness) link.set("sharpness", sharpness);
    if (Number.isFinite(step)) link.set("iteration", step + 1);
  }
  history.replaceState(null, "", `${location.pathname}#${link}`);
});

function listen() {
  const root = document.documentElement, clicks = {
    clear: pad.clear,
    undo: pad.undo,
    previous: () => goTo(shownExample() - 1),
    next: () => goTo(shownExample() + 1),
    random: () => goTo(Math.floor(Math.random() * network.examples)),
    wrong: goToWrong,
    large: () => {
      el("large").setAttribute("aria-pressed", root.classList.toggle("large"));
      paintAll();
    },
    theme: () => {
      const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
      root.style.colorScheme = (root.style.colorScheme || system) === "dark" ? "light" : "dark";
      paintAll();
    },
  };
  for (const [id, act] of Object.entries(clicks)) el(id).addEventListener("click", act);
  for (const each of MODES) el(`mode-${each}`).addEventListener("click", () => setMode(each));
  el("index").addEventListener("change", () => setMode("test"));
  el("file").addEventListener("change", () => { uploaded = el("file").files[0] || null; setMode("upload"); });
  worker.addEventListener("error", ({ message }) => complain(new Error(`The network stopped: ${message}`)));
  addEventListener("hashchange", followLink);
  addEventListener("resize", later(150, "last", paintAll)); // charts and arrows have their place's size
  listenForHows();
}

function build() {
  el("facts").textContent = `${network.network} after ${network.step.toLocaleString("en")} steps on ${network.data}`;
  el("mode-draw").hidden = network.preparation !== "digits";
  el("mode-upload").hidden = !network.preparation;
  el("index-name").textContent = network.targets === 2 ? "Pair" : "Number";
  el("index").max = network.examples - 1;
  el("routing").hidden = !network.routing;
  if (network.routing) el("sees").textContent = `${network.routing.sees}×${network.routing.sees}`;
  for (const each of document.querySelectorAll("[data-how]")) explain(each, each.dataset.how);
  buildAnswer(choose);
  buildVotes(paintAll, lookAgain);
  buildCapsule((index) => { if (state.slots[index]) { state.active = index; paintAll(); } });
  buildMoves(lookAgain);
  listen();
  const untouched = () => { setMoves(); Object.assign(state, { sharpness: network.sharpness, step: Infinity }); };
  for (const button of document.querySelectorAll(".undo")) button.addEventListener("click", () => {
    untouched();
    for (const slot of state.slots) slot.offsets.fill(0);
    lookAgain();
  });
  buildGuide({
    paint: paintAll,
    draw: (strokes) => { untouched(); pad.load(strokes); setMode("draw"); },
    show: (label) => { untouched(); goTo(network.first[label] ?? 0); },
  });
}

if (!globalThis.Float16Array || !Uint8Array.fromBase64)
  throw new Error(el("facts").textContent = el("prediction").textContent = "This page needs a browser of 2025 or later.");
build();
if (!followLink()) {
  goTo(network.first[network.classes[2]] ?? 0);
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) {
    el("hint").textContent = "It turns until you touch the page";
    el("hint").hidden = false;
    turnUntilTouched((turn) => { setMoves({ turn }); lookAgain(); }, () => {
      el("hint").hidden = mode === "test";
      setMoves();
      lookAgain();
    });
  }
}
