// Pen strokes: lists of [x, y] in pixels of the sheet.

const PEN_PX = 11;
const LEAST_EXTENT_PX = 6; // a press that moves less is no drawing, unless other strokes stand beside it

export const paint = (pen, strokes) => {
  pen.clearRect(0, 0, pen.canvas.width, pen.canvas.height);
  pen.lineWidth = PEN_PX;
  pen.lineCap = pen.lineJoin = "round";
  pen.strokeStyle = pen.fillStyle = "black";
  for (const points of strokes) {
    pen.beginPath();
    pen.moveTo(...points[0]);
    if (points.length === 1) pen.lineTo(points[0][0] + 0.1, points[0][1]);
    for (let i = 1; i < points.length; i++) {
      const [x, y] = points[i];
      const [px, py] = points[i - 1];
      pen.quadraticCurveTo(px, py, (px + x) / 2, (py + y) / 2);
    }
    pen.lineTo(...points[points.length - 1]);
    pen.stroke();
  }
};

// Whether the strokes are a drawing, not only the trace of a press.
export const isDrawing = (strokes) => {
  const points = strokes.flat();
  return [0, 1].some((axis) => {
    const values = points.map((point) => point[axis]);
    return Math.max(...values) - Math.min(...values) > LEAST_EXTENT_PX;
  });
};

// Black ink on white paper, as a data URL.
export const strokesUrl = (canvas) => {
  const flat = document.createElement("canvas");
  flat.width = canvas.width;
  flat.height = canvas.height;
  const paper = flat.getContext("2d");
  paper.fillStyle = "white";
  paper.fillRect(0, 0, flat.width, flat.height);
  paper.drawImage(canvas, 0, 0);
  return flat.toDataURL("image/png");
};
