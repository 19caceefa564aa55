// The facts of the network, and questions to the worker that holds it.

const LARGEST_SIDE = 2000; // pixels to which a picture is reduced before the worker prepares it
const { worker: code, ...content } = globalThis.exportedNetwork;
export const worker = new Worker(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
worker.postMessage(content);

export const network = content.facts;

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
  const context = Object.assign(document.createElement("canvas"), { width, height }).getContext("2d");
  context.drawImage(bitmap, 0, 0, width, height);
  return ask("picture", { rows: height, columns: width, data: context.getImageData(0, 0, width, height).data });
}
