// The card with the answer: what the network sees, and a bar for each class.

import { name, PLACES, state, words } from "./state.js";
import { announce, el, explain, make } from "./tools.js";

export function buildAnswer(choose) {
  const { network } = state, capsules = network.score === "length";
  el("bars").setAttribute("aria-label", capsules ? "Lengths of the capsules: choose one to look into" : "Scores");
  el("bars-about").textContent = capsules
    ? "The length of a class's capsule says how sure the network is that the class is present. Choose a bar to look into its capsule."
    : "Each bar shows how sure the network is of a class.";
  el("bars").className = network.compared ? "compared" : "";
  const how = capsules ? `The length of its capsule: the root of the sum of the squares of its ${network.atoms} numbers.`
    : "The network's last layer has a number for each class, which becomes a score from 0 to 1.";
  const parts = (kind) => ["", ...(network.compared ? [" rival"] : [])].map((whose) => make("span", { className: kind + whose }));
  el("bars").append(...network.classes.map((text, label) => {
    const bar = make("button", { type: "button", className: "bar" },
      make("span", { className: "name", textContent: text, title: text }),
      make("span", { className: "track" }, ...parts("fill")), ...parts("value"));
    bar.addEventListener("click", () => { if (state.seen && network.atoms) choose(label); });
    return explain(bar, how);
  }));
  explain(el("second-best"), how);
  if (!network.compared) return;
  el("legend").hidden = false;
  el("legend").append(make("span", { className: "key ours" }), `${network.score} of this network `,
    make("span", { className: "key rival" }), `score of ${network.compared}`);
}

export function paintAnswer() {
  paintWords();
  const { seen, network, slots } = state;
  [...el("bars").children].forEach((bar, label) => {
    const scores = seen ? [seen.scores[label], seen.compared?.[label]] : [0, 0];
    const texts = scores.map((score) => (seen && score !== undefined ? score.toFixed(2) : ""));
    bar.querySelectorAll(".fill").forEach((fill, whose) => { fill.style.width = `${100 * scores[whose]}%`; });
    bar.querySelectorAll(".value").forEach((value, whose) => { value.textContent = texts[whose]; });
    const place = seen ? seen.chosen.indexOf(label) : -1;
    bar.className = ["bar", ...(place < 0 ? [] : ["chosen", PLACES[place]])].join(" ");
    const other = seen && network.compared ? `, ${texts[1]} by ${network.compared}` : "";
    bar.setAttribute("aria-label", seen ? `${name(label)}, ${texts[0]}${other}` : name(label));
    bar.setAttribute("aria-pressed", network.atoms > 0 && slots.some((slot) => slot.label === label));
    bar.setAttribute("aria-disabled", !seen || !network.atoms); // not disabled: it says how its number is computed
  });
}

function paintWords() {
  const { seen, network } = state, title = el("prediction"), truth = el("truth");
  title.textContent = seen ? "" : "Nothing to see yet";
  el("second-best").textContent = seen ? "" : "Draw, or choose a test image";
  truth.textContent = truth.className = "";
  el("notes").replaceChildren(...(seen ? seen.notes : []).map((note) => make("li", { textContent: note })));
  if (!seen) return;
  const { scores, chosen, labels } = seen, sure = chosen.every((label) => scores[label] > 0.5);
  if (labels) {
    const right = labels.every((label) => chosen.includes(label));
    truth.textContent = `Its label${labels.length === 2 ? "s are" : " is"} ${words(labels)}: ${right ? "right" : "wrong"}.`;
    truth.className = right ? "right" : "wrong";
  }
  title.append(sure ? "It sees " : "Perhaps it sees ");
  chosen.forEach((label, index) =>
    title.append(index ? " and " : "", make("b", { className: PLACES[index], textContent: name(label) })));
  const others = scores.map((_, label) => label).filter((label) => !chosen.includes(label));
  const next = others.reduce((a, b) => (scores[b] > scores[a] ? b : a), others[0]);
  el("second-best").textContent = `${network.score} ${chosen.map((label) => scores[label].toFixed(2)).join(" and ")}` +
    (next === undefined ? "" : `; next is ${name(next)} with ${scores[next].toFixed(2)}`);
  if (!state.turning) announce(`${title.textContent}, ${el("second-best").textContent}. ${truth.textContent}`);
}
