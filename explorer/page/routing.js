// The card for the routing: where each iteration looks, where the votes agree, and how the class capsules grow.

import { lineChart, paintMap } from "./pictures.js";
import { focus, name, network, shownStep, state } from "./state.js";
import { el, make } from "./tools.js";

// The mean of values [inputs, classes] for a class at each place of the grid, weighted by the capsules' lengths.
function onGrid({ rows, columns, primary }, values, label) {
  const sums = new Float64Array(rows * columns), weights = new Float64Array(rows * columns);
  primary.forEach((length, i) => {
    weights[i % sums.length] += length;
    sums[i % sums.length] += length * values[i * network.classes.length + label];
  });
  return Array.from(sums, (sum, place) => sum / Math.max(weights[place], 1e-9));
}

export function paintRouting() {
  const { seen } = state;
  el("routing").hidden = !network.routing || !seen;
  if (el("routing").hidden) return;
  const { votes } = seen, label = focus(), now = shownStep(), lengths = votes.steps.map((step) => step.lengths[label]);
  const mapsOf = (what) => votes.steps.map((step) => onGrid(votes, step[what], label));
  const couplings = mapsOf("coupling"), agreements = mapsOf("agreement"), equal = couplings[0][0];
  const farthest = (maps, from) => Math.max(0.001, ...maps.flat().map((value) => Math.abs(value - from)));
  const high = farthest(couplings, equal), low = Math.min(high, equal); // no share is below 0
  const strongest = farthest(agreements, 0);
  el("routing-title").textContent = `Where the routing to ${name(label)} looks`;
  el("step-story").textContent = now === 0
    ? `At first every class gets an equal share of ${equal.toFixed(2)} of each vote. The votes for ${name(label)} ` +
      `add up to a capsule of length ${lengths[0].toFixed(2)}.`
    : `Iteration ${now + 1}: the votes that agreed with the capsule of ${name(label)} count more for it. Its length ` +
      `goes from ${lengths[now - 1].toFixed(2)} to ${lengths[now].toFixed(2)}.`;
  el("maps").replaceChildren(...couplings.map((map, index) => {
    const canvas = (what) => make("canvas", { role: "img", ariaLabel: `${what} in iteration ${index + 1}` });
    const coupling = canvas("Coupling coefficients"), agreement = canvas("Agreement of the votes");
    paintMap(coupling, network.routing, seen.input, map, votes.columns, equal, low, high);
    paintMap(agreement, network.routing, seen.input, agreements[index], votes.columns, 0, strongest, strongest);
    const caption = make("figcaption", { textContent: `iteration ${index + 1}` });
    return make("figure", { className: index > now ? "later" : "" }, coupling, agreement, caption);
  }));
  const lines = network.classes.map((_, each) => ({
    className: each === label ? "ours" : "others",
    points: votes.steps.slice(0, now + 1).map((step, index) => [index + 1, step.lengths[each]]),
  }));
  lines.push(...lines.splice(label, 1)); // above the others
  const spoken = lengths.slice(0, now + 1).map((value) => value.toFixed(2)).join(", ");
  lineChart(el("growth"), `The length of ${name(label)} after each iteration: ${spoken}`,
    "In each iteration, the votes are weighted with the couplings, added up and squashed.", lines,
    lengths.map((_, index) => [index + 1, index + 1]));
  el("scale-low").textContent = (equal - low).toFixed(3);
  el("scale-equal").textContent = `equal share ${equal.toFixed(3)}`;
  el("scale-high").textContent = (equal + high).toFixed(3);
}
