// The card that moves the input: its sliders, and how the length of a capsule follows.

import { ask, network } from "./answers.js";
import { lineChart } from "./charts.js";
import { paintPicture } from "./pictures.js";
import { complain, focus, name, state } from "./state.js";
import { el, makeSlider, newest, paced, setSlider } from "./tools.js";
import { makeMoves, warp } from "./warp.js";

const PLACES_OF_A_SWEEP = 11;
const MOVE_HOW = "How far the input is moved about its centre; pixels between four others are mixed from them. The " +
  "network sees the moved input. The pictures show the input at either end.";
const kinds = makeMoves(network.rows, network.columns), keys = Object.keys(kinds), moveSliders = {};
const none = Object.fromEntries(keys.map((key) => [key, kinds[key].none])), amounts = { ...none };
let kind = "turn", sweep = { points: [] }, pictured = null;

const moved = (base, change) => warp(base.image, network, { ...amounts, ...change });

// The moves that change something, by name; and setting some of them, and all others to none.
export const movesNow = () =>
  Object.fromEntries(Object.entries(amounts).filter(([key, amount]) => amount !== none[key]));
export function setMoves(given = {}) {
  for (const [key, { low, high }] of Object.entries(kinds)) {
    const value = Number(given[key] ?? none[key]);
    amounts[key] = Number.isFinite(value) ? Math.min(high, Math.max(low, value)) : none[key];
  }
}

// What the network makes of an input as the sliders move it, with the routing as sharp as it is set.
export async function seenAfterMoves(base) {
  if (!base || (!Object.keys(movesNow()).length && state.sharpness === network.sharpness)) return base;
  return { ...await ask("pixels", moved(base), state.sharpness), labels: base.labels, notes: base.notes };
}

export function buildMoves(change) {
  for (const [key, move] of Object.entries(kinds)) {
    moveSliders[key] = makeSlider(move.text, move.text, { ...move, wide: true }, MOVE_HOW, (value) => {
      amounts[key] = value;
      kind = key;
      paintMoves();
      change();
    });
    el("move-sliders").append(moveSliders[key].row);
  }
}

// What a sweep depends on, besides the input: all but the amount of the slider that was moved last.
const sweepOf = () => JSON.stringify([kind, { ...amounts, [kind]: null }, state.sharpness]);
const isSwept = () => sweep.base === state.base && sweep.of === sweepOf();

// The lengths over the whole range of that slider.
const takeSweep = paced(300, newest(complain, async () => {
  if (!state.base || isSwept()) return;
  const taken = { base: state.base, of: sweepOf(), points: [] }, { low, high } = kinds[kind];
  for (let index = 0; index < PLACES_OF_A_SWEEP; index++) {
    const amount = low + (high - low) * index / (PLACES_OF_A_SWEEP - 1);
    taken.points.push([amount, (await ask("pixels", moved(taken.base, { [kind]: amount }), state.sharpness)).scores]);
    if (state.base !== taken.base || sweepOf() !== taken.of) return;
  }
  sweep = taken;
  paintMoves();
}));

function paintEnds() { // the input at both ends of each slider
  const { input } = state.base;
  for (const key of keys) [kinds[key].low, kinds[key].high].forEach((end, side) => {
    const shown = warp(input.pixels, input, { ...none, [key]: end });
    paintPicture(moveSliders[key].ends[side], { ...input, pixels: [...shown] });
  });
  pictured = state.base;
}

export function paintMoves() {
  const { base } = state, label = focus();
  for (const [key, { digits, unit }] of Object.entries(kinds)) {
    moveSliders[key].input.disabled = !base;
    setSlider(moveSliders[key], amounts[key], none[key], `${amounts[key].toFixed(digits)}${unit}`);
  }
  el("sweep-figure").hidden = !base;
  if (!base) return;
  if (pictured !== base) paintEnds();
  takeSweep();
  const { low, high, noun, unit } = kinds[kind];
  const points = isSwept() ? sweep.points.map(([amount, scores]) => [amount, scores[label]]) : [];
  const spoken = points.map((point) => point.map((value) => value.toFixed(1)).join(": ")).join(", ");
  el("sweep-caption").textContent = `The length of ${name(label)} against ${noun}`;
  lineChart(el("sweep"), `${el("sweep-caption").textContent}. ${spoken}`,
    `The network is asked ${PLACES_OF_A_SWEEP} times, with the input moved by other amounts.`,
    [{ className: "ours", points }], [low, none[kind], high].map((value) => [value, value + unit]), amounts[kind]);
}
