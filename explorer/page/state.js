// The state that the page's cards share: `network` (its facts), `base` (the answer for the original input), `seen` (the
// answer for the moved input), `slots`: the classes whose capsules are shown (one, or two for a MultiMNIST network), each
// with the offsets of its sliders and its picture; `step`: the iteration that is shown; `sharpness` of the routing;
// `turning`: until the first touch.

import { announce, el } from "./tools.js";

export const state = { network: null, answers: null, base: null, seen: null, slots: [], active: 0, step: Infinity, sharpness: null, turning: false };
export const PLACES = ["first", "other"]; // styles of the predicted classes

export const name = (label) => state.network.classes[label];
export const words = (labels) => labels.map(name).join(" and ");
export const focus = () => state.slots[state.active]?.label; // the class that maps and charts are about
export const lastStep = () => state.seen.votes.steps.length - 1;
export const shownStep = () => Math.min(state.step, lastStep());

export function newSlot(label, picture) {
  return { label, picture, offsets: new Array(state.network.atoms).fill(0) };
}

export function complain(error) {
  el("error").textContent = error ? error.message : "";
  el("error").hidden = !error;
  if (error) announce(error.message);
}
