// Asks the worker, which holds the network.

export function makeAnswers() {
  const waiting = new Map(), { worker: code, ...content } = globalThis.exportedNetwork;
  const worker = new Worker(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
  worker.addEventListener("message", ({ data: { id, answer, error } }) => {
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) resolve(answer);
    else reject(new Error(error));
  });
  worker.addEventListener("error", (event) => {
    for (const { reject } of waiting.values()) reject(new Error(`The network stopped: ${event.message}`));
    waiting.clear();
  });
  worker.postMessage(content);
  let last = 0;
  const ask = (question) => (...given) => new Promise((resolve, reject) => {
    waiting.set(++last, { resolve, reject });
    worker.postMessage({ id: last, question, given });
  });
  const answers = Object.fromEntries(["example", "wrong", "drawing", "picture", "pixels", "capsule", "ends"].map((each) => [each, ask(each)]));
  return { facts: content.facts, ...answers, file: async (file) => answers.picture(await pixelsOf(file, content.facts.largestSide)) };
}

// The pixels of a picture file, reduced if it is large: { rows, columns, data: RGBA }.
async function pixelsOf(file, largestSide) {
  const bitmap = await createImageBitmap(file).catch(() => {
    throw new Error("Expected a readable picture, such as a PNG or JPEG file. Received another kind of file or a damaged one.");
  });
  const scale = Math.min(1, largestSide / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale)));
  const canvas = Object.assign(document.createElement("canvas"), { width, height }), context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0, width, height);
  return { rows: height, columns: width, data: context.getImageData(0, 0, width, height).data };
}
