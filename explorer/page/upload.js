// Prepares drawings and pictures for the network, like `input_data.prepare`.

import { median, separate } from "./paper.js";

const SIDE = 512, FAINT = 12, BOXES = [0, 20, 24]; // sides of the box for the ink: two overlapping digits need more
const PEN = 1.6, SOFT = 0.5, SMALLEST = 0.15; // a drawing's pen, in MNIST's pixels
const NOTHING = "Nothing readable: no ink stands out from the paper.";

// Rounds to the nearest whole number, and halves to the even one, as Python does.
const rounded = (value) => (Math.abs(value % 1) === 0.5 ? 2 * Math.round(value / 2) : Math.round(value));

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
    const values = new Float32Array(rows * columns);
    for (let cell = 0; cell < values.length; cell++) {
      const alpha = data[4 * cell + 3];
      values[cell] = alpha === 255 ? data[4 * cell + part] : rounded((data[4 * cell + part] * alpha + paper * (255 - alpha)) / 255);
    }
    return { rows, columns, data: values };
  });
  if (depth !== 1) return planes;
  const [red, green, blue] = planes.map((plane) => plane.data);
  return [{ rows, columns, data: red.map((value, cell) => rounded(0.299 * value + 0.587 * green[cell] + 0.114 * blue[cell])) }];
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
  let low = Infinity, high = -Infinity;
  for (const value of grey.data) { low = Math.min(low, value); high = Math.max(high, value); }
  if (grey.rows * grey.columns && high - low < FAINT) throw new Error(NOTHING);
  return { background, dark: background - low > high - background };
}

// Ink fitted into a box, with its centre of mass in the middle of a frame; 0 to 1.
function laidOut({ rows, columns, data }, box, toRows, toColumns) {
  let top = Infinity, bottom = -1, left = Infinity, right = -1;
  data.forEach((value, cell) => {
    if (!value) return;
    const row = Math.floor(cell / columns), column = cell % columns;
    [top, bottom, left, right] = [Math.min(top, row), Math.max(bottom, row), Math.min(left, column), Math.max(right, column)];
  });
  const tall = bottom - top + 1, wide = right - left + 1, scale = box / Math.max(tall, wide);
  const cut = Float32Array.from({ length: tall * wide }, (_, cell) => data[(top + Math.floor(cell / wide)) * columns + left + cell % wide]);
  const digit = resized({ rows: tall, columns: wide, data: cut }, ...[tall, wide].map((side) => Math.max(1, rounded(side * scale))));
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
  const small = resized(grey, ...[grey.rows, grey.columns].map((side) => Math.max(1, rounded(side * scale))));
  const first = darkOnLight(small).dark;
  for (const dark of [first, !first]) {
    const written = separate(small, dark, digits);
    if (!written) continue;
    if (dark) notes.push("inverted: dark on light");
    if (written.shadow) notes.push("a shadow or an edge removed");
    if (written.count > digits) notes.push(`${written.count} characters: only the ${digits === 2 ? "two largest are" : "largest is"} read`);
    notes.push(`cut from ${grey.rows}x${grey.columns} to its ink and centred`);
    return laidOut(written.ink, Math.min(BOXES[digits], rounded(20 / 28 * Math.min(toRows, toColumns))), toRows, toColumns);
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
  return { image: grey.data.map((value) => Math.max(0, dark ? background - value : value - background) / unit), notes };
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
  const [low, high] = [Math.min, Math.max].map((pick) => [0, 1].map((axis) => pick(...points.map((point) => point[axis]))));
  const scale = (box - 2 * fine * (PEN + SOFT)) / Math.max(high[0] - low[0], high[1] - low[1], SMALLEST);
  const nearest = new Float64Array(side * side).fill(Infinity);
  for (const stroke of strokes.map((each) => each.map((point) => point.map((part, axis) => (part - (low[axis] + high[axis]) / 2) * scale + side / 2))))
    [stroke[0], ...stroke].slice(0, -1).forEach(([x, y], index) => {
      const [dx, dy] = [stroke[index][0] - x, stroke[index][1] - y], squared = Math.max(dx * dx + dy * dy, 1e-12);
      for (let row = 0; row < side; row++) for (let column = 0; column < side; column++) {
        const along = Math.min(1, Math.max(0, ((column - x) * dx + (row - y) * dy) / squared));
        const distance = (column - x - along * dx) ** 2 + (row - y - along * dy) ** 2;
        if (distance < nearest[row * side + column]) nearest[row * side + column] = distance;
      }
    });
  const data = new Uint8ClampedArray(4 * side * side).fill(255);
  nearest.forEach((squared, cell) => {
    data.fill(255 * Math.min(1, Math.max(0, (PEN + SOFT - Math.sqrt(squared) / fine) / (2 * SOFT))), 4 * cell, 4 * cell + 3);
  });
  return { rows: side, columns: side, data };
}
