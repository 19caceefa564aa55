// Elements of the page, requests to its server.

export const el = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

export async function ask(path, body) {
  let answer;
  try {
    answer = await fetch(path, body === undefined ? {} : { method: "POST", body });
  } catch {
    throw new Error("The server does not answer. Is the command that started it still running?");
  }
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error);
  return found;
}

// One call of `work` at a time; of those that come meanwhile the newest alone is made. Errors go to `complain`.
export function newest(complain, work) {
  let busy = false, waiting = null;
  return async function run(...given) {
    if (busy) { waiting = given; return; }
    busy = true;
    try { await work(...given); } catch (error) { complain(error); }
    busy = false;
    if (waiting) { const next = waiting; waiting = null; run(...next); }
  };
}
