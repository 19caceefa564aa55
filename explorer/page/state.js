// The network's facts, questions to the worker that holds it, and the state that the page's cards share.

import { announce, el } from "./tools.js";

const LARGEST_SIDE = 2000; // pixels to which a picture is reduced before the worker prepares it
const { worker: code, ...content } = globalThis.exportedNetwork;
export const worker = new Worker(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
worker.postMessage(content);

export const network = content.facts;

// `base`: the answer for the original input; `seen`: that for the moved one; `slots`: the classes whose capsules are
// shown (one, or two for a network of pairs), each with the offsets of its sliders and its picture; `step`: the
// iteration that is shown; `sharpness` of the routing; `turning`: until the first touch.
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

// What the worker answers; `question` is a name of `questions` in worker.js.
export const ask = (question, ...given) => new Promise((resolve, reject) => {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = ({ data }) => (data.error === undefined ? resolve(data.answer) : reject(new Error(data.error)));
  worker.postMessage({ question, given }, [port2]);
});

// The answer to a picture file.
export async function askFile(file) {
  const bitmap = await createImageBitmap(file).catch(() => {
    throw new Error(
      "Expected a readable picture, such as a PNG or JPEG file. Received another kind of file or a damaged one.");
  });
  const scale = Math.min(1, LARGEST_SIDE / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale)));
  const context = new OffscreenCanvas(width, height).getContext("2d");
  Object.assign(context, { imageSmoothingQuality: "high" }).drawImage(bitmap, 0, 0, width, height);
  return ask("picture", { rows: height, columns: width, data: context.getImageData(0, 0, width, height).data });
}
