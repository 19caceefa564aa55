// The state that the page's cards share: `base`, the answer for the original input, and `seen`, that for the moved
// input; `slots`: the classes whose capsules are shown (one, or two for a network of pairs), each with the offsets of
// its sliders and its picture; `step`: the iteration that is shown; `sharpness` of the routing; `turning`: until the
// first touch.

import { network } from "./answers.js";
import { announce, el } from "./tools.js";

export const state = {
  base: null, seen: null, slots: [], active: 0, step: Infinity, sharpness: network.sharpness, turning: false,
};
export const PLACES = ["first", "other"]; // styles of the predicted classes

export const name = (label) => network.classes[label];
export const focus = () => state.slots[state.active]?.label; // the class that maps and charts are about
export const lastStep = () => state.seen.votes.steps.length - 1;
export const shownStep = () => Math.min(state.step, lastStep());
export const newSlot = (label, picture) => ({ label, picture, offsets: new Array(network.atoms).fill(0) });

export function complain(error) {
  el("error").textContent = error ? error.message : "";
  el("error").hidden = !error;
  if (error) announce(error.message);
}
