// The page: it takes the input and updates the other cards.

import { buildAnswer, paintAnswer } from "./answer.js";
import { makeAnswers } from "./answers.js";
import { buildCapsule, paintCapsule, redraw } from "./capsule.js";
import { buildGuide, paintGuide, turnUntilTouched } from "./guide.js";
import { buildMoves, forgetSweep, movesNow, paintMoves, seenAfterMoves, setMoves, takeSweep } from "./moves.js";
import { makePad } from "./pad.js";
import { paintPicture } from "./pictures.js";
import { buildRouting, paintRouting } from "./routing.js";
import { complain, newSlot, state } from "./state.js";
import { announce, el, explain, listenForHows, newest, settled } from "./tools.js";
import { buildVotes, MOST_SHARP, paintVotes } from "./votes.js";

const MODES = ["draw", "test", "upload"];
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

// Shows the same input after a move, or with another sharpness: the capsules that are shown stay.
const lookAgain = newest(complain, async () => {
  const base = state.base, seen = await seenAfterMoves();
  if (state.base !== base || !seen) return;
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
  const what = state.network.targets === 2 ? "two overlapping digits" : "a digit";
  el("hint").textContent = mode === "draw" ? `Draw ${what} here` : "Choose an image file";
  el("hint").hidden = mode === "test" || (mode === "upload" && uploaded !== null);
  if (mode === "draw") lookAtDrawing();
  if (mode === "test") lookAtExample();
  if (mode === "upload") look(uploaded && (() => state.answers.file(uploaded)));
}

function lookAtDrawing() {
  el("hint").hidden = pad.strokes.length > 0;
  const strokes = pad.strokes.map((stroke) => [...stroke]);
  look(strokes.length ? () => state.answers.drawing(strokes) : null);
}

function lookAtExample() {
  const [index, second] = ["index", "second"].map((id) => Number(el(id).value));
  look(() => state.answers.example(index, state.network.targets === 2 ? second : null));
}

function goTo(index) { // a network for pairs gets both digits of the test set's own pair
  el("index").value = el("second").value = (index + state.network.examples) % state.network.examples;
  setMode("test");
}

const goToWrong = newest(complain, async () => {
  const { index } = await state.answers.wrong(Number(el("index").value));
  if (index === null) announce(el("truth").textContent = `The network gets all ${state.network.examples} examples right.`);
  else goTo(index);
});

// The state in the address, such as #test=191&turn=12: reading it, if it is one, and writing it once the page is quiet.
function followLink() {
  const link = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  if (!("test" in link)) return false;
  setMoves(link);
  const sharpness = Number(link.sharpness ?? state.network.sharpness);
  state.sharpness = sharpness >= 0 && sharpness <= MOST_SHARP && state.network.atoms ? sharpness : state.network.sharpness;
  state.step = link.iteration > 0 ? Math.floor(link.iteration) - 1 : Infinity;
  el("index").value = link.test;
  el("second").value = link.second ?? link.test;
  setMode("test");
  return true;
}

const writeLink = settled(300, () => {
  const { network, sharpness, step } = state, link = new URLSearchParams();
  if (state.turning) return;
  if (mode === "test" && state.seen) {
    link.set("test", el("index").value);
    if (network.targets === 2) link.set("second", el("second").value);
    for (const [key, amount] of Object.entries(movesNow())) link.set(key, amount);
    if (sharpness !== network.sharpness) link.set("sharpness", sharpness);
    if (Number.isFinite(step)) link.set("iteration", step + 1);
  }
  history.replaceState(null, "", `${location.pathname}#${link}`);
});

function listen() {
  for (const each of MODES) el(`mode-${each}`).addEventListener("click", () => setMode(each));
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
  addEventListener("hashchange", followLink);
  addEventListener("resize", settled(150, paintAll)); // charts and arrows have their place's size
  const root = document.documentElement;
  el("large").addEventListener("click", () => {
    el("large").setAttribute("aria-pressed", root.classList.toggle("large"));
    paintAll();
  });
  el("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    paintAll();
  });
  listenForHows();
}

function build() {
  const { network } = state;
  el("facts").textContent = `${network.network} after ${network.step.toLocaleString("en")} steps on ${network.data}`;
  explain(el("facts"), "The number of batches that the network was trained on, and its data set. It is in this file and runs in your browser.");
  el("mode-draw").hidden = !network.drawing;
  el("mode-upload").hidden = !network.preparation;
  el("second-label").hidden = network.targets !== 2;
  el("index-name").textContent = network.targets === 2 ? "Pair" : "Number";
  el("index").max = el("second").max = network.examples - 1;
  buildAnswer(choose);
  buildVotes(paintAll, () => { forgetSweep(); lookAgain(); });
  buildRouting();
  buildCapsule((index) => { if (state.slots[index]) { state.active = index; paintAll(); } });
  buildMoves(lookAgain);
  listen();
  const untouched = () => { setMoves(); state.sharpness = network.sharpness; };
  buildGuide({
    paint: paintAll,
    draw: (strokes) => { untouched(); pad.load(strokes); setMode("draw"); },
    show: (label) => { untouched(); goTo(network.first[label] ?? 0); },
  });
}

async function start() {
  try {
    state.answers = makeAnswers();
    state.network = state.answers.facts;
    state.sharpness = state.network.sharpness;
    build();
    if (followLink()) return;
    goTo(state.network.first[state.network.classes[2]] ?? 0);
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    el("hint").textContent = "It turns until you touch the page";
    el("hint").hidden = false;
    let swept = false;
    state.turning = true;
    turnUntilTouched((turn) => {
      if (!state.base) return;
      if (!swept) { swept = true; takeSweep(); }
      setMoves({ turn });
      lookAgain();
    }, () => {
      state.turning = false;
      el("hint").hidden = mode === "test";
      setMoves();
      lookAgain();
    });
  } catch (error) {
    complain(error);
  }
}

start();
