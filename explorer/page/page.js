// The page's state is `network` (its facts), `seen` (what the network made of the input) and `slots`: the classes
// whose capsules are shown (one, or two of a MultiMNIST network), each with its offsets and its picture.

import { makePad } from "/pad.js";
import { COLOURS, paintMap, paintPair, paintPicture } from "/pictures.js";
import { ask, el, make, newest } from "/tools.js";

const PLACES = ["first", "other"]; // styles of the predicted classes
const REACH = 0.25; // of a slider each way, as in the paper
let network, seen = null, slots = [], active = 0, mode = "", pad = null, uploaded = null;

function complain(error) {
  el("error").textContent = error ? error.message : "";
  el("error").hidden = !error;
}

// The input: from a path of the server, or none.
const look = newest(complain, async (path, body) => {
  const megabytes = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MB`;
  if (body && body.size > network.largest) // the server would hang up before it has read so much
    throw new Error(`An image may have up to ${megabytes(network.largest)}. This one has ${megabytes(body.size)}.`);
  const found = path ? await ask(path, body) : null;
  complain(null);
  seen = found;
  slots = seen ? seen.chosen.map((label, index) => newSlot(label, seen.drawn[index])) : [];
  active = 0;
  paintAll();
});

function newSlot(label, picture) {
  return { label, picture, offsets: new Array(network.atoms).fill(0) };
}

const redraw = newest(complain, async (slot) => {
  const start = performance.now();
  const capsule = seen.capsules[slot.label].map((value, index) => value + slot.offsets[index]);
  const { drawn } = await ask("/capsule", JSON.stringify({ class: slot.label, capsule }));
  if (!slots.includes(slot)) return; // the input has changed meanwhile
  slot.picture = drawn;
  paintPictures();
  el("speed").textContent = `Redrawn in ${Math.ceil(performance.now() - start)} ms`;
});

function choose(label) {
  const index = slots.findIndex((slot) => slot.label === label);
  if (index >= 0) active = index;
  else slots[active] = newSlot(label, slots[active].picture);
  paintAll();
  if (index < 0 && network.decoder) redraw(slots[active]);
}

// Painting.

const name = (label) => network.classes[label];
const words = (labels) => labels.map(name).join(" and ");

function paintAll() {
  paintWords();
  paintBars();
  paintMaps();
  paintPictures();
  paintSliders();
}

function paintWords() {
  const title = el("prediction");
  title.textContent = seen ? "" : "Nothing to see yet";
  el("second-best").textContent = seen ? "" : "Draw, or choose a test image";
  const { labels } = seen || {};
  el("truth").textContent = labels ? `Its label${labels.length === 2 ? "s are" : " is"} ${words(labels)}.` : "";
  el("notes").replaceChildren(...(seen ? seen.notes : []).map((note) => make("li", { textContent: note })));
  if (mode !== "draw" || !seen) el("shown").hidden = !seen;
  if (!seen) return;
  paintPicture(el("shown"), seen.input);
  const { scores, chosen } = seen, sure = chosen.every((label) => scores[label] > 0.5);
  title.append(sure ? "It sees " : "Perhaps it sees ");
  chosen.forEach((label, index) =>
    title.append(index ? " and " : "", make("b", { className: PLACES[index], textContent: name(label) })));
  const others = scores.map((_, label) => label).filter((label) => !chosen.includes(label));
  const next = others.reduce((a, b) => (scores[b] > scores[a] ? b : a), others[0]);
  const kind = network.atoms ? "length" : "score";
  el("second-best").textContent = `${kind} ${chosen.map((label) => scores[label].toFixed(2)).join(" and ")}` +
    (next === undefined ? "" : `; next is ${name(next)} with ${scores[next].toFixed(2)}`);
}

function paintBars() {
  [...el("bars").children].forEach((bar, label) => {
    const score = seen ? seen.scores[label] : 0;
    bar.querySelector(".fill").style.width = `${100 * score}%`;
    bar.querySelector(".value").textContent = seen ? score.toFixed(2) : "";
    const place = seen ? seen.chosen.indexOf(label) : -1;
    bar.className = ["bar", ...(place < 0 ? [] : ["chosen", PLACES[place]])].join(" ");
    bar.setAttribute("aria-label", seen ? `${name(label)}, ${score.toFixed(2)}` : name(label));
    bar.setAttribute("aria-pressed", slots.some((slot) => slot.label === label));
    bar.disabled = !seen || !network.atoms;
  });
}

function paintMaps() {
  if (!network.routing) return;
  el("routing").hidden = !seen;
  if (!seen) return;
  const { label } = slots[active], maps = seen.coupling.map((iteration) => iteration[label]);
  const equal = maps[0][0][0], reach = Math.max(0.001, ...maps.flat(2).map((value) => Math.abs(value - equal)));
  el("routing-title").textContent = `Where the routing to ${name(label)} looks`;
  el("maps").replaceChildren(...maps.map((map, index) => {
    const canvas = make("canvas", { role: "img", ariaLabel: `Coupling coefficients in iteration ${index + 1}` });
    paintMap(canvas, network.routing, seen.input, map, equal, reach);
    return make("figure", {}, canvas, make("figcaption", { textContent: `iteration ${index + 1}` }));
  }));
  el("scale-low").textContent = (equal - reach).toFixed(3);
  el("scale-high").textContent = (equal + reach).toFixed(3);
}

function paintPictures() {
  if (!network.decoder) return;
  const figures = [...el("pictures").children];
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
  if (!network.decoder) return;
  const slot = slots[active];
  el("capsule-title").textContent = slot ? `What the capsule of ${name(slot.label)} draws` : "What the capsule draws";
  el("reset").disabled = !slot;
  [...el("sliders").children].forEach((row, index) => {
    const input = row.querySelector("input"), offset = slot ? slot.offsets[index] : 0;
    input.disabled = !slot;
    input.value = offset;
    const value = slot ? (seen.capsules[slot.label][index] + offset).toFixed(2) : "";
    row.querySelector("output").textContent = value === "-0.00" ? "0.00" : value;
  });
}

function lookAtDrawing() {
  el("hint").hidden = pad.strokes.length > 0;
  if (pad.strokes.length) look("/drawing", JSON.stringify({ strokes: pad.strokes }));
  else look(null);
}

// Controls.

function setMode(chosen) {
  mode = chosen;
  for (const each of ["draw", "test", "upload"]) {
    el(`mode-${each}`).setAttribute("aria-pressed", each === mode);
    el(`controls-${each}`).hidden = each !== mode;
  }
  el("pad").hidden = mode !== "draw";
  el("shown").hidden = mode === "draw";
  const what = network.targets === 2 ? "two digits over each other" : "a digit";
  el("hint").textContent = mode === "draw" ? `Draw ${what} here` : "Choose an image file";
  el("hint").hidden = mode === "test" || (mode === "upload" && uploaded !== null);
  if (mode === "draw") lookAtDrawing();
  if (mode === "test") lookAtExample();
  if (mode === "upload") { uploaded ? look("/image", uploaded) : look(null); }
}

function lookAtExample() {
  const pair = network.targets === 2 ? `&second=${el("second").value}` : "";
  look(`/example?index=${el("index").value}${pair}`);
}

function goTo(index) { // of pairs both digits: the test set's own pair
  el("index").value = el("second").value = (index + network.examples) % network.examples;
  lookAtExample();
}

function listen() {
  for (const each of ["draw", "test", "upload"]) el(`mode-${each}`).addEventListener("click", () => setMode(each));
  pad = makePad(el("pad"), lookAtDrawing);
  el("clear").addEventListener("click", pad.clear);
  el("undo").addEventListener("click", pad.undo);
  el("previous").addEventListener("click", () => goTo(Number(el("index").value) - 1));
  el("next").addEventListener("click", () => goTo(Number(el("index").value) + 1));
  el("random").addEventListener("click", () => goTo(Math.floor(Math.random() * network.examples)));
  for (const id of ["index", "second"]) el(id).addEventListener("change", lookAtExample);
  el("file").addEventListener("change", () => {
    uploaded = el("file").files[0] || null;
    setMode("upload");
  });
}

function build() {
  el("facts").textContent = `${network.network} after ${network.step.toLocaleString("en")} steps on ${network.data}`;
  el("mode-draw").hidden = !network.drawing;
  el("second-label").hidden = network.targets !== 2;
  el("index-name").textContent = network.targets === 2 ? "Pair" : "Number";
  el("index").max = el("second").max = network.examples - 1;
  el("bars").setAttribute("aria-label", network.atoms ? "Lengths of the capsules: choose one to look into" : "Scores");
  el("bars").append(...network.classes.map((text, label) => {
    const bar = make("button", { type: "button", className: "bar" }, make("span", { textContent: text }),
      make("span", { className: "track" }, make("span", { className: "fill" })), make("span", { className: "value" }));
    bar.addEventListener("click", () => choose(label));
    return bar;
  }));
  el("routing").hidden = !network.routing;
  if (network.routing) {
    const { sees } = network.routing;
    el("routing-note").textContent = "Coupling coefficients of the primary capsules, mean over their types: orange " +
      "sends more than an equal share here, blue less. " +
      `Each stands in the middle of the ${sees}×${sees} pixels it sees.`;
  }
  if (network.decoder) buildCapsule();
  else if (network.atoms) {
    const reason = "This network was trained without a decoder (remake=false), so its capsules cannot be drawn.";
    el("capsule").replaceChildren(make("h2", { textContent: "No reconstruction" }), make("p", { textContent: reason }));
  } else {
    el("capsule").remove();
    document.querySelector("main").className = "narrow";
  }
}

function buildCapsule() {
  const figure = (className, text, ...content) =>
    make("figure", {}, ...content, make("figcaption", { className, textContent: text }));
  const canvas = (ariaLabel) => make("canvas", { role: "img", ariaLabel });
  const pictures = [figure("", "input", canvas("Input"))];
  if (network.targets === 2) {
    el("pictures").className = "pair";
    for (const [index, className] of PLACES.entries()) {
      const ariaLabel = `Look into digit ${index + 1}`;
      const button = make("button", { type: "button", ariaLabel }, canvas(`Digit ${index + 1}`));
      button.addEventListener("click", () => { if (slots[index]) { active = index; paintAll(); } });
      pictures.push(figure(className, "drawn", button));
    }
    pictures.push(figure("", "both over the input", canvas("Both reconstructions over the input")));
  } else pictures.push(figure("", "drawn", canvas("Reconstruction")));
  el("pictures").append(...pictures);
  for (let index = 0; index < network.atoms; index++) {
    const ariaLabel = `Dimension ${index + 1}`;
    const input = make("input", { type: "range", min: -REACH, max: REACH, step: 0.01, ariaLabel });
    input.addEventListener("input", () => {
      slots[active].offsets[index] = Number(input.value);
      paintSliders();
      redraw(slots[active]);
    });
    const number = make("span", { textContent: index + 1 });
    el("sliders").append(make("label", { className: "slider" }, number, input, make("output")));
  }
  el("reset").addEventListener("click", () => {
    slots[active].offsets.fill(0);
    paintSliders();
    redraw(slots[active]);
  });
}

(async () => {
  try {
    network = await ask("/network");
    build();
    listen();
    setMode(network.drawing ? "draw" : "test");
  } catch (error) {
    complain(error);
  }
})();
