// A small line chart in SVG, in the page's colours. It is as wide as its place, so that its text has the page's size.

import { explain, makeSvg, rem } from "./tools.js";

// Draws lines { className, points: [[x, y from 0 to 1], …] } above marks [x, text], and a vertical line at `at`.
// `label` says to screen readers what the chart shows, and `how` how its numbers are computed.
export function lineChart(place, label, how, lines, marks, at) {
  const unit = rem(), width = Math.max(place.clientWidth, 8 * unit), height = Math.min(11 * unit, 0.7 * width);
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
