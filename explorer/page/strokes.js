// Draws strokes of points [x, y], in pixels of a canvas: light, with a soft round brush.
export function paintStrokes(context, strokes, width) {
  Object.assign(context, { lineCap: "round", lineJoin: "round", strokeStyle: "#fff", lineWidth: width });
  Object.assign(context, { shadowColor: "#fff", shadowBlur: width / 5 });
  for (const stroke of strokes) {
    context.beginPath();
    context.moveTo(...stroke[0]);
    for (const point of [stroke[0], ...stroke]) context.lineTo(...point); // a point alone is a dot
    context.stroke();
  }
}
