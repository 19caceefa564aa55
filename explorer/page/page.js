// The page: it takes the input and updates the other cards. The caller of `start` decides where the answers come from,
// a server or the file itself.

import { buildAnswer, paintAnswer } from "./answer.js";
import { buildCapsule, paintCapsule, redraw } from "./capsule.js";
import { buildMoves, forgetSweep, paintMoves, seenAfterMoves } from "./moves.js";
import { makePad } from "./pad.js";
import { paintPicture } from "./pictures.js";
import { buildRouting, paintRouting } from "./routing.js";
import { complain, newSlot, state } from "./state.js";
import { announce, el, newest } from "./tools.js";

let mode = "", pad = null, uploaded = null;

function fail(error) { // removes the answer to an earlier input
  Object.assign(state, { base: null, seen: null, slots: [], active: 0 });
  paintAll();
  complain(error);
}

// Shows a new input: `ask` gives what the network makes of it; null if there is no input.
const look = newest(fail, async (ask) => {
  state.base = ask ? await ask() : null;
  state.seen = await seenAfterMoves();
  complain(null);
  forgetSweep();
  state.slots = state.seen ? state.seen.chosen.map((label, index) => newSlot(label, state.seen.drawn[index])) : [];
  state.active = 0;
  paintAll();
});

// Shows the same input after a move: the capsules that are shown stay.
const lookAgain = newest(complain, async () => {
  const base = state.base, seen = await seenAfterMoves();
  if (state.base !== base) return;
  state.seen = seen;
  for (const slot of state.slots) {
    const place = seen.chosen.indexOf(slot.label);
    if (place >= 0 && seen.drawn[place] && slot.offsets.every((offset) => offset === 0)) slot.picture = seen.drawn[place];
    else if (state.network.decoder) redraw(slot);
  }
  paintAll();
});

function choose(label) {
  const index = state.slots.findIndex((slot) => slot.label === label);
  if (index >= 0) state.active = index;
  else state.slots[state.active] = newSlot(label, state.slots[state.active].picture);
  paintAll();
  if (index < 0 && state.network.decoder) redraw(state.slots[state.active]);
}

function paintAll() {
  paintAnswer();
  if (mode !== "draw" || !state.seen) el("shown").hidden = !state.seen;
  if (state.seen) paintPicture(el("shown"), state.seen.input);
  paintRouting();
  paintCapsule();
  paintMoves();
}

function setMode(chosen) {
  mode = chosen;
  for (const each of ["draw", "test", "upload"]) {
    el(`mode-${each}`).setAttribute("aria-pressed", each === mode);
    el(`controls-${each}`).hidden = each !== mode;
  }
  el("pad").hidden = mode !== "draw";
  el("shown").hidden = mode === "draw";
  const what = state.network.targets === 2 ? "two overlapping digits" : "a digit";
  el("hint").textContent = mode === "draw" ? `Draw ${what} here` : "Choose an image file";
  el("hint").hidden = mode === "test" || (mode === "upload" && uploaded !== null);
  if (mode === "draw") lookAtDrawing();
  if (mode === "test") lookAtExample();
  if (mode === "upload") look(uploaded && (() => lookAtFile(uploaded)));
}

function lookAtDrawing() {
  el("hint").hidden = pad.strokes.length > 0;
  const strokes = pad.strokes.map((stroke) => [...stroke]);
  look(strokes.length ? () => state.answers.drawing(strokes) : null);
}

function lookAtFile(file) {
  const megabytes = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MB`, { largest } = state.network;
  if (file.size > largest) // the server would close the connection before it has read so much
    throw new Error(`An image may have up to ${megabytes(largest)}. This one has ${megabytes(file.size)}.`);
  return state.answers.image(file);
}

function lookAtExample() {
  const [index, second] = ["index", "second"].map((id) => Number(el(id).value));
  look(() => state.answers.example(index, state.network.targets === 2 ? second : null));
}

function goTo(index) { // a network for pairs gets both digits of the test set's own pair
  el("index").value = el("second").value = (index + state.network.examples) % state.network.examples;
  lookAtExample();
}

const goToWrong = newest(complain, async () => {
  el("wrong").disabled = true;
  const { index } = await state.answers.wrong(Number(el("index").value)).finally(() => { el("wrong").disabled = false; });
  if (index === null) announce(el("truth").textContent = `The network gets all ${state.network.examples} examples right.`);
  else goTo(index);
});

function listen() {
  for (const each of ["draw", "test", "upload"]) el(`mode-${each}`).addEventListener("click", () => setMode(each));
  pad = makePad(el("pad"), lookAtDrawing);
  el("clear").addEventListener("click", pad.clear);
  el("undo").addEventListener("click", pad.undo);
  el("previous").addEventListener("click", () => goTo(Number(el("index").value) - 1));
  el("next").addEventListener("click", () => goTo(Number(el("index").value) + 1));
  el("random").addEventListener("click", () => goTo(Math.floor(Math.random() * state.network.examples)));
  el("wrong").addEventListener("click", goToWrong);
  for (const id of ["index", "second"]) el(id).addEventListener("change", lookAtExample);
  el("file").addEventListener("change", () => {
    uploaded = el("file").files[0] || null;
    setMode("upload");
  });
}

function listenToLooks() {
  const root = document.documentElement;
  el("large").addEventListener("click", () => {
    el("large").setAttribute("aria-pressed", root.classList.toggle("large"));
  });
  el("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
}

function build() {
  const { network } = state;
  el("facts").textContent = `${network.network} after ${network.step.toLocaleString("en")} steps on ${network.data}`;
  el("mode-draw").hidden = !network.drawing;
  el("mode-upload").hidden = !network.uploads;
  el("second-label").hidden = network.targets !== 2;
  el("index-name").textContent = network.targets === 2 ? "Pair" : "Number";
  el("index").max = el("second").max = network.examples - 1;
  buildAnswer(choose);
  buildRouting();
  buildCapsule((index) => { if (state.slots[index]) { state.active = index; paintAll(); } });
  buildMoves(lookAgain);
}

// Answers: { network, example, wrong, drawing, image, pixels, capsule }, each a function that returns a promise; see
// `server.js` for their arguments and `answers.py` for their results.
export async function start(answers) {
  try {
    state.answers = answers;
    state.network = await answers.network();
    listenToLooks();
    build();
    listen();
    setMode(state.network.drawing ? "draw" : "test");
  } catch (error) {
    complain(error);
  }
}
