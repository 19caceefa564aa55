// The canvas for drawing. A drawing is a list of strokes, and a stroke is a list of points [x, y] from 0 to 1.

import { paintStrokes } from "./strokes.js";

// Returns the pad's { strokes, undo, clear, load }; `changed` is called after each change of the strokes.
export function makePad(canvas, changed) {
  const strokes = [], held = new Map(); // the stroke of each pointer that is down: fingers do not share one
  const context = canvas.getContext("2d"), side = canvas.width;
  const paint = () => {
    context.clearRect(0, 0, side, side);
    paintStrokes(context, strokes.map((stroke) => stroke.map(([x, y]) => [x * side, y * side])), side * 0.075);
  };
  const update = () => { paint(); changed(); };
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height]
      .map((part) => Math.round(1000 * Math.min(1, Math.max(0, part))) / 1000);
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    held.set(event.pointerId, [place(event)]);
    strokes.push(held.get(event.pointerId));
    update();
  });
  canvas.addEventListener("pointermove", (event) => {
    const stroke = held.get(event.pointerId);
    if (!strokes.includes(stroke)) return;
    const point = place(event), last = stroke.at(-1);
    if (Math.hypot(point[0] - last[0], point[1] - last[1]) < 0.012) return;
    stroke.push(point);
    update();
  });
  for (const end of ["pointerup", "pointercancel"])
    canvas.addEventListener(end, (event) => held.delete(event.pointerId));
  return {
    strokes,
    undo: () => { strokes.pop(); update(); },
    clear: () => { strokes.length = 0; update(); },
    load: (others) => { strokes.splice(0, Infinity, ...others); paint(); },
  };
}
