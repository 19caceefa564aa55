// Elements of the page, and the order of its questions.

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

let working = 0;

function work(change) { // what a screen reader, and a test, waits for
  working += change;
  document.querySelector("main").setAttribute("aria-busy", working > 0);
}

// One call of `job` at a time; of those that come meanwhile the newest alone is made. Errors go to `complain`.
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

// Calls `job` when nobody has asked for it during some milliseconds.
export function settled(milliseconds, job) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => job(...given), milliseconds);
  };
}

// What a screen reader says: the page's one live region, told when the page has come to rest.
export const announce = settled(400, (text) => { el("live").textContent = text; });
