// Runs Efficient-CapsNet: its convolutions, depthwise primary capsules and self-attention routing.

import { agreementOf, asLists, convolve, lengthOf, lengthsOf, rectify, softmaxes, squash, stepOf, votesOf } from "./network.js";

const exponential = (norm) => (norm === 0 ? 0 : (1 - Math.exp(-norm)) / norm); // the factor of this network's squash

// Capsules [types, rows, columns, atoms] of a feature map whose channels are types · atoms: each atom sees one channel.
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

// One pass: a vote's weight is its agreement with the sum of all votes, plus a learned bias [classes, inputs].
function attended(primary, primaryAtoms, { kernel, bias, classes, atoms }, scale) {
  const width = classes * atoms, votes = votesOf(primary, primaryAtoms, kernel, width), inputs = votes.length / width;
  const total = new Float32Array(width), capsules = new Float32Array(width);
  votes.forEach((value, place) => { total[place % width] += value; });
  const logits = agreementOf(votes, total, atoms).map((value) => value * scale / Math.sqrt(atoms));
  const shares = softmaxes(logits, classes).map((share, i) => share + bias[i % classes * inputs + Math.floor(i / classes)]);
  votes.forEach((value, place) => { capsules[place % width] += shares[Math.floor(place / atoms)] * value; });
  squash(capsules, atoms, exponential);
  const about = { lengths: lengthsOf(votes, atoms), primary: lengthsOf(primary, primaryAtoms) };
  about.steps = [stepOf(about, shares, agreementOf(votes, capsules, atoms), capsules, null, classes, atoms)];
  return { capsules, votes: about };
}

// The scores [classes] of an image, and its capsules.
export function runEfficient(network, image, scale) {
  let hidden = image;
  for (const layer of network.convolutions) {
    hidden = convolve(hidden, layer);
    rectify(hidden.data);
    const { channels, data } = hidden, { factor, offset } = layer; // of the normalisation, by channel
    data.forEach((value, place) => {
      data[place] = value * factor[place % channels] + offset[place % channels];
    });
  }
  const { classes, atoms } = network.classes;
  const primary = depthwiseCapsules(hidden, network.primary);
  const { capsules, votes } = attended(primary, network.primary.atoms, network.classes, scale);
  const scores = Array.from({ length: classes }, (_, label) => Math.sqrt(lengthOf(capsules, label * atoms, atoms) ** 2 + 1e-7));
  return { scores, capsules: asLists(capsules, classes, atoms), votes };
}
