// The card of a capsule: what the decoder draws from it, and a slider for each of its numbers.

import { COLOURS, paintPair, paintPicture } from "./pictures.js";
import { complain, name, PLACES, state } from "./state.js";
import { el, make, makeSlider, newest, paced, setSlider } from "./tools.js";

const sliders = [];

// How far each slider reaches from 0.
const reachOf = (slot) => Math.max(0.5, Math.ceil(20 * Math.max(...state.seen.capsules[slot.label].map(Math.abs)) + 3) / 20);

export const redraw = newest(complain, async (slot) => {
  const { answers, seen } = state;
  const capsule = seen.capsules[slot.label].map((value, index) => value + slot.offsets[index]);
  const { drawn } = await answers.capsule(slot.label, capsule);
  if (!state.slots.includes(slot)) return; // the input has changed meanwhile
  slot.picture = drawn;
  paintPictures();
});

// What the decoder draws at both ends of each slider.
const drawEnds = newest(complain, async (slot, seen) => {
  const pictures = await state.answers.ends(slot.label, seen.capsules[slot.label], reachOf(slot));
  if (state.slots[state.active]?.label === slot.label)
    sliders.forEach(({ ends }, index) => ends.forEach((end, side) => paintPicture(end, pictures[index][side])));
});
const drawEndsSoon = paced(500, () => { if (state.slots.length) drawEnds(state.slots[state.active], state.seen); });

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
      const button = make("button", { type: "button", ariaLabel: `Look into digit ${index + 1}` }, canvas(`Digit ${index + 1}`));
      button.addEventListener("click", () => chooseSlot(index));
      pictures.push(figure(className, "drawn", button));
    }
    pictures.push(figure("", "both over the input", canvas("Both reconstructions over the input")));
  } else pictures.push(figure("", "drawn", canvas("Reconstruction")));
  el("pictures").append(...pictures);
  for (let index = 0; index < network.atoms; index++) {
    const how = `Number ${index + 1} of the capsule. The mark is what the network made of the input; the pictures show what ` +
      "the decoder draws with this number at either end and the others as they are.";
    sliders.push(makeSlider(index + 1, `Dimension ${index + 1}`, { low: -1, high: 1, step: 0.01 }, how, (value) => {
      const slot = state.slots[state.active];
      slot.offsets[index] = value - state.seen.capsules[slot.label][index];
      paintSliders();
      redraw(slot);
    }));
  }
  el("sliders").append(...sliders.map(({ row }) => row));
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
  drawEndsSoon();
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
  const { seen, slots, active } = state, slot = slots[active], reach = slot ? reachOf(slot) : 1;
  el("capsule-title").textContent = slot ? `What the capsule of ${name(slot.label)} draws` : "What the capsule draws";
  el("reset").disabled = !slot;
  sliders.forEach((slider, index) => {
    const own = slot ? seen.capsules[slot.label][index] : 0, value = own + (slot ? slot.offsets[index] : 0);
    Object.assign(slider.input, { min: -reach, max: reach, disabled: !slot });
    setSlider(slider, value, own, slot ? value.toFixed(2).replace("-0.00", "0.00") : "");
  });
}
