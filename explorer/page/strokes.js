// Draws a hand-drawn digit as in MNIST, like `strokes.py`.

const PEN = 1.6, SOFT = 0.5, SMALLEST = 0.15;

function inkOf(strokes, rows, columns) {
  const nearest = new Float64Array(rows * columns).fill(Infinity);
  for (const stroke of strokes) [stroke[0], ...stroke].slice(0, -1).forEach(([x, y], index) => {
    const [dx, dy] = [stroke[index][0] - x, stroke[index][1] - y], squared = Math.max(dx * dx + dy * dy, 1e-12);
    for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++) {
      const along = Math.min(1, Math.max(0, ((column - x) * dx + (row - y) * dy) / squared));
      const distance = (column - x - along * dx) ** 2 + (row - y - along * dy) ** 2;
      nearest[row * columns + column] = Math.min(nearest[row * columns + column], distance);
    }
  });
  return nearest.map((squared) => Math.min(1, Math.max(0, (PEN + SOFT - Math.sqrt(squared)) / (2 * SOFT))));
}

// Strokes of points [x, y] from 0 to 1, fitted into a box and centred by mass: pixels 0 to 255, [rows, columns].
export function drawStrokes(strokes, rows, columns, box) {
  const points = strokes.flat(), across = points.map(([x]) => x), down = points.map(([, y]) => y);
  const low = [Math.min(...across), Math.min(...down)], high = [Math.max(...across), Math.max(...down)];
  const scale = (box - 2 * (PEN + SOFT)) / Math.max(high[0] - low[0], high[1] - low[1], SMALLEST);
  const middle = [Math.floor(columns / 2), Math.floor(rows / 2)];
  const moved = (all, change) => all.map((stroke) => stroke.map((point) => point.map(change)));
  const placed = moved(strokes, (part, axis) => (part - (low[axis] + high[axis]) / 2) * scale + middle[axis]);
  const mass = [0, 0];
  let total = 0;
  inkOf(placed, rows, columns).forEach((ink, cell) => {
    mass[0] += ink * (cell % columns);
    mass[1] += ink * Math.floor(cell / columns);
    total += ink;
  });
  const centred = moved(placed, (part, axis) => part + middle[axis] - mass[axis] / total);
  return Float32Array.from(inkOf(centred, rows, columns), (ink) => Math.round(255 * ink));
}
