// Runs a network in plain JavaScript, on flat Float32Arrays in the order of the shapes in the comments. A network is
// { kind, layers, … } as `exported.py` describes it, with its weights as arrays.

// The number of rows or columns of a convolution's output, and of zeros before its input.
function extent(size, kernel, stride, padding) {
  if (padding !== "same") return [Math.floor((size - kernel) / stride) + 1, 0];
  const out = Math.ceil(size / stride);
  return [out, Math.floor(Math.max((out - 1) * stride + kernel - size, 0) / 2)];
}

// Adds a · b to `sums`, for a [m, inner], b [inner, n] and sums [m, n]: a row at a time, in double precision. Zeros of a,
// of which ReLU makes many, are left out, and four rows of b are read for each change of the sums.
function addProduct(a, b, sums, m, inner, n) {
  const line = new Float64Array(n), rows = new Int32Array(inner + 3), values = new Float64Array(inner + 3);
  for (let row = 0; row < m; row++) {
    let count = 0;
    for (let k = 0; k < inner; k++) if (a[row * inner + k] !== 0) {
      rows[count] = k * n;
      values[count++] = a[row * inner + k];
    }
    values.fill(0, count, count + 3);
    line.fill(0);
    for (let i = 0; i < count; i += 4) {
      const [k0, k1, k2, k3] = [rows[i], rows[i + 1], rows[i + 2], rows[i + 3]];
      const [v0, v1, v2, v3] = [values[i], values[i + 1], values[i + 2], values[i + 3]];
      for (let j = 0; j < n; j++) line[j] += v0 * b[k0 + j] + v1 * b[k1 + j] + v2 * b[k2 + j] + v3 * b[k3 + j];
    }
    for (let j = 0; j < n; j++) sums[row * n + j] += line[j];
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

// ReLU, in place.
export function rectify(values) {
  for (let i = 0; i < values.length; i++) if (values[i] < 0) values[i] = 0;
  return values;
}

// values [m, n] as [n, m]
function transposed(values, m, n) {
  return Float32Array.from(values, (_, place) => values[place % m * n + Math.floor(place / m)]);
}

// kernel [inputs, units]; `inputs` may be a part that starts at `first` if all other inputs are zero.
export function dense(inputs, { kernel, bias, relu }, first = 0) {
  const outputs = Float32Array.from(bias);
  addProduct(inputs, kernel.subarray(first * bias.length), outputs, 1, inputs.length, bias.length);
  return relu ? rectify(outputs) : outputs;
}

export const sigmoid = (logits) => logits.map((logit) => 1 / (1 + Math.exp(-logit)));

export const lengthOf = (vectors, start, atoms) => {
  let squared = 0;
  for (let atom = 0; atom < atoms; atom++) squared += vectors[start + atom] ** 2;
  return Math.sqrt(squared);
};

// Multiplies each vector by a factor that depends on its length, in place: by default as the paper does.
export function squash(vectors, atoms, factorOf = (norm) => norm / (1 + norm * norm)) {
  for (let start = 0; start < vectors.length; start += atoms) {
    const factor = factorOf(lengthOf(vectors, start, atoms));
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
  const logits = transposed(hidden, depth, rows * columns); // from [depth, rows, columns]
  return { rows, columns, channels: depth, data: sigmoid(logits) };
}

function scoresOf(logits, loss) {
  if (loss === "sigmoid") return sigmoid(logits);
  return loss === "softmax" ? softmaxes(logits, logits.length) : logits.map((logit) => Math.min(1, Math.max(0, logit)));
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
  const flat = transposed(hidden.data, hidden.rows * hidden.columns, hidden.channels); // [channels, rows, columns]
  const logits = network.head.reduce((values, layer) => dense(values, layer), flat);
  return { scores: scoresOf(logits, network.loss) };
}
