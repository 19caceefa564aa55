// Pictures come from the worker as { rows, columns, depth, pixels } with pixels 0 to 255.

import { make } from "./tools.js";

const COLOURS = [[255, 136, 0], [0, 119, 255]]; // of the two digits of a pair; they add up to white

function paint(canvas, { rows, columns }, colour) {
  Object.assign(canvas, { width: columns, height: rows });
  const context = canvas.getContext("2d"), image = context.createImageData(columns, rows);
  for (let i = 0; i < rows * columns; i++) image.data.set([...colour(i), 255], 4 * i);
  context.putImageData(image, 0, 0);
}

export function paintPicture(canvas, picture) {
  const { depth, pixels } = picture;
  paint(canvas, picture, (i) => (depth === 1 ? [pixels[i], pixels[i], pixels[i]] : pixels.slice(3 * i, 3 * i + 3)));
}

// Each digit in its colour over the input in grey.
export function paintPair(canvas, size, input, pictures) {
  paint(canvas, size, (i) => [0, 1, 2].map((part) => {
    const digits = pictures.map((picture, index) => (picture ? picture.pixels[i] / 255 * COLOURS[index][part] : 0));
    return Math.min(255, digits.reduce((a, b) => a + b, input ? 0.35 * input.pixels[i] : 0));
  }));
}

// A square for each position in the grid of primary capsules, over the input: orange above `equal`, up to `high` more,
// blue below it, down to `low` less.
export function paintMap(canvas, { first, step }, input, map, equal, low, high) {
  const scale = 10, small = make("canvas"), context = canvas.getContext("2d");
  paintPicture(small, input);
  Object.assign(canvas, { width: input.columns * scale, height: input.rows * scale });
  Object.assign(context, { imageSmoothingEnabled: false, filter: "brightness(0.55)" }); // the squares stand out
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
  context.filter = "none";
  map.forEach((row, y) => row.forEach((value, x) => {
    const share = (value - equal) / (value > equal ? high : low);
    context.fillStyle = share > 0 ? `rgb(255 136 0 / ${0.95 * share})` : `rgb(47 125 255 / ${-0.95 * share})`;
    const [left, top] = [x, y].map((cell) => (first + step * cell + 0.5 - step / 2) * scale);
    context.fillRect(left, top, step * scale, step * scale);
  }));
}
