// The card with the answer: what the network sees, and a bar for each class.

import { name, network, PLACES, state } from "./state.js";
import { announce, el, explain, make } from "./tools.js";

const LENGTH = `The length of its capsule: the root of the sum of the squares of its ${network.atoms} numbers.`;
const NOTE = "Sizes are rows x columns of pixels; characters are marks that do not touch, without specks.";

export function buildAnswer(choose) {
  el("bars").append(...network.classes.map((text, label) => {
    const bar = make("button", { type: "button", className: "bar" },
      make("span", { className: "name", textContent: text, title: text }),
      make("span", { className: "track" }, make("span", { className: "fill" })), make("span", { className: "value" }));
    bar.addEventListener("click", () => { if (state.seen) choose(label); });
    return explain(bar, LENGTH);
  }));
  explain(el("second-best"), LENGTH);
}

export function paintAnswer() {
  const { seen, slots } = state;
  paintWords(seen);
  [...el("bars").children].forEach((bar, label) => {
    const length = seen ? seen.scores[label] : 0, text = seen ? length.toFixed(2) : "";
    const place = seen ? seen.chosen.indexOf(label) : -1;
    bar.querySelector(".fill").style.width = `${100 * length}%`;
    bar.querySelector(".value").textContent = text;
    bar.className = place < 0 ? "bar" : `bar chosen ${PLACES[place]}`;
    bar.setAttribute("aria-label", `${name(label)} ${text}`);
    bar.setAttribute("aria-pressed", slots.some((slot) => slot.label === label));
    bar.setAttribute("aria-disabled", !seen); // not disabled: it says how its number is computed
  });
}

function paintWords(seen) {
  const title = el("prediction"), truth = el("truth");
  title.textContent = seen ? "" : "Nothing to see yet";
  el("second-best").textContent = seen ? "" : "Draw, or choose a test image";
  truth.textContent = truth.className = "";
  el("notes").replaceChildren(...(seen?.notes ?? []).map((note) => explain(make("li", { textContent: note }), NOTE)));
  if (!seen) return;
  const { scores, chosen, labels } = seen, sure = chosen.every((label) => scores[label] > 0.5);
  if (labels) {
    truth.className = labels.every((label) => chosen.includes(label)) ? "right" : "wrong";
    truth.textContent = `Its label${labels.length === 2 ? "s are" : " is"} ${labels.map(name).join(" and ")}: ` +
      `${truth.className}.`;
  }
  title.append(sure ? "It sees " : "Perhaps it sees ");
  chosen.forEach((label, index) =>
    title.append(index ? " and " : "", make("b", { className: PLACES[index], textContent: name(label) })));
  const [next] = [...scores.keys()].filter((label) => !chosen.includes(label)).sort((a, b) => scores[b] - scores[a]);
  el("second-best").textContent = `length ${chosen.map((label) => scores[label].toFixed(2)).join(" and ")}` +
    (next === undefined ? "" : `; next is ${name(next)} with ${scores[next].toFixed(2)}`);
  if (!state.turning) announce(`${title.textContent}, ${el("second-best").textContent}. ${truth.textContent}`);
}
