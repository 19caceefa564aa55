// The card of the votes for a class: which parts push towards its capsule, which away, and what is left of them.

import { focus, lastStep, name, network, shownStep, state } from "./state.js";
import { el, explain, make, makeSlider, setSlider } from "./tools.js";

export const MOST_SHARP = 50;
let slider = null;

export function buildVotes(paint, change) {
  el("step").addEventListener("input", () => { state.step = Number(el("step").value) - 1; paint(); });
  slider = makeSlider("Sharpness", "Sharpness of the routing", { low: 0, high: MOST_SHARP, step: 0.1, wide: true },
    "Every agreement is multiplied by this number before the softmax that shares out a part's votes. 0: every class " +
    "gets the same share. 50: most goes where a vote agrees. The mark is the value that the network was trained with.",
    (sharpness) => { state.sharpness = sharpness; change(); });
  slider.ends.forEach(paintShares);
  el("sharpness").append(slider.row);
  new ResizeObserver(paintVotes).observe(el("arrows"));
}

function paintShares(canvas, end) { // the picture at an end of the slider: equal shares, or all for one class
  Object.assign(canvas, { width: 40, height: 40 });
  const context = canvas.getContext("2d");
  context.fillStyle = "#ff8800";
  for (let bar = 0; bar < 5; bar++) {
    const height = end ? (bar === 2 ? 36 : 1) : 10;
    context.fillRect(2 + 7.5 * bar, 38 - height, 6, height);
  }
}

// An arrow for each vote: its angle from the capsule's direction, its length by the vote's, its width by the coupling.
function paintArrows(canvas, votes, step, label, cosines) {
  const density = window.devicePixelRatio, width = canvas.clientWidth, height = canvas.clientHeight;
  Object.assign(canvas, { width: width * density, height: height * density });
  const context = canvas.getContext("2d"), [towards, away] = // in the colours of the page's theme
    [...el("push-bars").children].map((bar) => getComputedStyle(bar).backgroundColor);
  const classes = network.classes.length, arrows = cosines.map((cosine, i) => {
    const length = votes.lengths[i * classes + label], coupling = step.coupling[i * classes + label];
    return {
      x: length * cosine, y: length * Math.sqrt(1 - cosine * cosine) * (i % 2 ? 1 : -1),
      thick: Math.min(5, 0.15 + Math.abs(coupling) * classes), // 1 for an equal share
      paint: cosine * coupling < 0 ? away : towards,
    };
  });
  const farthest = (key) => Math.max(1e-9, ...arrows.map((each) => Math.abs(each[key])));
  const scale = Math.min((width / 2 - 8) / farthest("x"), (height / 2 - 8) / farthest("y"));
  context.scale(density, density);
  context.translate(width / 2, height / 2);
  const arrow = (x, y, thick, paint) => {
    context.strokeStyle = context.fillStyle = paint;
    context.lineWidth = thick;
    context.beginPath();
    context.moveTo(0, 0);
    context.lineTo(x, y);
    context.stroke();
    context.beginPath();
    context.arc(x, y, thick + 1, 0, 7);
    context.fill();
  };
  context.globalAlpha = Math.min(0.8, 0.2 + 100 / arrows.length);
  for (const { x, y, thick, paint } of arrows) arrow(scale * x, scale * y, thick, paint);
  context.globalAlpha = 1;
  arrow((width / 2 - 8) * step.lengths[label], 0, 4, getComputedStyle(canvas).color);
}

export function paintVotes() {
  const { seen } = state;
  el("votes").hidden = !seen;
  if (!seen) return;
  const { votes } = seen, label = focus(), classes = network.classes.length;
  const now = shownStep(), step = votes.steps[now];
  el("votes-title").textContent = `Which parts vote for ${name(label)}`;
  el("step-name").textContent = `Iteration ${now + 1} of ${lastStep() + 1}`;
  Object.assign(el("step"), { max: lastStep() + 1, value: now + 1, hidden: lastStep() === 0 });
  setSlider(slider, state.sharpness, network.sharpness, state.sharpness.toFixed(1));
  const cosines = Array.from(votes.primary, (_, i) => {
    const place = i * classes + label, lengths = Math.max(votes.lengths[place] * step.lengths[label], 1e-12);
    return Math.max(-1, Math.min(1, step.agreement[place] / lengths));
  });
  paintArrows(el("arrows"), votes, step, label, cosines);
  paintSum(step, label, cosines.filter((cosine) => cosine < 0).length, cosines.length);
}

function paintSum(step, label, against, count) { // of the pushes, in words
  const [towards, away, bias, summed, length] =
    [step.towards, step.away, step.bias, step.summed, step.lengths].map((each) => each[label]);
  const net = towards - away + bias, share = (100 * (towards - away) / Math.max(summed, 1e-12)).toFixed(1);
  const number = (value, how, className = "") => explain(make("b", {
    textContent: typeof value === "number" ? value.toFixed(2) : value, className,
  }), how);
  const squash = network.routing ? `${net.toFixed(2)}² / (1 + ${net.toFixed(2)}²)` : `1 − e^−${net.toFixed(2)}`;
  el("arrows").setAttribute("aria-label", `${count} votes for ${name(label)}: ${against} point away from its capsule`);
  el("push").replaceChildren(
    number(towards, "The sum over the votes that point towards the capsule: coupling × length × cosine.", "towards"),
    " towards − ", number(away, "The same sum over the votes that point away, without its sign.", "away"), " away ",
    ...(network.routing ? [bias < 0 ? "− " : "+ ",
      number(Math.abs(bias), "The layer's bias along the capsule's direction."), " bias "] : []), "= ",
    number(net, "What is left: the length of the sum of the weighted votes, before it is squashed."), " → length ",
    number(length, `Squashed to a length below 1: ${squash}.`));
  const longest = Math.max(towards, away, 1e-9);
  el("push-bars").style.setProperty("--towards", towards / longest);
  el("push-bars").style.setProperty("--away", away / longest);
  el("votes-story").replaceChildren(
    number(`${(100 * against / count).toFixed(1)} %`, `${against} votes have a negative cosine with the capsule.` +
      (network.routing ? "" : " With a negative coupling, which self-attention has too, it pushes towards it.")),
    " of the ", number(`${count}`, "The number of primary capsules."), " votes point away. The net push is ",
    number(`${share} %`, `(${towards.toFixed(2)} − ${away.toFixed(2)}) of the votes' summed lengths, each times its ` +
      `coupling: ${summed.toFixed(2)}.`), " of their summed length.");
}
