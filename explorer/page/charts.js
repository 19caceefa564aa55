// Small charts in SVG, in the page's colours. They are as wide as their place, so that their text has the page's size.

import { explain, makeSvg, rem } from "./tools.js";

function frame(place, label, how, low, high, from, to, marks) {
  const unit = rem(), width = Math.max(place.clientWidth, 8 * unit), height = Math.min(11 * unit, 0.7 * width);
  const left = 2.6 * unit, right = width - 1.2 * unit, top = 0.6 * unit, bottom = height - 1.6 * unit;
  const x = (value) => left + (right - left) * (to === from ? 0.5 : (value - from) / (to - from));
  const y = (value) => bottom - (bottom - top) * (value - low) / (high - low);
  const chart = explain(makeSvg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label }), how);
  for (const value of [low, (low + high) / 2, high]) chart.append(
    makeSvg("line", { class: "rule", x1: left, x2: right, y1: y(value), y2: y(value) }),
    makeSvg("text", { x: left - 0.3 * unit, y: y(value) + 0.3 * unit, "text-anchor": "end" }, value.toFixed(high - low > 0.5 ? 1 : 2)));
  for (const [value, text] of marks)
    chart.append(makeSvg("text", { x: x(value), y: height - 0.4 * unit, "text-anchor": "middle" }, text));
  place.replaceChildren(chart);
  return { chart, x, y, top, bottom, wide: right - left };
}

// Lines { className, points: [[x, y], …] } above marks [x, text], with a vertical line at `at`.
export function lineChart(place, label, how, lines, marks, at) {
  const places = marks.map(([value]) => value);
  const { chart, x, y, top, bottom } = frame(place, label, how, 0, 1, Math.min(...places), Math.max(...places), marks);
  if (at !== undefined) chart.append(makeSvg("line", { class: "at", x1: x(at), x2: x(at), y1: top, y2: bottom }));
  for (const { className, points } of lines) {
    chart.append(makeSvg("polyline", { class: className, points: points.map(([a, b]) => `${x(a)},${y(b)}`).join(" ") }));
    for (const [a, b] of points) chart.append(makeSvg("circle", { class: className, cx: x(a), cy: y(b), r: 2.5 }));
  }
}

// A bar for each value, up or down from 0, with a mark at its earlier value.
export function barChart(place, label, how, values, before) {
  const reach = Math.max(0.25, Math.ceil(20 * Math.max(...[...values, ...before].map(Math.abs))) / 20);
  const marks = values.map((_, index) => [index, index % 3 ? "" : index + 1]); // every third has room
  const { chart, x, y, wide } = frame(place, label, how, -reach, reach, -0.5, values.length - 0.5, marks), step = wide / values.length;
  values.forEach((value, index) => chart.append(
    makeSvg("rect", { class: "now", x: x(index) - 0.32 * step, width: 0.64 * step, y: Math.min(y(0), y(value)), height: Math.abs(y(value) - y(0)) }),
    makeSvg("line", { class: "before", x1: x(index) - 0.42 * step, x2: x(index) + 0.42 * step, y1: y(before[index]), y2: y(before[index]) })));
}
