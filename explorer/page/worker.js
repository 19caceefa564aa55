// The network, in a worker so that the page keeps following the pen. The first message is the exported file's content,
// each further one is { id, question, given }; the worker answers { id, answer } or { id, error }.

import { runEfficient } from "./efficient.js";
import { decode, runCapsules, runConvolutions } from "./network.js";
import { pictureOf, prepareDigit, prepareFramed } from "./upload.js";

let content, network, compared, images;

const RUNS = { capsules: runCapsules, convolutions: runConvolutions, efficient: runEfficient };
const run = (each, image, scale) => RUNS[each.kind](each, image, scale);
const draw = (label, capsule) => decode(network, label, capsule);
const KINDS = { float16: Uint16Array, float32: Float32Array, uint8: Uint8Array };

function unpack(text, kind) {
  const letters = atob(text), bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  return new KINDS[kind](bytes.buffer);
}

// The numbers whose bits as float16 are in a Uint16Array; none of them is infinite.
function fromHalves(halves) {
  const values = Float32Array.from({ length: 2 ** 16 }, (_, bits) => {
    const exponent = (bits >> 10) & 31, fraction = (bits & 1023) / 1024;
    const size = exponent ? (1 + fraction) * 2 ** (exponent - 15) : fraction * 2 ** -14;
    return bits >> 15 ? -size : size;
  });
  const numbers = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i++) numbers[i] = values[halves[i]];
  return numbers;
}

// The description of a network with its weights: each { kind, start, count } becomes a part of an array.
function withWeights(description, weights) {
  if (description === null || typeof description !== "object") return description;
  if (Array.isArray(description)) return description.map((each) => withWeights(each, weights));
  if ("start" in description) {
    const { kind, start, count } = description;
    return weights[kind].subarray(start, start + count);
  }
  return Object.fromEntries(Object.entries(description).map(([name, each]) => [name, withWeights(each, weights)]));
}

const asImage = (data) => ({ rows: content.facts.rows, columns: content.facts.columns, channels: content.facts.depth, data });

// An image as the page paints it; values outside [0, 1], as in standardised images, are rescaled to fit.
function picture({ rows, columns, channels, data }) {
  let low = Infinity, high = -Infinity;
  for (const value of data) { low = Math.min(low, value); high = Math.max(high, value); }
  const [zero, range] = low < -1e-3 || high > 1 + 1e-3 ? [low, Math.max(high - low, 1e-6)] : [0, 1];
  const depth = channels >= 3 ? 3 : 1, pixels = new Array(rows * columns * depth);
  for (let i = 0; i < pixels.length; i++) {
    const value = data[Math.floor(i / depth) * channels + i % depth];
    pixels[i] = Math.round(255 * Math.min(1, Math.max(0, (value - zero) / range)));
  }
  return { rows, columns, depth, pixels };
}

// What the network makes of an image. `sharpness` multiplies the agreements of the routing; null: as it was trained.
function look(data, facts, sharpness = null) {
  const image = asImage(data), { scores, ...inside } = run(network, image, sharpness ?? content.facts.sharpness);
  const labels = [...scores.keys()].sort((a, b) => scores[b] - scores[a] || a - b);
  const chosen = labels.slice(0, content.facts.targets);
  const drawn = network.decoder ? chosen.map((label) => picture(draw(label, Float32Array.from(inside.capsules[label])))) : [];
  const other = compared ? { compared: [...run(compared, image, content.compared.classes?.scale).scores] } : {};
  return { ...facts, scores: [...scores], ...inside, chosen, drawn, ...other, input: picture(image), image: [...data] };
}

const questions = {
  example(index, second) {
    const { targets, rows, columns, depth, examples } = content.facts, size = rows * columns * depth;
    const numbers = targets === 2 ? [index, second ?? index] : [index];
    if (numbers.some((number) => !Number.isInteger(number) || number < 0 || number >= examples))
      throw new Error(`Examples are numbered 0 to ${examples - 1}. Received: ${Math.max(...numbers)}.`);
    const scale = content.kind === "uint8" ? Math.fround(1 / content.unit) : 1, data = new Float32Array(size);
    numbers.forEach((number, place) => {
      const start = (number * targets + place) * size;
      for (let i = 0; i < size; i++) data[i] += images[start + i] * scale;
    });
    const labels = numbers.map((number, place) => content.labels[number][place]);
    return look(targets === 2 ? data.map((value) => Math.min(1, value)) : data, { labels, notes: [] });
  },
  wrong(after) {
    return { index: content.wrong.find((index) => index > after) ?? content.wrong[0] ?? null };
  },
  picture(rgba) {
    const { rows, columns, depth, targets, preparation } = content.facts, { unit } = content;
    const { image, notes } = preparation === "digits" ? prepareDigit(rgba, rows, columns, unit, targets)
      : prepareFramed(rgba, rows, columns, depth, unit, preparation === "resized");
    return look(image, { notes });
  },
  drawing(strokes) {
    const { notes, ...answer } = questions.picture(pictureOf(strokes, content.facts.targets)), fitted = notes.pop();
    return { ...answer, notes: [...notes, fitted.replace(/^cut from [\dx]+ to its ink/, "fitted like MNIST's digits")] };
  },
  pixels: (pixels, sharpness) => look(Float32Array.from(pixels), { notes: [] }, sharpness),
  capsule: (label, capsule) => ({ drawn: picture(draw(label, Float32Array.from(capsule))) }),
  // What the decoder draws with each number of a capsule at either end of its slider.
  ends: (label, capsule, reach) => capsule.map((_, index) => [-reach, reach].map((end) =>
    picture(draw(label, Float32Array.from(capsule, (value, each) => (each === index ? end : value)))))),
};

function receive({ data }) {
  if (!content) {
    content = data;
    const { float16, float32 } = content.weights;
    const weights = { float16: fromHalves(unpack(float16, "float16")), float32: unpack(float32, "float32") };
    [network, compared] = [content.network, content.compared].map((each) => withWeights(each, weights));
    images = unpack(content.images, content.kind);
    return;
  }
  try {
    postMessage({ id: data.id, answer: questions[data.question](...data.given) });
  } catch (error) {
    postMessage({ id: data.id, error: error.message });
  }
}

addEventListener("message", receive);
