// Answers from the server that the page was loaded from.

async function ask(path, body) {
  let answer;
  try {
    answer = await fetch(path, body === undefined ? {} : { method: "POST", body });
  } catch {
    throw new Error("The server does not answer. Is the command that started it still running?");
  }
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error);
  return content;
}

const post = (path, values) => ask(path, JSON.stringify(values));

export const serverAnswers = {
  network: () => ask("/network"),
  example: (index, second) => ask(`/example?index=${index}${second === null ? "" : `&second=${second}`}`),
  wrong: (after) => ask(`/wrong?after=${after}`),
  drawing: (strokes) => post("/drawing", { strokes }),
  image: (file) => ask("/image", file),
  pixels: (pixels) => post("/pixels", { pixels: [...pixels] }),
  capsule: (label, capsule) => post("/capsule", { class: label, capsule }),
};
