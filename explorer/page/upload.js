// Prepares a user's picture of a digit for the network, like `input_data/mnist/digits.py`.

const SIZE = 28, BOX = 20, MIDDLE = 14;

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

function sortedBorder({ rows, columns, data }) {
  const width = Math.max(1, Math.floor(Math.min(rows, columns) / 20));
  return data.filter((_, cell) => {
    const row = Math.floor(cell / columns), column = cell % columns;
    return row < width || row >= rows - width || column < width || column >= columns - width;
  }).sort();
}

function inkOn(grey, notes) { // 0 to 255
  const border = sortedBorder(grey), half = border.length / 2;
  const background = (border[Math.floor(half)] + border[Math.ceil(half) - 1]) / 2;
  let low = Infinity, high = -Infinity;
  for (const value of grey.data) { low = Math.min(low, value); high = Math.max(high, value); }
  const dark = background - low > high - background;
  if (dark) notes.push("inverted: dark on light");
  return { ...grey, data: grey.data.map((value) => Math.max(0, dark ? background - value : value - background)) };
}

function laidOut(ink) {
  let peak = 0;
  for (const value of ink.data) peak = Math.max(peak, value);
  const border = sortedBorder(ink), grain = border[Math.round(0.95 * (border.length - 1))];
  const paper = Math.min(Math.max(0.1 * peak, 4 * grain), 0.5 * peak);
  let top = Infinity, bottom = -1, left = Infinity, right = -1;
  ink.data.forEach((value, cell) => {
    if (value <= paper) return;
    const row = Math.floor(cell / ink.columns), column = cell % ink.columns;
    top = Math.min(top, row); bottom = Math.max(bottom, row);
    left = Math.min(left, column); right = Math.max(right, column);
  });
  const rows = bottom - top + 1, columns = right - left + 1, scale = BOX / Math.max(rows, columns);
  const cut = new Float32Array(rows * columns).map((_, cell) => {
    const value = ink.data[(top + Math.floor(cell / columns)) * ink.columns + left + cell % columns];
    return value > paper ? value : 0;
  });
  const digit = resized({ rows, columns, data: cut }, ...[rows, columns].map((side) => Math.max(1, rounded(side * scale))));
  const sides = [digit.rows, digit.columns], mass = [0, 0];
  let total = 0, strongest = 0;
  digit.data.forEach((value, cell) => {
    mass[0] += value * Math.floor(cell / digit.columns);
    mass[1] += value * (cell % digit.columns);
    total += value;
    strongest = Math.max(strongest, value);
  });
  const corner = mass.map((sum, axis) => Math.min(Math.max(rounded(MIDDLE - sum / total), 0), SIZE - sides[axis]));
  const frame = new Float32Array(SIZE * SIZE);
  digit.data.forEach((value, cell) => {
    const row = corner[0] + Math.floor(cell / digit.columns), column = corner[1] + cell % digit.columns;
    frame[row * SIZE + column] = value / strongest;
  });
  return frame;
}

function squared({ rows, columns, data }) { // adds black on both sides, so that the digit keeps its shape
  const side = Math.max(rows, columns), top = (side - rows) >> 1, left = (side - columns) >> 1;
  const frame = new Float32Array(side * side);
  data.forEach((value, cell) => { frame[(top + Math.floor(cell / columns)) * side + left + cell % columns] = value; });
  return { rows: side, columns: side, data: frame };
}

// Turns a picture { rows, columns, data: RGBA } into { image, notes } for a network for images of toRows × toColumns,
// whose pixels, 0 to 255, are divided by unit.
export function prepareDigit({ rows, columns, data }, toRows, toColumns, unit) {
  const notes = [], grey = new Float32Array(rows * columns);
  for (let cell = 0; cell < grey.length; cell++) {
    const [red, green, blue, alpha] = data.slice(4 * cell, 4 * cell + 4);
    grey[cell] = Math.round((0.299 * red + 0.587 * green + 0.114 * blue) * alpha / 255 + 255 - alpha); // on white
  }
  const ink = inkOn({ rows, columns, data: grey }, notes);
  if (!ink.data.some((value) => value > 0)) throw new Error("Nothing readable: the picture is blank.");
  if (rows === toRows && columns === toColumns) return { image: ink.data.map((value) => value / unit), notes };
  if (toRows === SIZE && toColumns === SIZE) {
    notes.push(`cut from ${rows}x${columns} to its ink and centred`);
    return { image: laidOut(ink).map((value) => value * 255 / unit), notes };
  }
  notes.push(`resized ${rows}x${columns} to ${toRows}x${toColumns}`);
  return { image: resized(toRows === toColumns ? squared(ink) : ink, toRows, toColumns).data.map((value) => value / unit), notes };
}
