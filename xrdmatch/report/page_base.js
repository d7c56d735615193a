// --- What the other parts use. Text from files reaches the page through textContent alone.

const $ = (id) => document.getElementById(id);
const make = (tag, about = {}, ...inside) => {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(about)) {
    if (key === "class") node.className = value;
    else if (key in node && key !== "style") node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...inside.filter((item) => item !== null && item !== ""));
  return node;
};
// What a page with a server behind it adds under the heading of a scan, and beside a candidate.
const extras = { scan: () => [], candidate: () => [] };
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const tint = (index) => `--c${index % 5}`;
const fixed = (value, digits) => (value === null || value === undefined ? "" : value.toFixed(digits).replace("-", "\u2212"));
const sum = (list) => list.reduce((total, value) => total + value, 0);
const baseName = (file) => file.split(/[\\/]/).pop() || file;
const spacing = (wavelength, angle) => wavelength / (2 * Math.sin((angle * Math.PI) / 360));

// --- Numbers out of the page's data

const unpack = (text, low, high) => {
  const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float64Array.from({ length: bytes.length / 2 }, (_, i) => low + ((high - low) * view.getUint16(2 * i, true)) / 65535);
};
const between = (values, share) => {
  const place = Math.min(Math.max(share, 0), 1) * (values.length - 1);
  const left = Math.min(Math.floor(place), values.length - 2);
  return values[left] + (values[left + 1] - values[left]) * (place - left);
};
// The first colour that nothing drawn has.
const freeTint = (data) => {
  const used = data.matches.filter((match) => match.seen).map((match) => match.colour);
  return [0, 1, 2, 3, 4].map(tint).find((name) => !used.includes(name)) ?? tint(0);
};
const load = (place) => {
  const data = JSON.parse($(`data-${place}`).textContent);
  const scan = data.scan;
  if (!scan) return data;
  data.y = unpack(scan.y, scan.low, scan.high);
  data.x = scan.x ? unpack(scan.x, scan.from, scan.to)
    : Float64Array.from(data.y, (_, i) => scan.from + ((scan.to - scan.from) * i) / (data.y.length - 1));
  const base = unpack(scan.background, scan.low, scan.high);
  data.share = (angle) => (angle - scan.from) / (scan.to - scan.from);
  data.base = (angle) => between(base, data.share(angle));
  data.matches.forEach((match) => {
    match.seen = match.named && Boolean(match.lines);
    match.colour = match.seen ? freeTint(data) : null;
    let curve = null; // drawn when it is first looked at
    Object.defineProperty(match, "curve", { get: () => (curve ??= match.lines ? profile(match, scan) : null) });
    match.at = (angle) => (match.curve ? between(match.curve, data.share(angle)) : 0);
  });
  return data;
};
// Pseudo-Voigt lines, half Lorentzian, of area scale * percent.
const profile = (match, scan) => {
  const finest = Math.min(...match.lines.map((line) => line[6]), 1);
  const size = Math.min(20000, Math.max(2000, Math.ceil((6 * (scan.to - scan.from)) / finest)));
  const values = new Float64Array(size);
  const step = (scan.to - scan.from) / (size - 1);
  for (const [, , , , angle, percent, width] of match.lines) {
    const first = Math.max(0, Math.ceil((angle - 20 * width - scan.from) / step));
    const last = Math.min(size - 1, Math.floor((angle + 20 * width - scan.from) / step));
    for (let i = first; i <= last; i += 1) {
      const x = ((scan.from + i * step - angle) / width) ** 2;
      values[i] += ((match.scale * percent) / width) * (0.5 * 0.6366198 / (1 + 4 * x) + 0.5 * 0.9394373 * Math.exp(-2.7725887 * x));
    }
  }
  return values;
};
