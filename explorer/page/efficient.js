// Runs Efficient-CapsNet: its convolutions, depthwise primary capsules and self-attention routing.

import {
  addStep, agreementOf, answerOf, convolve, lengthOf, softmaxes, squash, votesOf, weightedSum,
} from "./network.js";

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
