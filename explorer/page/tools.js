// Makes elements of the page, and keeps its requests in order.

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

// Calls `job` once there has been no further call for some milliseconds.
export function settled(milliseconds, job) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => job(...given), milliseconds);
  };
}

// Writes the page's one live region, which screen readers read aloud, when the page is idle.
export const announce = settled(400, (text) => { el("live").textContent = text; });
