// The card for the routing: where each iteration looks, where the votes agree, and how the class capsules grow.

import { lineChart } from "./charts.js";
import { paintMap } from "./pictures.js";
import { focus, name, shownStep, state } from "./state.js";
import { el, explain, make } from "./tools.js";

export function buildRouting() {
  const { routing } = state.network;
  el("routing").hidden = !routing;
  if (!routing) return;
  el("routing-about").textContent = "Each primary capsule votes for every class, and gives more weight to the classes where " +
    "the other votes agree with its own. First row: orange is more than an equal share, blue is less. Second row: orange is " +
    `agreement, blue disagreement. A square marks the centre of the ${routing.sees}×${routing.sees} pixels that its capsules see.`;
  explain(el("step-story"), "An equal share is 1 divided by the number of classes. A length is that of the squashed sum of the weighted votes.");
  for (const id of ["scale-low", "scale-equal", "scale-high"])
    explain(el(id), "A share of the votes: the mean over the capsule types at a place, weighted by the lengths of their capsules.");
}

// The mean of values [inputs, classes] for a class at each place of the grid, weighted by the primary capsules' lengths.
export function onGrid({ rows, columns, primary }, values, label, classes) {
  const sums = new Float64Array(rows * columns), weights = new Float64Array(rows * columns);
  primary.forEach((length, i) => {
    weights[i % sums.length] += length;
    sums[i % sums.length] += length * values[i * classes + label];
  });
  return Array.from({ length: rows }, (_, row) => Array.from({ length: columns }, (_, column) =>
    sums[row * columns + column] / Math.max(weights[row * columns + column], 1e-9)));
}

export function paintRouting() {
  const { network, seen } = state;
  if (!network.routing) return;
  el("routing").hidden = !seen;
  if (!seen) return;
  const label = focus(), { votes } = seen, classes = network.classes.length, now = shownStep();
  const lengths = votes.steps.map((step) => step.lengths[label]);
  const [coupling, agreement] = ["coupling", "agreement"].map((what) => votes.steps.map((step) => onGrid(votes, step[what], label, classes)));
  const equal = coupling[0][0][0], farthest = (maps, from) => Math.max(0.001, ...maps.flat(2).map((x) => Math.abs(x - from)));
  const reach = farthest(coupling, equal), low = Math.min(reach, equal), strongest = farthest(agreement, 0); // no share is below 0
  el("routing-title").textContent = `Where the routing to ${name(label)} looks`;
  el("step-story").textContent = now === 0
    ? `At first every class gets an equal share of ${equal.toFixed(2)} of each vote. The votes for ${name(label)} add up to a capsule of length ${lengths[0].toFixed(2)}.`
    : `Iteration ${now + 1}: the votes that agreed with the capsule of ${name(label)} count more for it. Its length goes from ${lengths[now - 1].toFixed(2)} to ${lengths[now].toFixed(2)}.`;
  el("maps").replaceChildren(...coupling.map((map, index) => {
    const canvas = (what) => make("canvas", { role: "img", ariaLabel: `${what} in iteration ${index + 1}` });
    const [where, agreed] = [canvas("Coupling coefficients"), canvas("Agreement of the votes")];
    paintMap(where, network.routing, seen.input, map, equal, low, reach);
    paintMap(agreed, network.routing, seen.input, agreement[index], 0, strongest, strongest);
    const caption = make("figcaption", { textContent: `iteration ${index + 1}` });
    return make("figure", { className: index > now ? "later" : "" }, where, agreed, caption);
  }));
  const lines = network.classes.map((_, each) => ({
    className: each === label ? "ours" : "others",
    points: votes.steps.slice(0, now + 1).map((step, index) => [index + 1, step.lengths[each]]),
  })).sort((a, b) => (a.className < b.className ? 1 : -1));
  const marks = lengths.map((_, index) => [index + 1, index + 1]);
  const spoken = lengths.slice(0, now + 1).map((value) => value.toFixed(2)).join(", ");
  lineChart(el("growth"), `The length of ${name(label)} after each iteration: ${spoken}`,
    "In each iteration, the votes are weighted with the couplings, added up and squashed.", lines, marks);
  el("scale-low").textContent = (equal - low).toFixed(3);
  el("scale-equal").textContent = `equal share ${equal.toFixed(3)}`;
  el("scale-high").textContent = (equal + reach).toFixed(3);
}
