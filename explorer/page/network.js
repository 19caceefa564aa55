// Runs a network in plain JavaScript, on flat Float32Arrays in the order of the shapes in the comments. A network is
// { kind, layers, … } as `exported.py` describes it, with its weights as arrays.

// The number of rows or columns of a convolution's output, and of zeros before its input.
function extent(size, kernel, stride, padding) {
  if (padding !== "same") return [Math.floor((size - kernel) / stride) + 1, 0];
  const out = Math.ceil(size / stride);
  return [out, Math.floor(Math.max((out - 1) * stride + kernel - size, 0) / 2)];
}

// Adds a · b to `sums`, for a [m, inner], b [inner, n] and sums [m, n], in tiles of 4×4 that stay in registers, so each
// value read is used for four products. The inner side is cut into blocks, so a tile's part of b stays in the cache.
function addProduct(a, b, sums, m, inner, n) {
  const BLOCK = 256;
  for (let from = 0; from < inner; from += BLOCK) {
    const to = Math.min(inner, from + BLOCK);
    for (let column = 0; column < n; column += 4) for (let row = 0; row < m; row += 4) {
      if (column + 4 > n || row + 4 > m) {
        addProductOfEdge(a, b, sums, [row, Math.min(m, row + 4)], [column, Math.min(n, column + 4)], [from, to], inner, n);
        continue;
      }
      let s00 = 0, s01 = 0, s02 = 0, s03 = 0, s10 = 0, s11 = 0, s12 = 0, s13 = 0;
      let s20 = 0, s21 = 0, s22 = 0, s23 = 0, s30 = 0, s31 = 0, s32 = 0, s33 = 0;
      const a0 = row * inner, a1 = a0 + inner, a2 = a1 + inner, a3 = a2 + inner;
      for (let k = from, at = from * n + column; k < to; k++, at += n) {
        const b0 = b[at], b1 = b[at + 1], b2 = b[at + 2], b3 = b[at + 3];
        const v0 = a[a0 + k], v1 = a[a1 + k], v2 = a[a2 + k], v3 = a[a3 + k];
        s00 += v0 * b0; s01 += v0 * b1; s02 += v0 * b2; s03 += v0 * b3;
        s10 += v1 * b0; s11 += v1 * b1; s12 += v1 * b2; s13 += v1 * b3;
        s20 += v2 * b0; s21 += v2 * b1; s22 += v2 * b2; s23 += v2 * b3;
        s30 += v3 * b0; s31 += v3 * b1; s32 += v3 * b2; s33 += v3 * b3;
      }
      const c0 = row * n + column, c1 = c0 + n, c2 = c1 + n, c3 = c2 + n;
      sums[c0] += s00; sums[c0 + 1] += s01; sums[c0 + 2] += s02; sums[c0 + 3] += s03;
      sums[c1] += s10; sums[c1 + 1] += s11; sums[c1 + 2] += s12; sums[c1 + 3] += s13;
      sums[c2] += s20; sums[c2 + 1] += s21; sums[c2 + 2] += s22; sums[c2 + 3] += s23;
      sums[c3] += s30; sums[c3 + 1] += s31; sums[c3 + 2] += s32; sums[c3 + 3] += s33;
    }
  }
}

function addProductOfEdge(a, b, sums, [top, bottom], [left, right], [from, to], inner, n) {
  for (let row = top; row < bottom; row++) for (let column = left; column < right; column++) {
    let sum = 0;
    for (let k = from; k < to; k++) sum += a[row * inner + k] * b[k * n + column];
    sums[row * n + column] += sum;
  }
}

// Images are { rows, columns, channels, data }, data [rows, columns, channels]; the kernel is [size, size, depth, channels].
export function convolve(image, { kernel, bias, size, stride, padding, channels }) {
  const [rows, top] = extent(image.rows, size, stride, padding);
  const [columns, left] = extent(image.columns, size, stride, padding);
  const depth = image.channels, inner = size * size * depth, patches = new Float32Array(rows * columns * inner);
  for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++) for (let y = 0; y < size; y++) {
    const above = row * stride + y - top;
    if (above < 0 || above >= image.rows) continue;
    const first = Math.max(0, left - column * stride);
    const end = Math.min(size, image.columns + left - column * stride);
    if (end <= first) continue;
    const from = (above * image.columns + column * stride + first - left) * depth;
    const to = (row * columns + column) * inner + (y * size + first) * depth;
    patches.set(image.data.subarray(from, from + (end - first) * depth), to);
  }
  const data = new Float32Array(rows * columns * channels);
  if (bias) for (let place = 0; place < rows * columns; place++) data.set(bias, place * channels);
  addProduct(patches, kernel, data, rows * columns, inner, channels);
  return { rows, columns, channels, data };
}

// The largest of each 2×2 pixels; what lies outside the image does not count.
export function pool(image) {
  const { channels } = image, rows = Math.ceil(image.rows / 2), columns = Math.ceil(image.columns / 2);
  const data = new Float32Array(rows * columns * channels).fill(-Infinity);
  for (let row = 0; row < image.rows; row++) for (let column = 0; column < image.columns; column++) {
    const from = (row * image.columns + column) * channels, to = ((row >> 1) * columns + (column >> 1)) * channels;
    for (let channel = 0; channel < channels; channel++)
      data[to + channel] = Math.max(data[to + channel], image.data[from + channel]);
  }
  return { rows, columns, channels, data };
}

export function rectify(values) {
  for (let i = 0; i < values.length; i++) if (values[i] < 0) values[i] = 0;
  return values;
}

// kernel [inputs, units]; `inputs` may be a part that starts at `first` if all other inputs are zero.
export function dense(inputs, { kernel, bias, relu }, first = 0) {
  const units = bias.length, outputs = Float32Array.from(bias);
  for (let i = 0; i < inputs.length; i++) {
    const value = inputs[i], start = (first + i) * units;
    if (value === 0) continue;
    for (let unit = 0; unit < units; unit++) outputs[unit] += value * kernel[start + unit];
  }
  return relu ? rectify(outputs) : outputs;
}

export const lengthOf = (vectors, start, atoms) => {
  let squared = 0;
  for (let atom = 0; atom < atoms; atom++) squared += vectors[start + atom] ** 2;
  return Math.sqrt(squared);
};

function squash(vectors, atoms) {
  for (let start = 0; start < vectors.length; start += atoms) {
    const norm = lengthOf(vectors, start, atoms), factor = norm / (1 + norm * norm);
    for (let atom = 0; atom < atoms; atom++) vectors[start + atom] *= factor;
  }
  return vectors;
}

// Primary capsules [types, rows, columns, atoms] of a feature map.
function primaryCapsules(features, layer) {
  const { types, atoms, coefficient, offset } = layer, image = convolve(features, layer);
  const cells = image.rows * image.columns, capsules = new Float32Array(cells * types * atoms);
  for (let cell = 0; cell < cells; cell++) for (let type = 0; type < types; type++) for (let atom = 0; atom < atoms; atom++)
    capsules[(type * cells + cell) * atoms + atom] =
      image.data[(cell * types + type) * atoms + atom] * coefficient + offset[type * atoms + atom];
  return { capsules: squash(capsules, atoms), cells, types, atoms, rows: image.rows, columns: image.columns };
}

// Votes [inputs, width] of capsules [inputs, atoms] by kernel [inputs, atoms, width].
export function votesOf(capsules, atoms, kernel, width) {
  const votes = new Float32Array(capsules.length / atoms * width);
  capsules.forEach((value, place) => {
    const to = Math.floor(place / atoms) * width, from = place * width;
    for (let k = 0; k < width; k++) votes[to + k] += value * kernel[from + k];
  });
  return votes;
}

// An iteration, for the page: the couplings c_ij and agreements û_ij·v_j [inputs, classes], and of each class: the length
// of v_j; how far the votes push along v_j and against it, and the bias along it, which add up to ‖s_j‖; and Σ_i c_ij‖û_ij‖.
export function stepOf(votes, shares, agreement, capsules, bias, classes, atoms) {
  const lengths = Array.from({ length: classes }, (_, label) => lengthOf(capsules, label * atoms, atoms));
  const [towards, away, summed, biases] = [0, 1, 2, 3].map(() => new Array(classes).fill(0));
  shares.forEach((share, i) => {
    const label = i % classes, push = share * agreement[i] / Math.max(lengths[label], 1e-12);
    if (push > 0) towards[label] += push; else away[label] -= push;
    summed[label] += Math.abs(share) * votes.lengths[i];
  });
  if (bias) bias.forEach((value, k) => { biases[Math.floor(k / atoms)] += value * capsules[k] / Math.max(lengths[Math.floor(k / atoms)], 1e-12); });
  return { coupling: shares, agreement, lengths, towards, away, bias: biases, summed };
}

// The lengths of all votes [inputs, classes].
export const lengthsOf = (votes, atoms) => Float32Array.from({ length: votes.length / atoms }, (_, i) => lengthOf(votes, i * atoms, atoms));

// û_ij·v_j [inputs, classes] of votes and vectors [classes, atoms].
export function agreementOf(votes, vectors, atoms) {
  const agreement = new Float32Array(votes.length / atoms);
  for (let place = 0; place < votes.length; place++) agreement[Math.floor(place / atoms)] += votes[place] * vectors[place % vectors.length];
  return agreement;
}

// The softmax of logits [inputs, classes] over the classes; `leaky`: with another logit of 0, whose share is dropped.
export function softmaxes(logits, classes, leaky) {
  const shares = new Float32Array(logits.length);
  for (let start = 0; start < shares.length; start += classes) {
    let peak = leaky ? 0 : -Infinity, total = 0;
    for (let label = 0; label < classes; label++) peak = Math.max(peak, logits[start + label]);
    for (let label = 0; label < classes; label++) total += Math.exp(logits[start + label] - peak);
    if (leaky) total += Math.exp(-peak);
    for (let label = 0; label < classes; label++) shares[start + label] = Math.exp(logits[start + label] - peak) / total;
  }
  return shares;
}

// Routing by agreement, whose agreements count `scale` times: the class capsules [classes, atoms], and its steps.
function routed(primary, { kernel, bias, classes, atoms, routing, leaky }, scale) {
  const inputs = primary.cells * primary.types, width = classes * atoms, logits = new Float32Array(inputs * classes);
  const votes = votesOf(primary.capsules, primary.atoms, kernel, width);
  const about = { lengths: lengthsOf(votes, atoms), primary: lengthsOf(primary.capsules, primary.atoms), steps: [] };
  let capsules;
  for (let iteration = 0; iteration < routing; iteration++) {
    const shares = softmaxes(logits, classes, leaky);
    capsules = Float32Array.from(bias);
    for (let place = 0; place < votes.length; place++) capsules[place % width] += shares[Math.floor(place / atoms)] * votes[place];
    squash(capsules, atoms);
    const agreement = agreementOf(votes, capsules, atoms);
    agreement.forEach((value, i) => { logits[i] += scale * value; });
    about.steps.push(stepOf(about, shares, agreement, capsules, bias, classes, atoms));
  }
  return { capsules, votes: about };
}

// The image that a decoder draws from one class's capsule.
export function decode({ decoder, rows, columns, depth }, label, capsule) {
  let hidden = capsule;
  decoder.forEach((layer, index) => { hidden = dense(hidden, layer, index ? 0 : label * capsule.length); });
  const data = new Float32Array(hidden.length); // from [depth, rows, columns]
  for (let part = 0; part < depth; part++) for (let cell = 0; cell < rows * columns; cell++)
    data[cell * depth + part] = 1 / (1 + Math.exp(-hidden[part * rows * columns + cell]));
  return { rows, columns, channels: depth, data };
}

function scoresOf(logits, loss) {
  if (loss === "sigmoid") return logits.map((logit) => 1 / (1 + Math.exp(-logit)));
  if (loss !== "softmax") return logits.map((logit) => Math.min(1, Math.max(0, logit)));
  const peak = Math.max(...logits), shares = logits.map((logit) => Math.exp(logit - peak));
  const total = shares.reduce((a, b) => a + b);
  return shares.map((share) => share / total);
}

// The numbers of capsules [classes, atoms], a list for each.
export const asLists = (capsules, classes, atoms) =>
  Array.from({ length: classes }, (_, label) => [...capsules.subarray(label * atoms, (label + 1) * atoms)]);

// CapsNet: the scores [classes] of an image, its capsules, and the votes and steps of the routing.
export function runCapsules(network, image, scale) {
  const features = convolve(image, network.conv1);
  rectify(features.data);
  const primary = primaryCapsules(features, network.primary), { classes, atoms } = network.classes;
  const { capsules, votes } = routed(primary, network.classes, scale), { rows, columns } = primary;
  return { scores: votes.steps.at(-1).lengths, capsules: asLists(capsules, classes, atoms), votes: { ...votes, rows, columns } };
}

// A baseline: the scores of an image.
export function runConvolutions(network, image) {
  let hidden = image;
  for (const layer of network.convolutions) {
    hidden = convolve(hidden, layer);
    if (layer.pooled) hidden = pool(hidden);
    rectify(hidden.data);
  }
  const { rows, columns, channels, data } = hidden, flat = new Float32Array(data.length); // [channels, rows, columns]
  for (let cell = 0; cell < rows * columns; cell++) for (let channel = 0; channel < channels; channel++)
    flat[channel * rows * columns + cell] = data[cell * channels + channel];
  const logits = network.head.reduce((values, layer) => dense(values, layer), flat);
  return { scores: scoresOf([...logits], network.loss) };
}
