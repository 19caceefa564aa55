// The card of a capsule: what the decoder draws from it, and a slider for each of its numbers.

import { paintPair, paintPicture } from "./pictures.js";
import { ask, complain, name, network, PLACES, state } from "./state.js";
import { el, later, make, makeSlider, newest, setSlider } from "./tools.js";

const NUMBER_HOW = "A number of the capsule. The mark is what the network made of the input; the pictures show what " +
  "the decoder draws with this number at either end and the others as they are.";
const numberSliders = [];

const capsuleOf = (slot) => state.seen.capsules[slot.label];
// How far each slider reaches from 0.
const reachOf = (slot) => Math.max(0.5, Math.ceil(20 * Math.max(...capsuleOf(slot).map(Math.abs)) + 3) / 20);

export const redraw = newest(complain, async (slot) => {
  const numbers = capsuleOf(slot).map((value, index) => value + slot.offsets[index]);
  const [picture] = await ask("draw", slot.label, [numbers]);
  if (!state.slots.includes(slot)) return; // the input has changed meanwhile
  slot.picture = picture;
  paintPictures();
});

// What the decoder draws at both ends of each slider.
const drawEnds = later(500, "first", newest(complain, async () => {
  const slot = state.slots[state.active];
  if (!slot) return;
  const numbers = capsuleOf(slot), ends = [-reachOf(slot), reachOf(slot)];
  const changed = numbers.flatMap((_, index) => ends.map((end) => numbers.with(index, end)));
  const pictures = await ask("draw", slot.label, changed);
  if (state.slots[state.active]?.label === slot.label)
    numberSliders.flatMap((slider) => slider.ends).forEach((end, place) => paintPicture(end, pictures[place]));
}));

export function buildCapsule(chooseSlot) {
  if (!network.decoder) return el("capsule").remove();
  for (const [index, className] of PLACES.slice(0, network.targets).entries()) {
    const ariaLabel = `Drawing ${index + 1}`, canvas = make("canvas", { role: "img", ariaLabel });
    const button = make("button", { type: "button", ariaLabel, disabled: network.targets === 1 }, canvas);
    button.addEventListener("click", () => chooseSlot(index));
    el("pictures").append(make("figure", {}, button, make("figcaption", { className })));
  }
  for (let index = 0; index < network.atoms; index++) {
    const range = { low: -1, high: 1, step: 0.01 };
    numberSliders.push(makeSlider(index + 1, `Dimension ${index + 1}`, range, NUMBER_HOW, (value) => {
      const slot = state.slots[state.active];
      slot.offsets[index] = value - capsuleOf(slot)[index];
      paintSliders();
      redraw(slot);
    }));
  }
  el("sliders").append(...numberSliders.map(({ row }) => row));
}

export function paintCapsule() {
  if (!network.decoder) return;
  paintPictures();
  paintSliders();
  drawEnds();
}

function paintPictures() { // the input, or both drawings of a pair over it, and then each drawing alone
  const { seen, slots, active } = state, pair = network.targets === 2, pictures = slots.map((slot) => slot.picture);
  const [whole, ...figures] = el("pictures").children, black = { ...network, depth: 1, pixels: [] };
  if (pair) paintPair(whole.querySelector("canvas"), network, seen && seen.input, pictures);
  else paintPicture(whole.querySelector("canvas"), seen ? seen.input : black);
  figures.forEach((figure, index) => {
    const canvas = figure.querySelector("canvas"), slot = slots[index];
    if (pair) paintPair(canvas, network, null, pictures.map((each, place) => (place === index ? each : null)));
    else paintPicture(canvas, slot ? slot.picture : black);
    figure.querySelector("figcaption").textContent = slot ? `drawn as ${name(slot.label)}` : "drawn";
    figure.querySelector("button").setAttribute("aria-pressed", pair && Boolean(slot) && index === active);
  });
}

function paintSliders() {
  const slot = state.slots[state.active], reach = slot ? reachOf(slot) : 1;
  el("capsule-title").textContent = slot ? `What the capsule of ${name(slot.label)} draws` : "What the capsule draws";
  numberSliders.forEach((slider, index) => {
    const own = slot ? capsuleOf(slot)[index] : 0, value = own + (slot ? slot.offsets[index] : 0);
    Object.assign(slider.input, { min: -reach, max: reach, disabled: !slot });
    setSlider(slider, value, own, slot ? value.toFixed(2).replace("-0.00", "0.00") : "");
  });
}
