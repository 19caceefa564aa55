// The card that moves the input: its sliders, and how the lengths and the numbers of a capsule follow.

import { barChart, lineChart } from "./charts.js";
import { complain, focus, name, state } from "./state.js";
import { el, make, newest, settled } from "./tools.js";
import { makeMoves, warp } from "./warp.js";

const PLACES_OF_A_SWEEP = 11;
let kinds, amounts, kind = "turn", sweep = null;

const still = () => Object.entries(kinds).every(([key, { none }]) => amounts[key] === none);
const moved = (change) => warp(Float32Array.from(state.base.image), state.network, { ...amounts, ...change });

// What the network makes of the input as the sliders move it.
export async function seenAfterMoves() {
  if (!state.base || still()) return state.base;
  const { labels, notes } = state.base;
  return { ...await state.answers.pixels(moved()), labels, notes };
}

export function buildMoves(change) {
  const { rows, columns } = state.network;
  kinds = makeMoves(rows, columns);
  const reset = () => { amounts = Object.fromEntries(Object.entries(kinds).map(([key, { none }]) => [key, none])); };
  reset();
  for (const [key, { text, low, high, step }] of Object.entries(kinds)) {
    const input = make("input", { type: "range", min: low, max: high, step, ariaLabel: text });
    input.dataset.move = key;
    input.addEventListener("input", () => {
      amounts[key] = Number(input.value);
      if (kind !== key) { kind = key; sweep = null; }
      paintMoves();
      change();
    });
    el("move-sliders").append(make("label", { className: "slider move" }, make("span", { textContent: text }), input, make("output")));
  }
  el("unmove").addEventListener("click", () => { reset(); sweep = null; paintMoves(); change(); });
  el("poses-figure").hidden = !state.network.atoms;
  el("moves-about").textContent = state.network.atoms
    ? "When the pose of the input changes, a capsule should keep its length, and its numbers should follow the pose. This is equivariance."
    : "A network that recognises a digit in any pose should stay sure of it.";
}

export function forgetSweep() {
  sweep = null;
}

// The lengths over the whole range of the slider that was moved last; measured when the page is idle.
const takeSweep = newest(complain, async (base, key) => {
  const { low, high } = kinds[key], points = [];
  for (let index = 0; index < PLACES_OF_A_SWEEP; index++) {
    const amount = low + (high - low) * index / (PLACES_OF_A_SWEEP - 1);
    const { scores, compared } = await state.answers.pixels(moved({ [key]: amount }));
    if (state.base !== base || kind !== key) return;
    points.push({ amount, scores, compared });
  }
  sweep = { base, key, points };
  paintMoves();
});
const sweepAtRest = settled(300, () => {
  if (state.base && !(sweep && sweep.base === state.base && sweep.key === kind)) takeSweep(state.base, kind);
});

export function paintMoves() {
  const { base, seen, network } = state, label = focus() ?? seen?.chosen[0];
  for (const input of el("move-sliders").querySelectorAll("input")) {
    const { move } = input.dataset;
    input.value = amounts[move];
    input.disabled = !base;
    const digits = kinds[move].step < 0.1 ? 2 : kinds[move].step < 1 ? 1 : 0;
    input.parentElement.querySelector("output").textContent = `${amounts[move].toFixed(digits)}${kinds[move].unit}`;
  }
  el("unmove").disabled = !base || still();
  if (!base) {
    for (const id of ["sweep", "poses", "sweep-caption", "poses-caption"]) el(id).replaceChildren();
    return;
  }
  sweepAtRest();
  const { low, high, none, noun, unit } = kinds[kind];
  const points = sweep ? sweep.points : [], of = (key) => points.map((point) => [point.amount, point[key][label]]);
  const lines = [...(network.compared ? [{ className: "rival", points: points.length ? of("compared") : [] }] : []),
    { className: "ours", points: of("scores") }];
  const what = `${network.score} of ${name(label)} against ${noun}`;
  const spoken = points.map(({ amount, scores }) => `${amount.toFixed(1)}: ${scores[label].toFixed(2)}`).join(", ");
  el("sweep").replaceChildren(lineChart(`The ${what}. ${spoken}`, lines,
    [low, none, high].map((value) => [value, `${value}${unit}`]), amounts[kind]));
  el("sweep-caption").textContent = `The ${what}` + (network.compared ? ` (orange), and the score of ${network.compared} (blue)` : "");
  if (!network.atoms) return;
  const [now, before] = [seen, base].map((each) => each.capsules[label]);
  el("poses").replaceChildren(barChart(`The numbers of the capsule of ${name(label)}: ${now.map((x) => x.toFixed(2)).join(", ")}`, now, before));
  el("poses-caption").textContent = `The numbers of the capsule of ${name(label)}; a line marks each value before the move`;
}
