// The card that moves the input: its sliders, and how the lengths and the numbers of a capsule follow.

import { barChart, lineChart } from "./charts.js";
import { paintPicture } from "./pictures.js";
import { complain, focus, name, state } from "./state.js";
import { el, makeSlider, newest, setSlider, settled } from "./tools.js";
import { makeMoves, warp } from "./warp.js";

const PLACES_OF_A_SWEEP = 11, moveSliders = {};
const HOW = "How far the input is moved about its centre; pixels between four others are mixed from them. The network sees " +
  "the moved input. The pictures show the input at either end.";
let kinds, amounts, kind = "turn", sweep = null, pictured = null;

const still = () => Object.entries(kinds).every(([key, { none }]) => amounts[key] === none);
const moved = (change) => warp(Float32Array.from(state.base.image), state.network, { ...amounts, ...change });

// What the network makes of the input as the sliders move it, with the routing as sharp as it is set.
export async function seenAfterMoves() {
  const { base, sharpness, network } = state;
  if (!base || (still() && sharpness === network.sharpness)) return base;
  return { ...await state.answers.pixels(moved(), sharpness), labels: base.labels, notes: base.notes };
}

// The moves that change something, by name; and setting some of them, and all others to none.
export const movesNow = () => Object.fromEntries(Object.keys(kinds).filter((key) => amounts[key] !== kinds[key].none).map((key) => [key, amounts[key]]));
export function setMoves(given = {}) {
  for (const [key, { none, low, high }] of Object.entries(kinds)) {
    const value = Number(given[key] ?? none);
    amounts[key] = Number.isFinite(value) ? Math.min(high, Math.max(low, value)) : none;
  }
}

export function buildMoves(change) {
  const { rows, columns } = state.network;
  kinds = makeMoves(rows, columns);
  amounts = {};
  setMoves();
  for (const [key, move] of Object.entries(kinds)) {
    moveSliders[key] = makeSlider(move.text, move.text, { ...move, wide: true }, HOW, (value) => {
      amounts[key] = value;
      if (kind !== key) { kind = key; sweep = null; }
      paintMoves();
      change();
    });
    el("move-sliders").append(moveSliders[key].row);
  }
  el("unmove").addEventListener("click", () => { setMoves(); sweep = null; paintMoves(); change(); });
  el("poses-figure").hidden = !state.network.atoms;
  el("moves-about").textContent = state.network.atoms
    ? "When the pose of the input changes, a capsule should keep its length, and its numbers should follow the pose. This is equivariance."
    : "A network that recognises a digit in any pose should stay sure of it.";
}

export const forgetSweep = () => { sweep = null; };

// The lengths over the whole range of the slider that was moved last; measured when the page is idle.
export const takeSweep = newest(complain, async (base = state.base, key = kind) => {
  const { low, high } = kinds[key], points = [], { sharpness } = state;
  for (let index = 0; index < PLACES_OF_A_SWEEP; index++) {
    const amount = low + (high - low) * index / (PLACES_OF_A_SWEEP - 1);
    const { scores, compared } = await state.answers.pixels(moved({ [key]: amount }), sharpness);
    if (state.base !== base || kind !== key || state.sharpness !== sharpness) return;
    points.push({ amount, scores, compared });
  }
  sweep = { base, key, points };
  paintMoves();
});
const sweepAtRest = settled(300, () => {
  if (state.base && !(sweep && sweep.base === state.base && sweep.key === kind)) takeSweep();
});

function paintEnds() { // the input at both ends of each slider
  const { rows, columns, depth, pixels } = state.base.input;
  for (const [key, { low, high }] of Object.entries(kinds)) [low, high].forEach((end, side) => {
    const none = Object.fromEntries(Object.entries(kinds).map(([each, move]) => [each, move.none]));
    const shown = warp(pixels, { rows, columns, depth }, { ...none, [key]: end });
    paintPicture(moveSliders[key].ends[side], { rows, columns, depth, pixels: [...shown] });
  });
  pictured = state.base;
}

export function paintMoves() {
  const { base, seen, network } = state, label = focus() ?? seen?.chosen[0];
  for (const [key, { step, unit, none }] of Object.entries(kinds)) {
    moveSliders[key].input.disabled = !base;
    setSlider(moveSliders[key], amounts[key], none, `${amounts[key].toFixed(step < 0.1 ? 2 : step < 1 ? 1 : 0)}${unit}`);
  }
  el("unmove").disabled = !base || still();
  if (!base) {
    for (const id of ["sweep", "poses", "sweep-caption", "poses-caption"]) el(id).replaceChildren();
    return;
  }
  if (pictured !== base) paintEnds();
  sweepAtRest();
  const { low, high, none, noun, unit } = kinds[kind];
  const points = sweep ? sweep.points : [], of = (key) => points.map((point) => [point.amount, point[key][label]]);
  const lines = [...(network.compared ? [{ className: "rival", points: points.length ? of("compared") : [] }] : []),
    { className: "ours", points: of("scores") }];
  const what = `${network.score} of ${name(label)} against ${noun}`;
  const spoken = points.map(({ amount, scores }) => `${amount.toFixed(1)}: ${scores[label].toFixed(2)}`).join(", ");
  lineChart(el("sweep"), `The ${what}. ${spoken}`, `The network is asked ${PLACES_OF_A_SWEEP} times, with the input moved by other amounts.`,
    lines, [low, none, high].map((value) => [value, `${value}${unit}`]), amounts[kind]);
  el("sweep-caption").textContent = `The ${what}` + (network.compared ? ` (orange), and the score of ${network.compared} (blue)` : "");
  if (!network.atoms) return;
  const [now, before] = [seen, base].map((each) => each.capsules[label]);
  barChart(el("poses"), `The numbers of the capsule of ${name(label)}: ${now.map((x) => x.toFixed(2)).join(", ")}`,
    `The ${network.atoms} numbers of the capsule, as the routing computes them for the moved input.`, now, before);
  el("poses-caption").textContent = `The numbers of the capsule of ${name(label)}; a line marks each value before the move`;
}
