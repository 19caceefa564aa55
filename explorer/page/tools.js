// Makes elements of the page, explains their numbers, and keeps its requests in order.

export const el = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

export function makeSvg(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// Lets an element say how its number is computed, on hover and on focus.
export function explain(element, how) {
  element.dataset.how = how;
  element.setAttribute("aria-description", how);
  if (!element.matches("button, label, input")) element.setAttribute("tabindex", 0);
  return element;
}

export function listenForHows() {
  const tip = el("tip");
  let timer = 0;
  const show = (target) => {
    const about = target.closest?.("[data-how]");
    clearTimeout(timer);
    tip.hidden = !about;
    if (!about) return;
    tip.textContent = about.dataset.how;
    const { left, top, bottom } = about.getBoundingClientRect(), { width, height } = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(8, Math.min(left, innerWidth - width - 8))}px`;
    tip.style.top = `${bottom + height + 12 < innerHeight ? bottom + 6 : Math.max(8, top - height - 6)}px`;
  };
  const hide = () => { clearTimeout(timer); tip.hidden = true; };
  document.addEventListener("pointerover", ({ target }) => { hide(); timer = setTimeout(show, 500, target); });
  document.addEventListener("focusin", ({ target }) => { if (target.matches(":focus-visible")) show(target); });
  document.addEventListener("click", ({ target }) => { if (target.closest("[data-how][tabindex]")) show(target); });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  for (const event of ["focusout", "pointerdown", "wheel"]) document.addEventListener(event, hide);
}

// A slider with a picture at each end, which says `how` it works: { row, input, ends, output }.
export function makeSlider(text, ariaLabel, { low, high, step, wide }, how, change) {
  const input = make("input", { type: "range", min: low, max: high, step, ariaLabel, ariaDescription: how });
  const output = make("output"), ends = [0, 1].map(() => make("canvas", { className: "end", ariaHidden: true }));
  input.addEventListener("input", () => change(Number(input.value)));
  const row = make("label", { className: wide ? "slider wide" : "slider" },
    make("span", { textContent: text }), ends[0], input, ends[1], output);
  return { row: explain(row, how), input, ends, output };
}

// Moves a slider; `own` is a marked place on its groove.
export function setSlider({ input, output }, value, own, text) {
  input.value = value;
  input.style.setProperty("--own", (own - input.min) / (input.max - input.min));
  input.setAttribute("aria-valuetext", text);
  output.textContent = text;
}

let working = 0;

function work(change) { // a screen reader, and a test, waits until the page is not busy
  working += change;
  document.querySelector("main").setAttribute("aria-busy", working > 0);
}

// Runs one call of `job` at a time, and then only the newest of the calls made meanwhile. Errors go to `complain`.
export function newest(complain, job) {
  let busy = false, waiting = null;
  return async function run(...given) {
    if (busy) { waiting = given; return; }
    busy = true;
    work(1);
    try { await job(...given); } catch (error) { complain(error); }
    busy = false;
    if (waiting) { const next = waiting; waiting = null; run(...next); }
    work(-1);
  };
}

// Calls `job` some milliseconds after the "first" of several calls, or after the "last", with what the last one gave.
export function later(milliseconds, after, job) {
  let timer = 0, newest = null;
  return (...given) => {
    newest = given;
    if (after === "last") clearTimeout(timer);
    if (after === "last" || !timer) timer = setTimeout(() => { timer = 0; job(...newest); }, milliseconds);
  };
}

// Writes the page's one live region, which screen readers read aloud, when the page is idle.
export const announce = later(400, "last", (text) => { el("live").textContent = text; });
