// Separates ink from paper in a photo, like `input_data/mnist/digits.py`, whose comments say why. A plane is
// { rows, columns, data }, 0 (black) to 255.

const STROKE = 0.25, LEAST = 14, GRAINS = 7, SEED = 0.5, EDGE = 0.25, FRINGE = 0.3, ONE_SIDED = 0.25;
const CONTACT = 0.3, SPECK = 0.03, TALL = 0.6;

export function median(values) {
  const sorted = Float64Array.from(values).sort(), half = sorted.length / 2;
  return (sorted[Math.floor(half)] + sorted[Math.ceil(half) - 1]) / 2;
}

// Applies `change(values, out)` to each column and then to each row.
function bothWays({ rows, columns, data }, change) {
  const result = Float32Array.from(data);
  for (const [lines, length, next, step] of [[columns, rows, 1, columns], [rows, columns, columns, 1]]) {
    const values = new Float64Array(length), out = new Float64Array(length);
    for (let line = 0; line < lines; line++) {
      for (let i = 0; i < length; i++) values[i] = result[line * next + i * step];
      change(values, out);
      for (let i = 0; i < length; i++) result[line * next + i * step] = out[i];
    }
  }
  return { rows, columns, data: result };
}

function gaussian(plane, sigma) { // the border is reflected
  const reach = Math.floor(4 * sigma + 0.5), size = 2 * reach + 1;
  const weights = Float64Array.from({ length: size }, (_, i) => Math.exp(-0.5 * ((i - reach) / sigma) ** 2));
  const total = weights.reduce((a, b) => a + b);
  return bothWays(plane, (values, out) => {
    const period = 2 * values.length, wide = new Float64Array(values.length + 2 * reach);
    for (let i = 0; i < wide.length; i++) {
      const inside = (((i - reach) % period) + period) % period;
      wide[i] = values[Math.min(inside, period - 1 - inside)];
    }
    for (let i = 0; i < values.length; i++) {
      let sum = 0;
      for (let k = 0; k < size; k++) sum += weights[k] * wide[i + k];
      out[i] = sum / total;
    }
  });
}

// The largest value (sign 1) or the smallest (sign −1) from `before` places before each to `after` places behind it.
const extreme = (before, after, sign) => (values, out) => {
  const queue = new Int32Array(values.length); // of places whose values nothing behind them exceeds
  let head = 0, tail = 0;
  for (let i = 0; i < values.length + after; i++) {
    if (i < values.length) {
      while (tail > head && sign * values[queue[tail - 1]] <= sign * values[i]) tail--;
      queue[tail++] = i;
    }
    while (queue[head] < i - after - before) head++;
    if (i >= after) out[i - after] = values[queue[head]];
  }
};

// The brightness of the paper: a morphological closing with a square, beyond the border by its nearest pixels.
function closed({ rows, columns, data }, width) {
  const tall = rows + 2 * width, wide = columns + 2 * width, far = width >> 1, near = width - 1 - far;
  const nearest = (at, size) => Math.min(Math.max(at - width, 0), size - 1);
  const beyond = Float32Array.from({ length: tall * wide }, (_, cell) =>
    data[nearest(Math.floor(cell / wide), rows) * columns + nearest(cell % wide, columns)]);
  const dilated = bothWays({ rows: tall, columns: wide, data: beyond }, extreme(near, far, 1));
  const { data: eroded } = bothWays(dilated, extreme(far, near, -1));
  return data.map((_, cell) => eroded[(Math.floor(cell / columns) + width) * wide + cell % columns + width]);
}

function grown(mask, { rows, columns }, times) { // by one pixel up, down, left and right each time
  for (let time = 0; time < times; time++) mask = mask.map((value, cell) => value ||
    (cell >= columns && mask[cell - columns]) || (cell < (rows - 1) * columns && mask[cell + columns]) ||
    (cell % columns && mask[cell - 1]) || (cell % columns < columns - 1 && mask[cell + 1]) ? 1 : 0);
  return mask;
}

// The connected marks that are ink: { label (a number for each pixel), size, box: [[top, bottom], [left, right]] }.
function marksIn(depth, { rows, columns }) {
  const peak = depth.reduce((a, b) => Math.max(a, b), 0), threshold = Math.max(EDGE * peak, LEAST / 2);
  const label = new Int32Array(depth.length), marks = [];
  if (peak < LEAST) return { label, marks };
  for (let start = 0; start < depth.length; start++) {
    if (depth[start] <= threshold || label[start]) continue;
    const number = marks.length + 1, box = [[rows, 0], [columns, 0]], waiting = [start];
    let size = 0, inked = false;
    label[start] = number;
    while (waiting.length) {
      const cell = waiting.pop(), place = [Math.floor(cell / columns), cell % columns];
      size++;
      inked ||= depth[cell] > Math.max(SEED * peak, LEAST);
      place.forEach((at, axis) => { box[axis] = [Math.min(box[axis][0], at), Math.max(box[axis][1], at + 1)]; });
      for (let row = Math.max(place[0] - 1, 0); row <= Math.min(place[0] + 1, rows - 1); row++)
        for (let column = Math.max(place[1] - 1, 0); column <= Math.min(place[1] + 1, columns - 1); column++) {
          const next = row * columns + column;
          if (depth[next] > threshold && !label[next]) { label[next] = number; waiting.push(next); }
        }
    }
    marks.push({ number, size, box, inked });
  }
  return { label, marks: marks.filter(({ inked }) => inked) };
}

// Whether a mark lies along the picture's edge or has paper on one side only.
function isShadow(label, number, smooth, paper, blur, shape) {
  const { rows, columns } = shape, own = Uint8Array.from(label, (each) => (each === number ? 1 : 0));
  let edge = 0, ink = 0, level = 0, size = 0, dark = 0, count = 0;
  for (let row = 0; row < rows; row++) edge += own[row * columns] + own[row * columns + columns - 1];
  for (let column = 0; column < columns; column++) edge += own[column] + own[(rows - 1) * columns + column];
  if (edge > CONTACT * Math.min(rows, columns)) return true;
  own.forEach((mine, cell) => { if (mine) { ink += smooth[cell]; level += paper[cell]; size++; } });
  const near = grown(own, shape, blur), wide = grown(near, shape, blur + 2);
  wide.forEach((inside, cell) => {
    if (!inside || near[cell]) return;
    count++;
    if (smooth[cell] < ink / size + FRINGE * (level - ink) / size) dark++;
  });
  return dark / count > ONE_SIDED;
}

const apart = (one, other) => { // further along an axis than strokes of one figure
  const gap = 0.05 * Math.max(...[...one.box, ...other.box].map(([from, to]) => to - from));
  const before = ({ box: a }, { box: b }) => [0, 1].some((axis) => b[axis][0] > a[axis][1] + gap);
  return before(one, other) || before(other, one);
};

function largest(figures, most) { // the marks of the largest figures, and the number of figures
  const length = ({ box }) => Math.max(...box.map(([from, to]) => to - from));
  const longest = Math.max(...figures.map(length)), groups = [];
  const mass = (group) => group.reduce((sum, { size }) => sum + size, 0);
  for (const mark of figures.filter((each) => length(each) >= TALL * longest)) {
    const group = groups.find((each) => each.some((other) => !apart(mark, other)));
    if (group) group.push(mark); else groups.push([mark]);
  }
  if (groups.length <= most) return [figures, groups.length];
  groups.sort((a, b) => mass(b) - mass(a));
  const kept = groups.slice(0, most).flat(), others = groups.slice(most).flat();
  const isKept = (mark) => !others.includes(mark) && kept.some((other) => !apart(mark, other));
  return [figures.filter(isKept), groups.length];
}

// The ink of the `most` largest figures, by how much darker than the paper it is: { ink, count, shadow }; null: none.
export function separate({ rows, columns, data }, dark, most) {
  const shape = { rows, columns }, sigma = Math.max(rows, columns) / 300;
  const grey = dark ? data : data.map((value) => 255 - value), smooth = gaussian({ ...shape, data: grey }, sigma).data;
  const paper = closed({ ...shape, data: smooth }, Math.max(3, Math.round(STROKE * Math.max(rows, columns))))
    .map((value) => Math.max(value, 1));
  const blurred = gaussian({ ...shape, data: smooth }, 3 * sigma).data;
  const usual = median(paper.map((value, i) => value - smooth[i]));
  const grain = 1.4826 * median(smooth.map((value, i) => Math.abs(value - blurred[i])));
  const darker = (value, i) => Math.max(paper[i] - value - usual, 0), unit = (i) => (dark ? 255 / paper[i] : 1);
  const depth = smooth.map((value, i) => (darker(value, i) > GRAINS * grain ? darker(value, i) * unit(i) : 0));
  const blur = Math.floor(2 * sigma) + 1, shadow = new Uint8Array(data.length);
  let found = null;
  for (;;) {
    found = marksIn(depth.map((value, i) => (shadow[i] ? 0 : value)), shape);
    const shadows = found.marks.filter(({ number }) => isShadow(found.label, number, smooth, paper, blur, shape));
    if (!shadows.length) break;
    const dropped = Uint8Array.from(found.label, (each) => (shadows.some(({ number }) => number === each) ? 1 : 0));
    grown(dropped, shape, Math.floor(4 * sigma) + 1).forEach((value, i) => { shadow[i] ||= value; });
  }
  if (!found.marks.length) return null;
  const biggest = Math.max(...found.marks.map(({ size }) => size));
  const [kept, count] = largest(found.marks.filter(({ size }) => size >= SPECK * biggest), most);
  const numbers = new Set(kept.map(({ number }) => number));
  const figure = Uint8Array.from(found.label, (each) => (numbers.has(each) ? 1 : 0));
  const ink = grey.map((value, i) => darker(value, i) * unit(i));
  const peak = ink.reduce((most, value, i) => (figure[i] ? Math.max(most, value) : most), 0);
  const reach = grown(figure, shape, blur);
  const strong = ink.map((value, i) => (reach[i] && !shadow[i] && value > EDGE / 2 * peak ? value : 0));
  return { ink: { ...shape, data: strong }, count, shadow: shadow.some(Boolean) };
}
