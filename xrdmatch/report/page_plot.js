// --- Drawing: the same calls on a canvas and into an SVG

const FONT = "12px system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif";
const EDGE = 12; // pixels left and right of the plot
const HKL_ROOM = 50; // above it, for labels that stand upright
const APART = 14; // pixels between two of these at least
const TICK_ROWS = 4;

// What this page uses of a canvas's pen, as elements of an SVG.
class SvgPen {
  constructor(width, height) {
    this.space = $("theme").querySelector("svg").namespaceURI;
    this.root = this.element("svg", { width, height, viewBox: `0 0 ${width} ${height}` });
    this.into = [this.root];
    this.levels = [];
    this.dash = [];
    this.ruler = make("canvas").getContext("2d");
    Object.assign(this, { lineWidth: 1, globalAlpha: 1, textAlign: "left", font: FONT });
  }
  element(tag, about) {
    const node = document.createElementNS(this.space, tag);
    for (const [key, value] of Object.entries(about)) node.setAttribute(key, typeof value === "number" ? Math.round(value * 100) / 100 : value);
    return node;
  }
  add(tag, about, text = "") {
    const node = this.element(tag, about);
    node.textContent = text;
    this.into.at(-1).append(node);
    return node;
  }
  save() { this.levels.push(this.into.length); }
  restore() { this.into.length = this.levels.pop(); }
  turned(transform) { this.into.push(this.add("g", { transform })); }
  translate(x, y) { this.turned(`translate(${x.toFixed(2)} ${y.toFixed(2)})`); }
  rotate(angle) { this.turned(`rotate(${(180 * angle) / Math.PI})`); }
  setLineDash(dash) { this.dash = dash; }
  beginPath() { this.points = []; }
  lineTo(x, y) { this.points.push(`${x.toFixed(2)},${y.toFixed(2)}`); }
  stroke() {
    this.add("polyline", { points: this.points.join(" "), fill: "none", stroke: this.strokeStyle, "stroke-width": this.lineWidth,
      "stroke-linejoin": "round", ...(this.dash.length ? { "stroke-dasharray": this.dash.join(" ") } : {}) });
  }
  fillRect(x, y, width, height) { this.add("rect", { x, y, width, height, fill: this.fillStyle, opacity: this.globalAlpha }); }
  fillText(text, x, y) {
    const anchor = { left: "start", center: "middle", right: "end" }[this.textAlign];
    this.add("text", { x, y, fill: this.fillStyle, "text-anchor": anchor, style: `font: ${this.font}` }, text);
  }
  measureText(text) {
    this.ruler.font = this.font;
    return this.ruler.measureText(text);
  }
}

// Miller indices at (x, y), an overbar where one is negative; returns their width.
const drawIndices = (pen, hkl, x, y) => {
  let at = x;
  for (const value of hkl) {
    const text = String(Math.abs(value));
    const wide = pen.measureText(text).width;
    pen.fillText(text, at, y);
    if (value < 0) pen.fillRect(at, y - 10.5, wide, 1);
    at += wide + (hkl.some((index) => Math.abs(index) > 9) ? 4 : 1.5);
  }
  return at - x;
};

const trace = (pen, points, colour, thick = 1, dash = []) => {
  pen.beginPath();
  for (const [x, y] of points) pen.lineTo(x, y);
  Object.assign(pen, { strokeStyle: colour, lineWidth: thick, lineJoin: "round" });
  pen.setLineDash(dash);
  pen.stroke();
  pen.setLineDash([]);
};

// What each mark means, in lines of `width`; returns the height it takes.
const legend = (pen, items, width) => {
  let [x, y] = [EDGE, 14];
  pen.textAlign = "left";
  for (const item of items) {
    const text = shortened(pen, item.text, width - 2 * EDGE - 24);
    const wide = 24 + pen.measureText(text).width;
    if (x > EDGE && x + wide > width - EDGE) [x, y] = [EDGE, y + 17];
    pen.fillStyle = item.colour;
    if (item.sign) pen.fillText(item.sign, x + 4, y);
    else if (item.sticks) for (const [at, high] of [[3, 9], [8, 5], [13, 7]]) pen.fillRect(x + at, y + 1 - high, 1.4, high);
    else trace(pen, [[x, y - 4], [x + 17, y - 4]], item.colour, 1.6, item.dash);
    pen.fillStyle = colour("--ink");
    pen.fillText(text, x + 22, y);
    x += wide + 16;
  }
  return y + 6;
};

const shortened = (pen, text, room) => {
  let kept = text;
  while (kept.length > 4 && pen.measureText(kept).width > room) kept = `${kept.slice(0, -2).trimEnd()}\u2026`;
  return kept;
};

// The angular axis along the bottom.
const angleAxis = (pen, { X, from, to, area, bottom, name }) => {
  const most = Math.max(3, Math.floor((area.right - area.left) / 60));
  const step = [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20].find((size) => (to - from) / size < most) || 50;
  const digits = step < 0.1 ? 2 : step < 1 ? 1 : 0;
  Object.assign(pen, { fillStyle: colour("--quiet"), textAlign: "center" });
  pen.fillRect(area.left, bottom - 34, area.right - area.left, 1);
  for (let n = Math.ceil(from / step - 1e-9); n * step <= to + 1e-9; n += 1) {
    pen.fillRect(X(n * step), bottom - 34, 1, 5);
    pen.fillText((n * step).toFixed(digits), Math.min(Math.max(X(n * step), area.left + 10), area.right - 10), bottom - 17);
  }
  pen.textAlign = "right";
  pen.fillText(name, area.right, bottom - 3);
};

// --- One scan with what was found in it

const scanLegend = (data, seen, summed) => [
  { text: "measured", colour: colour("--measured") },
  { text: "background", colour: colour("--background"), dash: [4, 3] },
  ...seen.map((match) => ({ text: `${match.name}${match.named ? "" : " (candidate)"}: calculated`, colour: colour(match.colour) })),
  ...(seen.length ? [{ text: "calculated lines, as high as the root of intensity", colour: colour(seen[0].colour), sticks: true }] : []),
  ...(summed.length > 1 ? [{ text: "sum of phases", colour: colour("--quiet") }] : []),
  ...(judged(data, seen).some((match) => match.lines.some((line) => line[7] === "missing")) ? [{ text: "missing line", colour: colour("--missing"), sign: "\u25bc" }] : []),
  ...(seen[0] && freeExtra(data, seen).length ? [{ text: checked(data) ? "further peak" : "extra line", colour: colour("--extra"), sign: "\u25c6" }] : []),
];

// Of an answer the first phase, of a check all that was expected: what lines can be missing of.
const judged = (data, seen) => (checked(data) ? seen : seen.slice(0, 1));

// Measured lines that neither the first of the phases that are shown has nor another.
const freeExtra = (data, seen) => {
  if (checked(data)) return data.further.map((line) => line.angle);
  const others = seen.filter((match) => match.phase > 1 && match !== seen[0]);
  const owned = (angle) => others.some((match) => match.lines.some((line) => line[5] > 1 && Math.abs(line[4] - angle) < Math.max(line[6], 0.1)));
  return seen[0].extra.filter((angle) => !owned(angle));
};

const scanFigure = (pen, data, { from, to, root }, width, height) => {
  Object.assign(pen, { fillStyle: colour("--paper"), font: FONT });
  pen.fillRect(0, 0, width, height);
  const seen = data.matches.filter((match) => match.seen && match.curve);
  const summed = [seen.find((match) => match.phase === 1), ...seen.filter((match) => match.phase > 1)].filter(Boolean);
  const head = legend(pen, scanLegend(data, seen, summed), width);
  const area = { left: EDGE, right: width - EDGE, top: head + HKL_ROOM, bottom: height - 100 - 14 * Math.min(Math.max(seen.length, 1), TICK_ROWS) };
  const X = (angle) => area.left + ((angle - from) / (to - from)) * (area.right - area.left);
  const inside = [];
  for (let i = 0; i < data.x.length; i += 1) if (data.x[i] >= from && data.x[i] <= to) inside.push(i);
  const fine = Array.from({ length: Math.round(2 * (area.right - area.left)) + 1 }, (_, i) => from + (i / (2 * (area.right - area.left))) * (to - from));
  let [low, high] = [Infinity, -Infinity];
  for (const i of inside) { low = Math.min(low, data.y[i]); high = Math.max(high, data.y[i]); }
  for (const match of seen) for (const angle of fine) high = Math.max(high, data.base(angle) + match.at(angle));
  if (!(high > low)) high = low + 1;
  const share = (value) => Math.max(value - low, 0) / (high - low);
  const Y = (value) => area.bottom - 2 - (root ? Math.sqrt(share(value)) : share(value)) * (area.bottom - area.top - 2);
  trace(pen, fine.map((angle) => [X(angle), Y(data.base(angle))]), colour("--background"), 1, [4, 3]);
  trace(pen, inside.map((i) => [X(data.x[i]), Y(data.y[i])]), colour("--measured"), 1.1);
  for (const match of seen) for (const run of runs(fine, (angle) => match.at(angle) > 0.002 * (high - low))) {
    trace(pen, run.map((angle) => [X(angle), Y(data.base(angle) + match.at(angle))]), colour(match.colour), 1.4);
  }
  if (summed.length > 1) {
    trace(pen, fine.map((angle) => [X(angle), Y(data.base(angle) + sum(summed.map((match) => match.at(angle))))]), colour("--quiet"), 1);
  }
  const scene = { X, Y, inside, from, to, area, bottom: height };
  if (seen.length) lineLabels(pen, data, seen, scene); else peakLabels(pen, data, scene);
  tickRows(pen, seen, scene);
  difference(pen, data, summed, scene);
  pen.fillStyle = colour("--quiet");
  pen.fillRect(area.left, area.bottom, area.right - area.left, 1);
  angleAxis(pen, { ...scene, name: `2\u03b8 / \u00b0${data.wavelength ? ` (${fixed(data.wavelength, 4)} \u00c5)` : ""}` });
  pen.textAlign = "left";
  pen.fillText(root ? "square root of intensity" : "intensity", area.left, height - 3);
  return area;
};

// The stretches of neighbours that fulfil a condition.
const runs = (list, wanted) => {
  const found = [];
  list.forEach((item, i) => {
    if (!wanted(item)) return;
    if (i && wanted(list[i - 1]) && found.length) found.at(-1).push(item); else found.push([item]);
  });
  return found;
};

// An upright label over a point, where nothing stands yet.
const upright = (pen, { X, Y, area }, angle, height, paint) => {
  pen.save();
  pen.translate(X(angle) + 4, Math.max(Y(height) - 6, area.top - 2));
  pen.rotate(-Math.PI / 2);
  pen.textAlign = "left";
  paint();
  pen.restore();
};

const topNear = (data, inside, angle) => {
  let highest = -Infinity;
  for (const i of inside) if (Math.abs(data.x[i] - angle) < 0.15) highest = Math.max(highest, data.y[i]);
  return highest;
};

// hkl over lines that the scan shows; signs for those that are missing and those that are extra.
const lineLabels = (pen, data, seen, scene) => {
  const { X, from, to, inside } = scene;
  const taken = [];
  const free = (angle) => angle > from && angle < to && taken.length < 60 && taken.every((other) => Math.abs(other - X(angle)) >= APART);
  const top = (angle) => Math.max(topNear(data, inside, angle), ...seen.map((match) => data.base(angle) + match.at(angle)));
  const put = (angle, paint) => { taken.push(X(angle)); upright(pen, scene, angle, top(angle), paint); };
  const sign = (angle, text, name) => { if (free(angle)) put(angle, () => { pen.fillStyle = colour(name); pen.fillText(text, 0, 0); }); };
  const height = (angle) => (checked(data) ? ` ${data.further.find((line) => line.angle === angle).height} %` : "");
  for (const angle of freeExtra(data, seen)) sign(angle, `\u25c6${height(angle)}`, "--extra");
  for (const match of judged(data, seen)) for (const line of match.lines) if (line[7] === "missing") sign(line[4], "\u25bc", "--missing");
  const strong = seen.flatMap((match) => match.lines.map((line) => [line, match])).sort((a, b) => b[1].scale * b[0][5] - a[1].scale * a[0][5]);
  for (const [line, match] of strong) {
    if (line[7] === "missing" || !line[8] || !free(line[4])) continue;
    put(line[4], () => { pen.fillStyle = colour(seen.length > 1 ? match.colour : "--quiet"); drawIndices(pen, line.slice(0, 3), 0, 0); });
  }
};

// The angles of strong lines that nothing indexes.
const peakLabels = (pen, data, scene) => {
  const { X, inside, from, to } = scene;
  const taken = [];
  for (const angle of data.peaks) { // the highest first
    if (angle <= from || angle >= to) continue;
    const near = inside.filter((i) => Math.abs(data.x[i] - angle) < 0.15);
    if (!near.length) continue;
    const peak = near.reduce((best, i) => (data.y[i] > data.y[best] ? i : best));
    if (taken.some((other) => Math.abs(other - X(data.x[peak])) < APART)) continue;
    taken.push(X(data.x[peak]));
    upright(pen, scene, data.x[peak], data.y[peak], () => { pen.fillStyle = colour("--quiet"); pen.fillText(`${fixed(data.x[peak], 2)}\u00b0`, 0, 0); });
  }
};

const tickRows = (pen, seen, { X, from, to, area }) => {
  seen.slice(0, TICK_ROWS).forEach((match, row) => {
    const base = area.bottom + 18 + 14 * row;
    pen.fillStyle = colour(match.colour);
    for (const [, , , , angle, percent] of match.lines) {
      if (angle < from || angle > to) continue;
      const high = 2 + 9 * Math.sqrt(percent / 100);
      pen.fillRect(X(angle) - 0.6, base - high, 1.2, high);
    }
  });
};

const difference = (pen, data, summed, { X, inside, area, bottom }) => {
  const values = inside.map((i) => data.y[i] - data.base(data.x[i]) - sum(summed.map((match) => match.at(data.x[i]))));
  const most = Math.max(...values.map(Math.abs), 1e-9);
  const middle = bottom - 56;
  pen.fillStyle = colour("--line");
  pen.fillRect(area.left, middle, area.right - area.left, 1);
  trace(pen, inside.map((i, n) => [X(data.x[i]), middle - (values[n] / most) * 18]), colour("--measured"), 0.8);
  Object.assign(pen, { fillStyle: colour("--quiet"), textAlign: "right" });
  const what = summed.length ? summed.map((match) => match.name).join(" and ") : "background";
  pen.fillText(shortened(pen, `measured less ${what}`, area.right - area.left - 8), area.right - 4, middle - 20);
};

// --- Several scans over each other

const stackFigure = (pen, scans, { from, to, root }, width, height) => {
  Object.assign(pen, { fillStyle: colour("--paper"), font: FONT });
  pen.fillRect(0, 0, width, height);
  const area = { left: EDGE, right: width - EDGE, top: 14, bottom: height - 46 };
  const X = (angle) => area.left + ((angle - from) / (to - from)) * (area.right - area.left);
  const room = (area.bottom - area.top) / scans.length;
  scans.forEach((scan, row) => {
    const base = area.top + room * (row + 1) - 6;
    const points = [];
    for (let i = 0; i < scan.x.length; i += 1) if (scan.x[i] >= from && scan.x[i] <= to) points.push(i);
    const low = points.reduce((least, i) => Math.min(least, scan.y[i]), Infinity);
    const high = points.reduce((most, i) => Math.max(most, scan.y[i]), low + 1e-9);
    const share = (value) => (value - low) / (high - low);
    const Y = (value) => base - (root ? Math.sqrt(share(value)) : share(value)) * (room - 34);
    trace(pen, points.map((i) => [X(scan.x[i]), Y(scan.y[i])]), colour(tint(row)), 1.1);
    Object.assign(pen, { fillStyle: colour(tint(row)), textAlign: "right" });
    for (const [angle, percent] of scan.lines) if (angle > from && angle < to && percent > 2) pen.fillRect(X(angle) - 0.5, base + 1, 1, 1 + 4 * Math.sqrt(percent / 100));
    pen.fillText(shortened(pen, scan.title, area.right - area.left), area.right, base - room + 22);
  });
  angleAxis(pen, { X, from, to, area, bottom: height, name: scans[0].axis });
  pen.textAlign = "left";
  pen.fillText(`${root ? "square root of intensity" : "intensity"}, each to its highest line`, area.left, height - 3);
  return area;
};
