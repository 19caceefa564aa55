// What leads a visitor: the tour, three tasks, the small picture of the network, and the digit that turns at first.

import { movesNow } from "./moves.js";
import { paintPicture } from "./pictures.js";
import { network, state } from "./state.js";
import { announce, el, make } from "./tools.js";

// The tour: a card, a title, a text, and the iteration that is shown, if the step is about one.
const STEPS = [
  ["input", "The parts of a digit", "Convolutions look at the image through small windows and find its parts: " +
    "strokes, ends, corners. Primary capsules sum up what they find at each place."],
  ["capsule", "A capsule is a vector", "A capsule does not answer with one number but with several. Each stands for " +
    "something: how thick the digit is, how it leans, how wide its loop is. Move a slider to see."],
  ["votes", "A vote", "Each primary capsule votes for every class: “if this is a 2, its capsule should look like " +
    "this”. Here every vote is an arrow, and the capsule that they make together points to the right.", 0],
  ["votes", "Agreement", "Votes that point the same way as the capsule count more in the next iteration. Most votes " +
    "almost cancel one another, and a small surplus decides. Sharpness makes agreement count more.", Infinity],
  ["answer", "The length", "The longer a capsule, the surer the network is that its class is in the image. The " +
    "longest capsule is the answer; several may be long, if there are several digits."],
  ["capsule", "The drawing", "A decoder draws the image from one capsule alone. If the drawing looks like the " +
    "input, the capsule's numbers say all that matters about the digit. Now draw one yourself!"],
];
const OPEN_FOUR = [[[0.36, 0.2], [0.3, 0.52], [0.68, 0.52]], [[0.66, 0.24], [0.64, 0.82]]];

// The tasks, of networks for single digits: their words, what their button does, and whether they are done.
const isLabelled = (label) => state.seen.labels?.[0] === label;
const isReadAs = (label) => state.seen.chosen[0] === label;
const TASKS = network.targets === 1 && network.classes.join("") === "0123456789" ? [
  ["Close a 4 until it becomes a 9", (page) => page.draw(OPEN_FOUR), (mode) => mode === "draw" && isReadAs(9)],
  ["Turn a 6 until the network sees something else", (page) => { page.show("6"); lead("moves"); },
    () => isLabelled(6) && !isReadAs(6) && movesNow().turn],
  ["Sharpen the routing until a 2 is longer by 0.01", (page) => { page.show("2"); lead("votes"); },
    () => isLabelled(2) && state.sharpness > network.sharpness && state.seen.scores[2] > state.base.scores[2] + 0.01],
] : [];

function lead(id) { // to a card
  const card = el(id), still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  card.scrollIntoView({ behavior: still ? "auto" : "smooth", block: "nearest" });
  if (!card.matches(".toured")) card.animate({ outline: ["3px solid var(--accent)", "3px solid transparent"] }, 1400);
}

export function buildGuide(page) {
  for (const button of document.querySelectorAll("#diagram button")) {
    button.hidden = !el(button.dataset.card); // without a decoder there is no card of the drawing
    button.addEventListener("click", () => lead(button.dataset.card));
  }
  el("tasks").hidden = !TASKS.length;
  el("tasks").append(...TASKS.map(([words, begin]) => {
    const button = make("button", { type: "button", textContent: words });
    button.addEventListener("click", () => begin(page));
    return button;
  }));
  buildTour(page);
}

export function paintGuide(mode) {
  const { seen } = state;
  if (!seen) return;
  paintPicture(el("part-image"), seen.input);
  if (seen.drawn[0]) paintPicture(el("part-drawn"), seen.drawn[0]);
  [...el("tasks").querySelectorAll("button")].forEach((button, index) => {
    if (button.className === "done" || !TASKS[index][2](mode)) return;
    button.className = "done";
    setTimeout(announce, 1000, `Done: ${TASKS[index][0]}`); // after the answer, which may still change
  });
}

function buildTour(page) {
  const tour = el("tour"), steps = STEPS.filter(([card]) => el(card));
  let at = 0;
  const show = (step) => {
    at = Math.min(Math.max(step, 0), steps.length - 1);
    const [card, title, text, iteration] = steps[at];
    if (iteration !== undefined) { state.step = iteration; page.paint(); }
    document.querySelector(".toured")?.classList.remove("toured");
    el(card).classList.add("toured");
    lead(card);
    el("tour-title").textContent = `${at + 1} of ${steps.length}: ${title}`;
    el("tour-text").textContent = text;
    el("tour-back").disabled = at === 0;
    el("tour-next").textContent = at === steps.length - 1 ? "Done" : "Next";
    announce(`${title}. ${text}`);
  };
  const end = () => {
    tour.hidden = true;
    state.step = Infinity;
    document.querySelector(".toured")?.classList.remove("toured");
    page.paint();
    el("start-tour").focus();
  };
  const next = () => (at === steps.length - 1 ? end() : show(at + 1)), back = () => show(at - 1);
  el("start-tour").addEventListener("click", () => {
    if (!state.seen) page.show("2");
    tour.hidden = false;
    show(0);
    el("tour-next").focus();
  });
  el("tour-next").addEventListener("click", next);
  el("tour-back").addEventListener("click", back);
  el("tour-skip").addEventListener("click", end);
  const keys = { Escape: end, ArrowRight: next, ArrowLeft: back };
  tour.addEventListener("keydown", ({ key }) => keys[key]?.());
}

// Turns the input to and fro until the first touch.
export function turnUntilTouched(turn, stop) {
  const touch = () => { if (state.turning) { state.turning = false; stop(); } };
  for (const event of ["pointerdown", "keydown", "hashchange"])
    addEventListener(event, touch, { once: true, capture: true });
  const frame = (time) => {
    if (!state.turning) return;
    turn(Math.round(280 * Math.sin(time / 2200)) / 10);
    requestAnimationFrame(frame);
  };
  state.turning = true;
  requestAnimationFrame(frame);
}
