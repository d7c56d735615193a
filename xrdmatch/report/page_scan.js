// --- One scan: what was found, the figure, the candidates, the lines

const heading = (data) => make("div", { class: "verdict" },
  make("span", { class: `badge ${data.verdict}` }, data.verdict),
  make("h2", {}, data.title || baseName(data.file)),
  data.title ? make("span", { class: "file" }, data.file) : null);

const told = (data) => [
  ...data.facts.map((fact) => make("p", { class: `fact ${fact.kind}` },
    fact.label ? make("b", {}, `${fact.label}: `) : null,
    ...fact.parts.flatMap((part) => [make("span", {}, ...linked(part, data.doi)), " "]))),
  ...data.notes.map((note) => make("p", { class: "fact note" }, note)),
];

// The DOI as a link, anything else as it stands.
const linked = (part, doi) => (doi && part.startsWith("doi ") ? ["doi ", make("a", { href: doi, rel: "noopener noreferrer", target: "_blank" }, part.slice(4))] : [part]);

const scanBench = (data) => bench({
  label: "Measured pattern with the lines of what was found",
  file: baseName(data.file),
  range: [data.scan.from, data.scan.to],
  figure: (pen, view, width, height) => scanFigure(pen, data, view, width, height),
  tell: (angle, pixel) => {
    const near = data.matches.filter((match) => match.seen && match.lines).flatMap((match) => match.lines
      .filter((line) => Math.abs(line[4] - angle) < 8 * pixel).map((line) => [Math.abs(line[4] - angle), `${match.name} (${line.slice(0, 3).join(" ")})`]))
      .sort((a, b) => a[0] - b[0]).slice(0, 2).map((item) => item[1].replaceAll("-", "\u2212"));
    const d = data.wavelength && angle > 0.1 ? `d ${fixed(spacing(data.wavelength, angle), 3)} \u00c5` : "";
    return [`2\u03b8 ${fixed(angle, 3)}\u00b0`, d, ...near].filter(Boolean).join("   ");
  },
});

const HEADS = ["Formula", "Probability", "Similarity", "Explains", "Shift", ""];

// The groups of candidates: what the answer names is drawn, the others wait for a tick.
const candidates = (data, plot) => {
  const lines = make("div", { class: "lineplace" });
  const body = make("tbody");
  const groups = [
    [checked(data) ? "" : "In the answer", data.matches.filter((match) => match.named)],
    [data.matches.some((match) => match.named) ? "Other candidates: tick one to draw it" : "Candidates: tick one to draw it",
      data.matches.filter((match) => !match.named && match.phase === 1)],
    [data.accepted?.length ? "Guesses at a further phase" : "Guesses at a second phase", data.matches.filter((match) => !match.named && match.phase > 1)],
  ];
  for (const [title, members] of groups.filter((group) => group[1].length)) {
    if (title) body.append(make("tr", { class: "group" }, make("th", { colSpan: HEADS.length + 1, scope: "rowgroup" }, title)));
    const weak = members.filter((match) => !match.named && match.probability < 0.01);
    for (const match of members) if (!weak.includes(match)) body.append(candidateRow(data, match, plot, lines));
    if (weak.length) body.append(furtherRow(weak.map((match) => candidateRow(data, match, plot, lines))));
  }
  const first = data.matches.find((match) => match.named);
  if (first) lines.replaceChildren(...lineTable(data, first, plot));
  const head = make("tr", {}, make("th", {}, "Framework"), ...HEADS.map((name, i) => make("th", i > 0 && i < 5 ? { class: "number" } : {}, name)));
  return [make("h3", {}, checked(data) ? "Expected" : "Candidates"), make("div", { class: "scroll candidates" }, make("table", {}, make("thead", {}, head), body)), lines];
};

const furtherRow = (rows) => {
  const open = make("button", { type: "button" }, `${rows.length} more below 1 %`);
  const row = make("tr", { class: "further" }, make("td", { colSpan: HEADS.length + 1 }, open));
  open.addEventListener("click", () => row.replaceWith(...rows));
  return row;
};

// What a phase of the answer is beside the first.
const role = (data, match) => {
  if (!match.named || checked(data)) return "";
  return data.accepted.includes(match.id) ? " (accepted)" : match.phase > 1 ? " (second phase)" : "";
};

const candidateRow = (data, match, plot, lines) => {
  const tick = make("input", { type: "checkbox", checked: match.seen, disabled: !match.lines, "aria-label": `show ${match.name}` });
  const swatch = make("span", { class: "swatch" });
  const painted = () => { swatch.style.background = match.colour ? `var(${match.colour})` : ""; };
  tick.addEventListener("change", () => {
    match.colour = tick.checked ? freeTint(data) : null;
    match.seen = tick.checked;
    painted();
    plot.draw();
  });
  painted();
  const open = make("button", { type: "button" }, "lines");
  open.addEventListener("click", () => lines.replaceChildren(...lineTable(data, match, plot)));
  const bar = make("i");
  bar.style.width = `${100 * match.probability}%`;
  const cells = [match.formula, [make("span", { class: "bar" }, bar), " ", make("span", { class: "said" }, match.likely)], fixed(match.similarity, 3),
    `${(100 * match.explained).toFixed(0)} %`, `${fixed(match.shift, 2)}\u00b0`,
    [...extras.candidate(data, match), match.lines ? open : "", " ", match.doi ? make("a", { href: match.doi, rel: "noopener noreferrer", target: "_blank" }, "doi") : ""]];
  return make("tr", {},
    make("td", {}, make("label", {}, tick, swatch, `${match.name}${role(data, match)}`),
      ...[match.entry, match.forms, match.note].map((text) => make("small", {}, text))),
    ...cells.map((cell, i) => make("td", { class: i > 0 && i < 5 ? "number" : "", "data-label": HEADS[i] }, ...[cell].flat())));
};

// Miller indices with an overbar where one is negative.
const indices = (hkl) => hkl.flatMap((value, i) => [i ? " " : "", value < 0 ? make("span", { class: "over", title: `\u2212${-value}` }, String(-value)) : String(value)]);

const lineTable = (data, match, plot) => {
  if (!match.lines) return [];
  const cell = match.cell ? `a b c ${match.cell.slice(0, 3).join("  ")} \u00c5, \u03b1 \u03b2 \u03b3 ${match.cell.slice(3).join("  ")}\u00b0, as refined` : "";
  const row = (angle, percent, hkl, d, state) => [angle, make("tr", {}, make("td", {}, ...hkl), make("td", { class: "number" }, fixed(d, 4)),
    make("td", { class: "number" }, fixed(angle, 3)), make("td", { class: "number" }, fixed(percent, 1)), make("td", { class: state }, state))];
  const list = match.lines.map(([h, k, l, d, angle, percent, , state]) => row(angle, percent, indices([h, k, l]), d, state));
  list.push(...match.extra.map((angle) => row(angle, null, ["\u2013"], spacing(data.wavelength, angle), "extra")));
  list.sort((a, b) => a[0] - b[0]);
  list.forEach(([angle, line]) => { line.addEventListener("click", () => plot.zoom(angle - 1, angle + 1)); line.style.cursor = "pointer"; });
  const head = ["h k l", "d / \u00c5", "2\u03b8 / \u00b0", "I / %", ""].map((name, i) => make("th", i && i < 4 ? { class: "number" } : {}, name));
  return [make("h3", {}, `Lines of ${match.name}`), make("p", { class: "told" }, cell),
    make("div", { class: "scroll lines" }, make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...list.map((item) => item[1]))))];
};
