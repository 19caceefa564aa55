// The card for the routing: where each iteration looks, where the votes agree, and how the class capsules grow.

import { lineChart } from "./charts.js";
import { paintMap } from "./pictures.js";
import { focus, name, state } from "./state.js";
import { el, make } from "./tools.js";

let step = Infinity, timer = 0; // the iteration that is shown, counted from 0

export function buildRouting() {
  const { routing } = state.network;
  el("routing").hidden = !routing;
  if (!routing) return;
  el("routing-about").textContent = "Each primary capsule votes for every class, and gives more weight to the classes where " +
    "the other votes agree with its own. First row: orange is more than an equal share, blue is less. Second row: orange is " +
    `agreement, blue disagreement. A square marks the centre of the ${routing.sees}×${routing.sees} pixels that its capsules see.`;
  const go = (change) => { clearInterval(timer); step = Math.min(Math.max(shown() + change, 0), last()); paintRouting(); };
  el("step-back").addEventListener("click", () => go(-1));
  el("step-on").addEventListener("click", () => go(1));
  el("play").addEventListener("click", () => {
    clearInterval(timer);
    step = 0;
    paintRouting();
    timer = setInterval(() => {
      step = shown() + 1;
      if (step >= last()) clearInterval(timer);
      paintRouting();
    }, 1200);
  });
}

const last = () => state.seen.coupling.length - 1;
const shown = () => Math.min(step, last());

export function paintRouting() {
  const { network, seen } = state;
  if (!network.routing) return;
  el("routing").hidden = !seen;
  if (!seen) return;
  const label = focus(), lengths = seen.lengths.map((each) => each[label]), now = shown();
  const coupling = seen.coupling.map((each) => each[label]), agreement = seen.agreement.map((each) => each[label]);
  const equal = coupling[0][0][0], farthest = (maps, from) => Math.max(0.001, ...maps.flat(2).map((x) => Math.abs(x - from)));
  const reach = farthest(coupling, equal), strongest = farthest(agreement, 0);
  el("routing-title").textContent = `Where the routing to ${name(label)} looks`;
  el("step-name").textContent = `Iteration ${now + 1} of ${last() + 1}`;
  el("step-back").disabled = now === 0;
  el("step-on").disabled = now === last();
  el("step-story").textContent = now === 0
    ? `At first every class gets an equal share of ${equal.toFixed(2)} of each vote. The votes for ${name(label)} add up to a capsule of length ${lengths[0].toFixed(2)}.`
    : `${name(label)} now gets a larger share of the votes that agreed with its capsule. Its length goes from ${lengths[now - 1].toFixed(2)} to ${lengths[now].toFixed(2)}.`;
  el("maps").replaceChildren(...coupling.map((map, index) => {
    const canvas = (what) => make("canvas", { role: "img", ariaLabel: `${what} in iteration ${index + 1}` });
    const [where, agreed] = [canvas("Coupling coefficients"), canvas("Agreement of the votes")];
    paintMap(where, network.routing, seen.input, map, equal, reach);
    paintMap(agreed, network.routing, seen.input, agreement[index], 0, strongest);
    const caption = make("figcaption", { textContent: `iteration ${index + 1}` });
    return make("figure", { className: index > now ? "later" : "" }, where, agreed, caption);
  }));
  const lines = network.classes.map((_, each) => ({
    className: each === label ? "ours" : "others",
    points: seen.lengths.slice(0, now + 1).map((values, index) => [index + 1, values[each]]),
  })).sort((a, b) => (a.className < b.className ? -1 : 1));
  const marks = lengths.map((_, index) => [index + 1, index + 1]);
  const spoken = lengths.slice(0, now + 1).map((value) => value.toFixed(2)).join(", ");
  el("growth").replaceChildren(lineChart(`The length of ${name(label)} after each iteration: ${spoken}`, lines.reverse(), marks, undefined, 190));
  el("scale-low").textContent = (equal - reach).toFixed(3);
  el("scale-high").textContent = (equal + reach).toFixed(3);
}
