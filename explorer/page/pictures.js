// Paints pictures and charts. Pictures come from the worker as { rows, columns, depth, pixels } with pixels 0 to 255.

import { explain, make, makeSvg } from "./tools.js";

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
// blue below it, down to `low` less. `map`: a value for each position, of so many columns.
export function paintMap(canvas, { first, step }, input, map, columns, equal, low, high) {
  const scale = 10, small = make("canvas"), context = canvas.getContext("2d");
  paintPicture(small, input);
  Object.assign(canvas, { width: input.columns * scale, height: input.rows * scale });
  Object.assign(context, { imageSmoothingEnabled: false, filter: "brightness(0.55)" }); // the squares stand out
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
  context.filter = "none";
  map.forEach((value, place) => {
    const share = (value - equal) / (value > equal ? high : low);
    context.fillStyle = share > 0 ? `rgb(255 136 0 / ${0.95 * share})` : `rgb(47 125 255 / ${-0.95 * share})`;
    const [left, top] = [place % columns, Math.floor(place / columns)]
      .map((cell) => (first + step * cell + 0.5 - step / 2) * scale);
    context.fillRect(left, top, step * scale, step * scale);
  });
}

// Draws lines { className, points: [[x, y from 0 to 1], …] } above marks [x, text], and a vertical line at `at`, in a
// chart as wide as its place, so that its text has the page's size. `label` says to screen readers what it shows, and
// `how` how its numbers are computed.
export function lineChart(place, label, how, lines, marks, at) {
  const unit = parseFloat(getComputedStyle(document.documentElement).fontSize); // a rem
  const width = Math.max(place.clientWidth, 8 * unit), height = Math.min(11 * unit, 0.7 * width);
  const left = 2.6 * unit, right = width - 1.2 * unit, top = 0.6 * unit, bottom = height - 1.6 * unit;
  const from = marks[0][0], to = marks.at(-1)[0], y = (value) => bottom - (bottom - top) * value;
  const x = (value) => left + (right - left) * (to === from ? 0.5 : (value - from) / (to - from));
  const size = { viewBox: `0 0 ${width} ${height}`, width, height };
  const chart = explain(makeSvg("svg", { ...size, role: "img", "aria-label": label }), how);
  for (const value of [0, 0.5, 1]) chart.append(
    makeSvg("line", { class: "rule", x1: left, x2: right, y1: y(value), y2: y(value) }),
    makeSvg("text", { x: left - 0.3 * unit, y: y(value) + 0.3 * unit, "text-anchor": "end" }, value.toFixed(1)));
  for (const [value, text] of marks)
    chart.append(makeSvg("text", { x: x(value), y: height - 0.4 * unit, "text-anchor": "middle" }, text));
  if (at !== undefined) chart.append(makeSvg("line", { class: "at", x1: x(at), x2: x(at), y1: top, y2: bottom }));
  for (const { className, points } of lines) {
    const corners = points.map(([a, b]) => `${x(a)},${y(b)}`).join(" ");
    chart.append(makeSvg("polyline", { class: className, points: corners }));
    for (const [a, b] of points) chart.append(makeSvg("circle", { class: className, cx: x(a), cy: y(b), r: 2.5 }));
  }
  place.replaceChildren(chart);
}
