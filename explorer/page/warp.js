// The input turned, shifted, scaled and sheared: what a viewpoint does to a flat figure.

const byPixels = (sides) => Math.round(Math.max(...sides) / 4);

// The sliders: a name, what it does, its reach each way, its step, and what stands for nothing.
export const makeMoves = (rows, columns) => ({
  turn: { text: "Turn", unit: "°", low: -60, high: 60, step: 1, none: 0 },
  right: { text: "Shift right", unit: " px", low: -byPixels([rows, columns]), high: byPixels([rows, columns]), step: 0.5, none: 0 },
  down: { text: "Shift down", unit: " px", low: -byPixels([rows, columns]), high: byPixels([rows, columns]), step: 0.5, none: 0 },
  scale: { text: "Scale", unit: "×", low: 0.5, high: 1.5, step: 0.02, none: 1 },
  shear: { text: "Shear", unit: "", low: -0.6, high: 0.6, step: 0.02, none: 0 },
});

function borderOf(data, { rows, columns, depth }) { // the colour that comes in from outside: the border's median
  const colours = Array.from({ length: depth }, () => []);
  for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++)
    if (row === 0 || column === 0 || row === rows - 1 || column === columns - 1)
      colours.forEach((values, part) => values.push(data[(row * columns + column) * depth + part]));
  return colours.map((values) => values.sort((a, b) => a - b)[values.length >> 1]);
}

// data [rows, columns, depth] after { turn (degrees counter-clockwise), right, down (pixels), scale, shear }: bilinear,
// about the centre, as `explorer/robustness.py` does it.
export function warp(data, shape, { turn, right, down, scale, shear }) {
  const { rows, columns, depth } = shape, fill = borderOf(data, shape), result = new Float32Array(data.length);
  const angle = turn * Math.PI / 180, cos = Math.cos(angle), sin = Math.sin(angle);
  // Over (down, right): a point goes to scale · [[cos, −sin], [sin, cos]] · [[1, 0], [−shear, 1]]; this is the inverse.
  const [a, b, c, d] = [cos, sin, shear * cos - sin, shear * sin + cos].map((value) => value / scale);
  const middle = [(rows - 1) / 2, (columns - 1) / 2];
  const at = (row, column, part) =>
    row < 0 || column < 0 || row >= rows || column >= columns ? fill[part] : data[(row * columns + column) * depth + part];
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
