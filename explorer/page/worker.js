// The network, in a worker so that the page keeps following the pen. The first message is the exported file's content,
// each further one is { question, given } with a port, which gets { answer } or { error }.

import { decode, runCapsules, runEfficient } from "./network.js";
import { pictureOf, prepareDigit, prepareFramed } from "./upload.js";

const RUNS = { capsules: runCapsules, efficient: runEfficient };
const KINDS = { float16: globalThis.Float16Array, float32: Float32Array, uint8: Uint8Array };
let content, network, images;

const unpack = (text, kind) => new KINDS[kind](Uint8Array.fromBase64(text).buffer);

// An image as the page paints it; values outside [0, 1], as in standardised images, are rescaled to fit.
function picture({ rows, columns, channels, data }) {
  const [low, high] = [Math.min, Math.max].map((pick) => data.reduce((a, b) => pick(a, b)));
  const [zero, range] = low < -1e-3 || high > 1 + 1e-3 ? [low, Math.max(high - low, 1e-6)] : [0, 1];
  const depth = channels >= 3 ? 3 : 1, pixels = new Array(rows * columns * depth);
  for (let i = 0; i < pixels.length; i++) {
    const value = data[Math.floor(i / depth) * channels + i % depth];
    pixels[i] = Math.round(255 * Math.min(1, Math.max(0, (value - zero) / range)));
  }
  return { rows, columns, depth, pixels };
}

const drawn = (label, capsule) => picture(decode(network, label, Float32Array.from(capsule)));

// What the network makes of an image. `sharpness` multiplies the agreements of the routing; null: as it was trained.
function look(data, facts, sharpness = null) {
  const { rows, columns, depth, targets, sharpness: trained } = content.facts;
  const image = { rows, columns, channels: depth, data };
  const inside = RUNS[network.kind](network, image, sharpness ?? trained), { scores, capsules } = inside;
  const labels = [...scores.keys()].sort((a, b) => scores[b] - scores[a] || a - b), chosen = labels.slice(0, targets);
  const drawings = network.decoder ? chosen.map((label) => drawn(label, capsules[label])) : [];
  return { ...facts, ...inside, chosen, drawn: drawings, input: picture(image), image: data };
}

const questions = {
  example(index) {
    const { rows, columns, depth, examples } = content.facts, size = rows * columns * depth;
    if (!Number.isInteger(index) || index < 0 || index >= examples)
      throw new Error(`Examples are numbered 0 to ${examples - 1}. Received: ${index}.`);
    const scale = content.kind === "uint8" ? Math.fround(1 / content.unit) : 1;
    const data = Float32Array.from(images.subarray(index * size, (index + 1) * size), (value) => value * scale);
    return look(data, { labels: content.labels[index], notes: [] });
  },
  picture(rgba) {
    const { rows, columns, depth, targets, preparation } = content.facts, { unit } = content;
    const { image, notes } = preparation === "digits" ? prepareDigit(rgba, rows, columns, unit, targets)
      : prepareFramed(rgba, rows, columns, depth, unit, preparation === "resized");
    return look(image, { notes });
  },
  drawing(strokes) {
    const { notes, ...answer } = questions.picture(pictureOf(strokes, content.facts.targets));
    return { ...answer, notes: [...notes.slice(0, -1), "fitted like MNIST's digits and centred"] };
  },
  pixels: (pixels, sharpness) => look(Float32Array.from(pixels), { notes: [] }, sharpness),
  draw: (label, capsules) => capsules.map((capsule) => drawn(label, capsule)),
};

addEventListener("message", ({ data, ports: [port] }) => {
  if (!content) {
    content = data;
    const { float16, float32 } = content.weights;
    const weights = { float16: Float32Array.from(unpack(float16, "float16")), float32: unpack(float32, "float32") };
    network = JSON.parse(content.network, (_, value) => // each { kind, start, count } becomes a part of an array
      (value?.kind in weights ? weights[value.kind].subarray(value.start, value.start + value.count) : value));
    images = unpack(content.images, content.kind);
    return;
  }
  try {
    port.postMessage({ answer: questions[data.question](...data.given) });
  } catch (error) {
    port.postMessage({ error: error.message });
  }
});
