// The card of a capsule: what the decoder draws from it, and a slider for each of its numbers.

import { COLOURS, paintPair, paintPicture } from "./pictures.js";
import { complain, name, PLACES, state } from "./state.js";
import { el, make, newest } from "./tools.js";

const REACH = 0.25; // how far a slider moves each way, as in the paper

export const redraw = newest(complain, async (slot) => {
  const start = performance.now(), { answers, seen } = state;
  const capsule = seen.capsules[slot.label].map((value, index) => value + slot.offsets[index]);
  const { drawn } = await answers.capsule(slot.label, capsule);
  if (!state.slots.includes(slot)) return; // the input has changed meanwhile
  slot.picture = drawn;
  paintPictures();
  el("speed").textContent = `Redrawn in ${Math.ceil(performance.now() - start)} ms`;
});

export function buildCapsule(chooseSlot) {
  const { network } = state;
  if (!network.decoder) {
    if (!network.atoms) return el("capsule").remove();
    const reason = "This network was trained without a decoder (remake=false), so its capsules cannot be drawn.";
    return el("capsule").replaceChildren(make("h2", { textContent: "No reconstruction", id: "capsule-title" }),
      make("p", { textContent: reason }));
  }
  const figure = (className, text, ...content) =>
    make("figure", {}, ...content, make("figcaption", { className, textContent: text }));
  const canvas = (ariaLabel) => make("canvas", { role: "img", ariaLabel });
  const pictures = [figure("", "input", canvas("Input"))];
  if (network.targets === 2) {
    el("pictures").className = "pair";
    for (const [index, className] of PLACES.entries()) {
      const ariaLabel = `Look into digit ${index + 1}`;
      const button = make("button", { type: "button", ariaLabel }, canvas(`Digit ${index + 1}`));
      button.addEventListener("click", () => chooseSlot(index));
      pictures.push(figure(className, "drawn", button));
    }
    pictures.push(figure("", "both over the input", canvas("Both reconstructions over the input")));
  } else pictures.push(figure("", "drawn", canvas("Reconstruction")));
  el("pictures").append(...pictures);
  for (let index = 0; index < network.atoms; index++) {
    const ariaLabel = `Dimension ${index + 1}`;
    const input = make("input", { type: "range", min: -REACH, max: REACH, step: 0.01, ariaLabel });
    input.addEventListener("input", () => {
      state.slots[state.active].offsets[index] = Number(input.value);
      paintSliders();
      redraw(state.slots[state.active]);
    });
    el("sliders").append(make("label", { className: "slider" }, make("span", { textContent: index + 1 }), input, make("output")));
  }
  el("reset").addEventListener("click", () => {
    state.slots[state.active].offsets.fill(0);
    paintSliders();
    redraw(state.slots[state.active]);
  });
}

export function paintCapsule() {
  if (!state.network.decoder) return;
  paintPictures();
  paintSliders();
}

function paintPictures() {
  const { network, seen, slots, active } = state, figures = [...el("pictures").children];
  const canvas = (index) => figures[index].querySelector("canvas");
  const pair = network.targets === 2, black = { rows: network.rows, columns: network.columns, depth: 3, pixels: [] };
  paintPicture(canvas(0), seen ? seen.input : black);
  for (let index = 0; index < network.targets; index++) {
    const slot = slots[index], button = figures[index + 1].querySelector("button");
    const alone = COLOURS.map((_, place) => (place === index && slot ? slot.picture : null));
    if (pair) paintPair(canvas(index + 1), network, null, alone);
    else paintPicture(canvas(1), slot ? slot.picture : black);
    figures[index + 1].querySelector("figcaption").textContent = slot ? `drawn as ${name(slot.label)}` : "drawn";
    if (button) button.setAttribute("aria-pressed", Boolean(slot) && index === active);
  }
  if (pair) paintPair(canvas(3), network, seen && seen.input, slots.map((slot) => slot.picture));
}

function paintSliders() {
  const { seen, slots, active } = state, slot = slots[active];
  el("capsule-title").textContent = slot ? `What the capsule of ${name(slot.label)} draws` : "What the capsule draws";
  el("reset").disabled = !slot;
  [...el("sliders").children].forEach((row, index) => {
    const input = row.querySelector("input"), offset = slot ? slot.offsets[index] : 0;
    input.disabled = !slot;
    input.value = offset;
    const value = slot ? (seen.capsules[slot.label][index] + offset).toFixed(2) : "";
    row.querySelector("output").textContent = value === "-0.00" ? "0.00" : value;
  });
}
