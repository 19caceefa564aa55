// The card that moves the input: its sliders, and how the length of a capsule follows.

import { lineChart, paintPicture } from "./pictures.js";
import { ask, complain, focus, name, network, state } from "./state.js";
import { el, later, makeSlider, newest, setSlider } from "./tools.js";

const PLACES_OF_A_SWEEP = 11;
const MOVE_HOW = "How far the input is moved about its centre; pixels between four others are mixed from them. The " +
  "network sees the moved input. The pictures show the input at either end.";

// The sliders by name: label, what a chart calls the amount, unit, digits after the point, range, step, and the amount
// that changes nothing.
const reach = Math.round(Math.max(network.rows, network.columns) / 4);
const shift = { unit: " px", digits: 1, low: -reach, high: reach };
const kinds = {
  turn: { text: "Turn", noun: "rotation", unit: "°", digits: 0, low: -60, high: 60, step: 1, none: 0 },
  right: { text: "Shift right", noun: "shift to the right", ...shift, step: 0.5, none: 0 },
  down: { text: "Shift down", noun: "shift down", ...shift, step: 0.5, none: 0 },
  scale: { text: "Scale", noun: "scale", unit: "×", digits: 2, low: 0.5, high: 1.5, step: 0.02, none: 1 },
  shear: { text: "Shear", noun: "shear", unit: "", digits: 2, low: -0.6, high: 0.6, step: 0.02, none: 0 },
};
const keys = Object.keys(kinds), moveSliders = {};
const none = Object.fromEntries(keys.map((key) => [key, kinds[key].none])), amounts = { ...none };
let kind = "turn", sweep = { points: [] }, pictured = null;

function borderOf(data, { rows, columns, depth }) { // the border's median, which fills what moves in from outside
  const colours = Array.from({ length: depth }, () => []);
  for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++)
    if (row === 0 || column === 0 || row === rows - 1 || column === columns - 1)
      colours.forEach((values, part) => values.push(data[(row * columns + column) * depth + part]));
  return colours.map((values) => values.sort((a, b) => a - b)[values.length >> 1]);
}

// data [rows, columns, depth] after { turn (degrees counter-clockwise), right, down (pixels), scale, shear }:
// bilinear, about the centre, as `explorer/robustness.py` does it.
function warp(data, shape, { turn, right, down, scale, shear }) {
  const { rows, columns, depth } = shape, fill = borderOf(data, shape), result = new Float32Array(data.length);
  const angle = turn * Math.PI / 180, cos = Math.cos(angle), sin = Math.sin(angle);
  // Over (down, right): a point goes to scale · [[cos, −sin], [sin, cos]] · [[1, 0], [−shear, 1]]; inverted here.
  const [a, b, c, d] = [cos, sin, shear * cos - sin, shear * sin + cos].map((value) => value / scale);
  const middle = [(rows - 1) / 2, (columns - 1) / 2];
  const at = (row, column, part) => (row < 0 || column < 0 || row >= rows || column >= columns
    ? fill[part] : data[(row * columns + column) * depth + part]);
  for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++) {
    const y = row - middle[0] - down, x = column - middle[1] - right;
    const fromY = a * y + b * x + middle[0], fromX = c * y + d * x + middle[1];
    const top = Math.floor(fromY), left = Math.floor(fromX), low = fromY - top, far = fromX - left;
    for (let part = 0; part < depth; part++)
      result[(row * columns + column) * depth + part] =
        (1 - low) * ((1 - far) * at(top, left, part) + far * at(top, left + 1, part)) +
        low * ((1 - far) * at(top + 1, left, part) + far * at(top + 1, left + 1, part));
  }
  return result;
}

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
const takeSweep = later(300, "first", newest(complain, async () => {
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
