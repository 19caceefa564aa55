// Small charts in SVG, in the page's colours.

import { makeSvg } from "./tools.js";

const HEIGHT = 170, LEFT = 42, BOTTOM = 24, TOP = 8, RIGHT = 12; // in SVG units, in which letters are 13 high

function frame(label, width, low, high, from, to, marks) {
  const x = (value) => LEFT + (width - LEFT - RIGHT) * (to === from ? 0.5 : (value - from) / (to - from));
  const y = (value) => HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * (value - low) / (high - low);
  const chart = makeSvg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": label });
  for (const value of [low, (low + high) / 2, high]) chart.append(
    makeSvg("line", { class: "rule", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }),
    makeSvg("text", { x: LEFT - 5, y: y(value) + 4, "text-anchor": "end" }, value.toFixed(high - low > 0.5 ? 1 : 2)));
  for (const [value, text] of marks)
    chart.append(makeSvg("text", { x: x(value), y: HEIGHT - 7, "text-anchor": "middle" }, text));
  return { chart, x, y };
}

// Lines { className, points: [[x, y], …] } above marks [x, text], with a vertical line at `at`.
export function lineChart(label, lines, marks, at, width = 260) {
  const places = marks.map(([value]) => value);
  const { chart, x, y } = frame(label, width, 0, 1, Math.min(...places), Math.max(...places), marks);
  if (at !== undefined) chart.append(makeSvg("line", { class: "at", x1: x(at), x2: x(at), y1: TOP, y2: HEIGHT - BOTTOM }));
  for (const { className, points } of lines) {
    chart.append(makeSvg("polyline", { class: className, points: points.map(([a, b]) => `${x(a)},${y(b)}`).join(" ") }));
    for (const [a, b] of points) chart.append(makeSvg("circle", { class: className, cx: x(a), cy: y(b), r: 2.5 }));
  }
  return chart;
}

// A bar for each value, up or down from 0, with a mark at its earlier value.
export function barChart(label, values, before) {
  const reach = Math.max(0.25, Math.ceil(20 * Math.max(...[...values, ...before].map(Math.abs))) / 20);
  const width = 260, marks = values.map((_, index) => [index, index % 2 ? "" : index + 1]); // every second has room
  const { chart, x, y } = frame(label, width, -reach, reach, -0.5, values.length - 0.5, marks);
  const step = (width - LEFT - RIGHT) / values.length;
  values.forEach((value, index) => chart.append(
    makeSvg("rect", { class: "now", x: x(index) - 0.32 * step, width: 0.64 * step, y: Math.min(y(0), y(value)),
      height: Math.abs(y(value) - y(0)) }),
    makeSvg("line", { class: "before", x1: x(index) - 0.42 * step, x2: x(index) + 0.42 * step, y1: y(before[index]),
      y2: y(before[index]) })));
  return chart;
}
