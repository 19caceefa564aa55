// Prepares drawings and pictures for the network, like `input_data.prepare`.

import { median, separate } from "./paper.js";
import { paintStrokes } from "./strokes.js";

const SIDE = 512, FAINT = 12, BOXES = [0, 20, 24]; // sides of the box for the ink: two overlapping digits need more
const PEN = 3.2, SMALLEST = 0.15; // the width of a drawing's pen in MNIST's pixels, and the least side of a drawing
const NOTHING = "Nothing readable: no ink stands out from the paper.";

// Rounds to the nearest whole number, and halves to the even one, as Python does.
const rounded = (value) => (Math.abs(value % 1) === 0.5 ? 2 * Math.round(value / 2) : Math.round(value));

const scaled = (side, scale) => Math.max(1, rounded(side * scale));

// The weights of the inputs for each output when a side is resized: a triangle, which is wider if the side shrinks.
function triangle(from, to) {
  const scale = from / to, reach = Math.max(1, scale);
  return Array.from({ length: to }, (_, place) => {
    const centre = (place + 0.5) * scale, first = Math.max(0, Math.floor(centre - reach - 0.5));
    const weights = [];
    for (let i = first; i < Math.min(from, Math.ceil(centre + reach + 0.5)); i++)
      weights.push(Math.max(0, 1 - Math.abs(i + 0.5 - centre) / reach));
    const total = weights.reduce((a, b) => a + b);
    return { first, weights: weights.map((weight) => weight / total) };
  });
}

function resized({ rows, columns, data }, toRows, toColumns) {
  if (rows === toRows && columns === toColumns) return { rows, columns, data };
  const across = triangle(columns, toColumns), down = triangle(rows, toRows);
  const wide = new Float64Array(rows * toColumns), result = new Float32Array(toRows * toColumns);
  for (let row = 0; row < rows; row++) across.forEach(({ first, weights }, column) => weights.forEach((weight, i) => {
    wide[row * toColumns + column] += weight * data[row * columns + first + i];
  }));
  down.forEach(({ first, weights }, row) => weights.forEach((weight, i) => {
    for (let column = 0; column < toColumns; column++)
      result[row * toColumns + column] += weight * wide[(first + i) * toColumns + column];
  }));
  return { rows: toRows, columns: toColumns, data: result };
}

// The planes of a picture { rows, columns, data: RGBA }, 0 to 255: one of grey, or three of colours.
function planesOf({ rows, columns, data }, depth, notes) {
  let light = 0, cover = 0, clear = false, coloured = false;
  for (let at = 0; at < data.length; at += 4) {
    light += (data[at] + data[at + 1] + data[at + 2]) * data[at + 3];
    cover += data[at + 3];
    clear ||= data[at + 3] < 255;
    coloured ||= data[at] !== data[at + 1] || data[at] !== data[at + 2];
  }
  const paper = light > 3 * 127 * cover ? 0 : 255; // behind bright ink there is black
  if (clear) notes.push(`transparent on ${paper ? "white" : "black"}`);
  if (coloured && depth === 1) notes.push("colour to grey");
  const planes = [0, 1, 2].map((part) => {
    const values = Float32Array.from({ length: rows * columns }, (_, cell) => {
      const value = data[4 * cell + part], alpha = data[4 * cell + 3];
      return alpha === 255 ? value : rounded((value * alpha + paper * (255 - alpha)) / 255);
    });
    return { rows, columns, data: values };
  });
  if (depth !== 1) return planes;
  const [red, green, blue] = planes.map((plane) => plane.data);
  const grey = red.map((value, cell) => rounded(0.299 * value + 0.587 * green[cell] + 0.114 * blue[cell]));
  return [{ rows, columns, data: grey }];
}

function border({ rows, columns, data }) {
  const width = Math.max(1, Math.floor(Math.min(rows, columns) / 20));
  return data.filter((_, cell) => {
    const row = Math.floor(cell / columns), column = cell % columns;
    return row < width || row >= rows - width || column < width || column >= columns - width;
  });
}

function darkOnLight(grey) { // whether ink is darker than the border's median, or lighter
  const background = median(border(grey));
  const [low, high] = [Math.min, Math.max].map((pick) => grey.data.reduce((a, b) => pick(a, b)));
  if (high - low < FAINT) throw new Error(NOTHING);
  return { background, dark: background - low > high - background };
}

// Ink fitted into a box, with its centre of mass in the middle of a frame; 0 to 1.
function laidOut({ rows, columns, data }, box, toRows, toColumns) {
  let top = Infinity, bottom = -1, left = Infinity, right = -1;
  data.forEach((value, cell) => {
    if (!value) return;
    const row = Math.floor(cell / columns), column = cell % columns;
    [top, left] = [Math.min(top, row), Math.min(left, column)];
    [bottom, right] = [Math.max(bottom, row), Math.max(right, column)];
  });
  const tall = bottom - top + 1, wide = right - left + 1, scale = box / Math.max(tall, wide);
  const cut = Float32Array.from({ length: tall * wide }, (_, cell) =>
    data[(top + Math.floor(cell / wide)) * columns + left + cell % wide]);
  const digit = resized({ rows: tall, columns: wide, data: cut }, scaled(tall, scale), scaled(wide, scale));
  const mass = [0, 0];
  let total = 0, strongest = 0;
  digit.data.forEach((value, cell) => {
    mass[0] += value * Math.floor(cell / digit.columns);
    mass[1] += value * (cell % digit.columns);
    total += value;
    strongest = Math.max(strongest, value);
  });
  const [down, across] = [[toRows, digit.rows], [toColumns, digit.columns]].map(([size, side], axis) =>
    Math.min(Math.max(rounded(Math.floor(size / 2) - mass[axis] / total), 0), size - side));
  const frame = new Float32Array(toRows * toColumns);
  digit.data.forEach((value, cell) => {
    frame[(down + Math.floor(cell / digit.columns)) * toColumns + across + cell % digit.columns] = value / strongest;
  });
  return frame;
}

function digitOn(grey, toRows, toColumns, digits, notes) {
  const scale = Math.min(1, SIDE / Math.max(grey.rows, grey.columns));
  const small = resized(grey, scaled(grey.rows, scale), scaled(grey.columns, scale));
  const first = darkOnLight(small).dark;
  for (const dark of [first, !first]) {
    const written = separate(small, dark, digits);
    if (!written) continue;
    if (dark) notes.push("inverted: dark on light");
    if (written.shadow) notes.push("a shadow or an edge removed");
    const largest = digits === 2 ? "two largest are" : "largest is";
    if (written.count > digits) notes.push(`${written.count} characters: only the ${largest} read`);
    notes.push(`cut from ${grey.rows}x${grey.columns} to its ink and centred`);
    const box = Math.min(BOXES[digits], rounded(20 / 28 * Math.min(toRows, toColumns)));
    return laidOut(written.ink, box, toRows, toColumns);
  }
  throw new Error(NOTHING);
}

// Turns a picture { rows, columns, data: RGBA } of ink into { image, notes } for a network for images of
// toRows × toColumns, whose pixels, 0 to 255, are divided by unit, and which reads one digit or two.
export function prepareDigit(picture, toRows, toColumns, unit, digits = 1) {
  const notes = [], [grey] = planesOf(picture, 1, notes);
  if (grey.rows !== toRows || grey.columns !== toColumns)
    return { image: digitOn(grey, toRows, toColumns, digits, notes).map((value) => value * 255 / unit), notes };
  const { background, dark } = darkOnLight(grey);
  if (dark) notes.push("inverted: dark on light");
  const image = grey.data.map((value) => Math.max(0, dark ? background - value : value - background) / unit);
  return { image, notes };
}

// The same for pictures that fill the frame: resized; `upright`: as they are, or else light on black.
export function prepareFramed(picture, toRows, toColumns, depth, unit, upright) {
  const notes = [];
  let planes = planesOf(picture, depth, notes);
  if (!upright && median(border(planes[0])) > 127) {
    planes = planes.map((plane) => ({ ...plane, data: plane.data.map((value) => 255 - value) }));
    notes.push("inverted: dark on light");
  }
  if (picture.rows !== toRows || picture.columns !== toColumns)
    notes.push(`resized ${picture.rows}x${picture.columns} to ${toRows}x${toColumns}`);
  planes = planes.map((plane) => resized(plane, toRows, toColumns).data);
  const image = Float32Array.from({ length: toRows * toColumns * depth }, (_, place) => {
    const value = planes[place % depth][Math.floor(place / depth)];
    return (upright ? rounded(value) : value) / unit;
  });
  return { image, notes };
}

// Strokes of points [x, y] from 0 to 1 as a picture: light on black, with MNIST's width of pen however large they are.
export function pictureOf(strokes, digits = 1) {
  const fine = 3, box = BOXES[digits] * fine, side = box + 8 * fine, points = strokes.flat();
  const extremes = (pick) => [0, 1].map((axis) => pick(...points.map((point) => point[axis])));
  const low = extremes(Math.min), high = extremes(Math.max);
  const scale = (box - PEN * fine) / Math.max(high[0] - low[0], high[1] - low[1], SMALLEST);
  const placed = (point) => point.map((part, axis) => (part - (low[axis] + high[axis]) / 2) * scale + side / 2);
  const context = new OffscreenCanvas(side, side).getContext("2d", { willReadFrequently: true });
  context.fillRect(0, 0, side, side);
  paintStrokes(context, strokes.map((stroke) => stroke.map(placed)), PEN * fine);
  return { rows: side, columns: side, data: context.getImageData(0, 0, side, side).data };
}
