// Turns, shifts, scales and shears the input, as a change of viewpoint does to a flat figure.

// The sliders by name: label, what a chart calls the amount, unit, digits after the point, range, step, and the amount
// that changes nothing.
export const makeMoves = (rows, columns) => {
  const reach = Math.round(Math.max(rows, columns) / 4), shift = { unit: " px", digits: 1, low: -reach, high: reach };
  return {
    turn: { text: "Turn", noun: "rotation", unit: "°", digits: 0, low: -60, high: 60, step: 1, none: 0 },
    right: { text: "Shift right", noun: "shift to the right", ...shift, step: 0.5, none: 0 },
    down: { text: "Shift down", noun: "shift down", ...shift, step: 0.5, none: 0 },
    scale: { text: "Scale", noun: "scale", unit: "×", digits: 2, low: 0.5, high: 1.5, step: 0.02, none: 1 },
    shear: { text: "Shear", noun: "shear", unit: "", digits: 2, low: -0.6, high: 0.6, step: 0.02, none: 0 },
  };
};

function borderOf(data, { rows, columns, depth }) { // the border's median, which fills what moves in from outside
  const colours = Array.from({ length: depth }, () => []);
  for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++)
    if (row === 0 || column === 0 || row === rows - 1 || column === columns - 1)
      colours.forEach((values, part) => values.push(data[(row * columns + column) * depth + part]));
  return colours.map((values) => values.sort((a, b) => a - b)[values.length >> 1]);
}

// data [rows, columns, depth] after { turn (degrees counter-clockwise), right, down (pixels), scale, shear }:
// bilinear, about the centre, as `explorer/robustness.py` does it.
export function warp(data, shape, { turn, right, down, scale, shear }) {
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
