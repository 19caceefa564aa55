// Runs a network in plain JavaScript, on flat Float32Arrays in the order of the shapes in the comments. A network is
// { kind, layers, … } as `exported.py` describes it, with its weights as arrays.

// The number of rows or columns of a convolution's output, and of zeros before its input.
function extent(size, kernel, stride, padding) {
  if (padding !== "same") return [Math.floor((size - kernel) / stride) + 1, 0];
  const out = Math.ceil(size / stride);
  return [out, Math.floor(Math.max((out - 1) * stride + kernel - size, 0) / 2)];
}

// Adds a · b to `sums`, for a [m, inner], b [inner, n] and sums [m, n]: a row at a time, in double precision. Zeros
// of a, of which ReLU makes many, are left out, and four rows of b are read for each change of the sums.
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

// Images are { rows, columns, channels, data }, data [rows, columns, channels]; kernels [size, size, depth, channels].
function convolve(image, { kernel, bias, size, stride, padding, channels, relu }) {
  const [rows, top] = extent(image.rows, size, stride, padding);
  const [columns, left] = extent(image.columns, size, stride, padding);
  const depth = image.channels, inner = size * size * depth, patches = new Float32Array(rows * columns * inner);
  for (let place = 0; place < rows * columns; place++) for (let y = 0; y < size; y++) {
    const row = Math.floor(place / columns), column = place % columns, above = row * stride + y - top;
    if (above < 0 || above >= image.rows) continue;
    const first = Math.max(0, left - column * stride);
    const end = Math.min(size, image.columns + left - column * stride);
    if (end <= first) continue;
    const from = (above * image.columns + column * stride + first - left) * depth;
    const to = place * inner + (y * size + first) * depth;
    patches.set(image.data.subarray(from, from + (end - first) * depth), to);
  }
  const data = new Float32Array(rows * columns * channels);
  if (bias) for (let place = 0; place < rows * columns; place++) data.set(bias, place * channels);
  addProduct(patches, kernel, data, rows * columns, inner, channels);
  return { rows, columns, channels, data: relu ? rectified(data) : data };
}

const rectified = (values) => values.map((value) => Math.max(value, 0));

// kernel [inputs, units]; `inputs` may be a part that starts at `first` if all other inputs are zero.
function dense(inputs, { kernel, bias, relu }, first = 0) {
  const outputs = Float32Array.from(bias);
  addProduct(inputs, kernel.subarray(first * bias.length), outputs, 1, inputs.length, bias.length);
  return relu ? rectified(outputs) : outputs;
}

const lengthOf = (vectors, start, atoms) => {
  let squared = 0;
  for (let atom = 0; atom < atoms; atom++) squared += vectors[start + atom] ** 2;
  return Math.sqrt(squared);
};

const lengthsOf = (vectors, atoms) =>
  Float32Array.from({ length: vectors.length / atoms }, (_, index) => lengthOf(vectors, index * atoms, atoms));

// Multiplies each vector by a factor that depends on its length, in place: by default as the paper does.
function squash(vectors, atoms, factorOf = (norm) => norm / (1 + norm * norm)) {
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
  image.data.forEach((value, place) => {
    const cell = Math.floor(place / (types * atoms)), channel = place % (types * atoms);
    const type = Math.floor(channel / atoms);
    capsules[(type * cells + cell) * atoms + channel % atoms] = value * coefficient + offset[channel];
  });
  return { capsules: squash(capsules, atoms), rows: image.rows, columns: image.columns };
}

// The votes û_ij of capsules [inputs, inner] for a layer's classes. `values` [inputs, classes, atoms] are what routes
// them; the rest is what the page shows: the lengths of the votes and of the capsules, and the steps of the routing.
function votesOf(capsules, inner, { kernel, classes, atoms }) {
  const width = classes * atoms, values = new Float32Array(capsules.length / inner * width);
  capsules.forEach((value, place) => {
    const to = Math.floor(place / inner) * width, from = place * width; // kernel [inputs, inner, classes, atoms]
    for (let k = 0; k < width; k++) values[to + k] += value * kernel[from + k];
  });
  return { values, classes, atoms, lengths: lengthsOf(values, atoms), primary: lengthsOf(capsules, inner), steps: [] };
}

// Σ_i c_ij û_ij [classes, atoms] for couplings c [inputs, classes].
function weightedSum({ values, classes, atoms }, couplings) {
  const sums = new Float64Array(classes * atoms);
  values.forEach((value, place) => { sums[place % sums.length] += couplings[Math.floor(place / atoms)] * value; });
  return sums;
}

// û_ij·v_j [inputs, classes] for vectors v [classes, atoms].
function agreementOf({ values, lengths, atoms }, vectors) {
  const agreement = new Float32Array(lengths.length), width = vectors.length;
  values.forEach((value, place) => { agreement[Math.floor(place / atoms)] += value * vectors[place % width]; });
  return agreement;
}

// Adds an iteration to the votes' steps: the couplings c_ij and the agreements û_ij·v_j [inputs, classes], and of each
// class: the length of v_j; how far the votes push along v_j and against it, and the bias along it, which add up to
// ‖s_j‖; and Σ_i |c_ij| ‖û_ij‖.
function addStep(votes, coupling, capsules, bias) {
  const { classes, atoms } = votes, agreement = agreementOf(votes, capsules);
  const lengths = [...lengthsOf(capsules, atoms)];
  const [towards, away, summed, biases] = [0, 1, 2, 3].map(() => new Array(classes).fill(0));
  coupling.forEach((share, place) => {
    const label = place % classes, push = share * agreement[place] / Math.max(lengths[label], 1e-12);
    if (push > 0) towards[label] += push; else away[label] -= push;
    summed[label] += Math.abs(share) * votes.lengths[place];
  });
  bias?.forEach((value, k) => {
    const label = Math.floor(k / atoms);
    biases[label] += value * capsules[k] / Math.max(lengths[label], 1e-12);
  });
  votes.steps.push({ coupling, agreement, lengths, towards, away, bias: biases, summed });
  return agreement;
}

// The softmax of logits [inputs, classes] over the classes; `leaky`: with another logit of 0, whose share is dropped.
function softmaxes(logits, classes, leaky = false) {
  const shares = new Float32Array(logits.length);
  for (let start = 0; start < shares.length; start += classes) {
    const own = logits.subarray(start, start + classes), peak = Math.max(...own, ...(leaky ? [0] : []));
    const powers = own.map((logit) => Math.exp(logit - peak));
    const total = powers.reduce((a, b) => a + b, leaky ? Math.exp(-peak) : 0);
    powers.forEach((power, label) => { shares[start + label] = power / total; });
  }
  return shares;
}

// Routing by agreement, whose agreements count `scale` times: the class capsules [classes, atoms].
function routed(votes, { bias, classes, atoms, routing, leaky }, scale) {
  const logits = new Float32Array(votes.lengths.length);
  let capsules;
  for (let iteration = 0; iteration < routing; iteration++) {
    const couplings = softmaxes(logits, classes, leaky);
    capsules = squash(weightedSum(votes, couplings).map((value, k) => value + bias[k]), atoms);
    addStep(votes, couplings, capsules, bias).forEach((value, place) => { logits[place] += scale * value; });
  }
  return capsules;
}

// The image that a decoder draws from one class's capsule.
export function decode({ decoder, rows, columns, depth }, label, capsule) {
  let hidden = capsule;
  decoder.forEach((layer, index) => { hidden = dense(hidden, layer, index ? 0 : label * capsule.length); });
  // The decoder's output is [depth, rows, columns].
  const logit = (place) => hidden[place % depth * rows * columns + Math.floor(place / depth)];
  return { rows, columns, channels: depth, data: hidden.map((_, place) => 1 / (1 + Math.exp(-logit(place)))) };
}

// What a network answers: the scores of the classes, a list of each capsule's numbers, and the votes for the page.
function answerOf(scores, capsules, { values, ...votes }) {
  const starts = scores.map((_, label) => label * votes.atoms);
  return { scores, capsules: starts.map((start) => [...capsules.subarray(start, start + votes.atoms)]), votes };
}

// CapsNet's answer to an image.
export function runCapsules(network, image, scale) {
  const { capsules, rows, columns } = primaryCapsules(convolve(image, network.conv1), network.primary);
  const votes = { ...votesOf(capsules, network.primary.atoms, network.classes), rows, columns };
  const classCapsules = routed(votes, network.classes, scale);
  return answerOf(votes.steps.at(-1).lengths, classCapsules, votes);
}

// Efficient-CapsNet: depthwise primary capsules and self-attention routing.

const exponential = (norm) => (norm === 0 ? 0 : (1 - Math.exp(-norm)) / norm); // the factor of this network's squash

// Capsules [types, rows, columns, atoms] of a feature map with channels types · atoms: each atom sees one channel.
function depthwiseCapsules({ rows, columns, channels, data }, { kernel, bias, size: [tall, wide], stride, atoms }) {
  const down = Math.floor((rows - tall) / stride) + 1, across = Math.floor((columns - wide) / stride) + 1;
  const capsules = new Float32Array(down * across * channels);
  for (let row = 0; row < down; row++) for (let column = 0; column < across; column++)
    for (let channel = 0; channel < channels; channel++) {
      let sum = bias[channel];
      for (let y = 0; y < tall; y++) for (let x = 0; x < wide; x++)
        sum += kernel[(y * wide + x) * channels + channel] *
          data[((row * stride + y) * columns + column * stride + x) * channels + channel];
      const type = Math.floor(channel / atoms);
      capsules[((type * down + row) * across + column) * atoms + channel % atoms] = sum;
    }
  return squash(capsules, atoms, exponential);
}

// One pass: a vote's weight is its agreement with the sum of all votes, plus a learnt bias [classes, inputs].
function attended(votes, { bias, classes, atoms }, scale) {
  const inputs = votes.primary.length, total = weightedSum(votes, new Float32Array(inputs * classes).fill(1));
  const shares = softmaxes(agreementOf(votes, total).map((value) => value * scale / Math.sqrt(atoms)), classes);
  const couplings = shares.map((share, i) => share + bias[i % classes * inputs + Math.floor(i / classes)]);
  const capsules = squash(weightedSum(votes, couplings), atoms, exponential);
  addStep(votes, couplings, capsules, null);
  return capsules;
}

// Efficient-CapsNet's answer to an image.
export function runEfficient(network, image, scale) {
  let hidden = image;
  for (const layer of network.convolutions) {
    hidden = convolve(hidden, layer);
    const { channels, data } = hidden, { factor, offset } = layer; // of the normalisation, by channel
    data.forEach((value, place) => {
      data[place] = value * factor[place % channels] + offset[place % channels];
    });
  }
  const votes = votesOf(depthwiseCapsules(hidden, network.primary), network.primary.atoms, network.classes);
  const capsules = attended(votes, network.classes, scale), { classes, atoms } = network.classes;
  const scoreOf = (label) => Math.sqrt(lengthOf(capsules, label * atoms, atoms) ** 2 + 1e-7);
  return answerOf(Array.from({ length: classes }, (_, label) => scoreOf(label)), capsules, votes);
}
