// --- The page: light and dark, the overview, what is shown below it

const root = document.documentElement;
const wanted = matchMedia("(prefers-color-scheme: dark)");
let redraw = () => {};
const theme = (name) => { root.dataset.theme = name; redraw(); };
let asked = null;
try { asked = localStorage.getItem("xrdmatch-theme"); } catch { /* a file may have no storage */ }
theme(asked || (wanted.matches ? "dark" : "light"));
wanted.addEventListener("change", (event) => { if (!asked) theme(event.matches ? "dark" : "light"); });
$("theme").addEventListener("click", () => {
  asked = root.dataset.theme === "dark" ? "light" : "dark";
  try { localStorage.setItem("xrdmatch-theme", asked); } catch { /* then it lasts as long as the page */ }
  theme(asked);
});

// --- The overview: sort, filter, choose
const body = $("rows").tBodies[0];
const rows = [];
const heads = [...$("rows").tHead.rows[0].cells];
const key = (row, column) => row.cells[column].dataset.key;
const sortRows = () => {
  const column = heads.findIndex((head) => head.hasAttribute("aria-sort"));
  const falling = heads[column].getAttribute("aria-sort") === "descending";
  const text = column === 1 || column === 2;
  const order = (a, b) => (text ? key(a, column).localeCompare(key(b, column), undefined, { numeric: true }) : key(a, column) - key(b, column));
  const last = (row) => key(row, column) === ""; // what has no value stands last either way
  rows.sort((a, b) => last(a) - last(b) || (falling ? -1 : 1) * order(a, b) || a.dataset.place - b.dataset.place);
  body.append(...rows);
};
heads.forEach((head) => {
  head.querySelector("button")?.addEventListener("click", () => {
    const falling = head.getAttribute("aria-sort") === "ascending" || (!head.hasAttribute("aria-sort") && head.classList.contains("number"));
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
    sortRows();
  });
});
const off = new Set();
let only = null; // a name, where one was chosen
const filter = () => {
  const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = off.has(row.dataset.verdict) || (only !== null && row.dataset.name !== only) || !words.every((word) => text.includes(word));
    shown += !row.hidden;
  }
  markWells(rows);
  $("shown").textContent = shown < rows.length ? `${shown} of ${rows.length} shown` : "";
};
$("search").addEventListener("input", filter);
const pressed = () => {
  const names = [...document.querySelectorAll("#names button")];
  if (only !== null && !names.some((button) => button.dataset.name === only)) only = null; // its last scan has another name now
  names.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.name === only)));
};
$("summary").addEventListener("click", (event) => {
  const button = event.target.closest("#names button");
  if (!button) return;
  only = only === button.dataset.name ? null : button.dataset.name;
  pressed();
  filter();
  const first = rows.find((row) => !row.hidden);
  if (only !== null && first) location.hash = first.dataset.place;
});
const chip = (verdict) => {
  const number = rows.filter((row) => row.dataset.verdict === verdict).length;
  const button = make("button", { type: "button", class: `sign ${verdict}`, "aria-pressed": String(!off.has(verdict)) }, `${verdict} ${number}`);
  button.addEventListener("click", () => {
    const hide = !off.has(verdict);
    button.setAttribute("aria-pressed", String(!hide));
    if (hide) off.add(verdict); else off.delete(verdict);
    filter();
  });
  return button;
};
// Takes in the table's rows: at the start, and when some have come, changed or gone since.
const listRows = () => {
  rows.splice(0, rows.length, ...body.rows);
  const verdicts = $("summary").dataset.order.split(" ").filter((verdict) => rows.some((row) => row.dataset.verdict === verdict));
  $("chips").replaceChildren(...(verdicts.length > 1 ? verdicts.map(chip) : []));
  if (verdicts.length < 2) off.clear(); // nothing is left to bring back what is hidden
  sortRows();
  pressed();
  filter();
  count();
};
body.addEventListener("click", (event) => {
  const row = event.target.closest("tr");
  if (row && !event.target.closest("a, input, label")) location.hash = row.dataset.place;
});
document.addEventListener("keydown", (event) => {
  if (event.target.matches("input:not([type=checkbox]), textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
  const step = { j: 1, k: -1 }[event.key];
  const visible = rows.filter((row) => !row.hidden);
  if (!step || !visible.length) return;
  const now = visible.findIndex((row) => row.classList.contains("chosen"));
  const next = visible[Math.min(Math.max(now + step, 0), visible.length - 1)];
  location.hash = next.dataset.place;
  next.scrollIntoView({ block: "nearest" });
});

// --- Tables out of the page
const quoted = (value) => (/[",\n\r]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
const table = () => {
  const listed = rows.filter((item) => !item.hidden).map((row) => JSON.parse($(`data-${row.dataset.place}`).textContent));
  const lines = [listed.length && checked(listed[0]) ? Object.keys(listed[0].row)
    : ["file", "verdict", "name", "probability", "phase", "phase_name", "share", "weight_share", "reason"]];
  for (const data of listed) {
    if (checked(data)) {
      lines.push(Object.values(data.row));
      continue;
    }
    const first = [data.file, data.verdict, data.name, data.probability];
    const phases = data.phases.length ? data.phases : [{ phase: "", name: "", share: "", weight_share: "" }];
    for (const phase of phases) lines.push([...first, phase.phase, phase.name, phase.share, phase.weight_share ?? "", data.reason]);
  }
  return lines.map((line) => line.map((value) => quoted(String(value))).join(",")).join("\r\n");
};
$("csv").addEventListener("click", () => offer(new Blob([`${table()}\r\n`], { type: "text/csv" }), `${document.title}.csv`));

// --- Below the overview: one scan, or those that are ticked over each other
const show = (place) => {
  const row = rows.find((item) => item.dataset.place === String(place));
  if (!row) return;
  rows.forEach((item) => item.classList.toggle("chosen", item === row));
  markWells(rows);
  const data = load(place);
  const parts = [heading(data), ...extras.scan(data), ...told(data)];
  redraw = () => {};
  if (data.scan) {
    const plot = scanBench(data);
    parts.push(plot.node);
    if (checked(data)) parts.push(...furtherTable(data, plot));
    if (data.matches.length) parts.push(...candidates(data, plot));
    $("detail").replaceChildren(...parts);
    plot.draw();
    redraw = plot.draw;
  } else $("detail").replaceChildren(...parts);
};

// Brings what was chosen into view where the overview fills the screen.
const reveal = () => {
  const top = $("detail").getBoundingClientRect().top;
  if (top > 0.75 * innerHeight || top < 0) $("detail").scrollIntoView({ block: "start" });
};

const ticked = () => rows.filter((row) => row.querySelector("input")?.checked);
const stack = () => {
  const scans = ticked().map((row) => load(row.dataset.place)).filter((data) => data.scan);
  if (!scans.length) return;
  rows.forEach((row) => row.classList.remove("chosen"));
  markWells(rows);
  const first = scans[0].wavelength;
  const moved = (data) => { // angles of another wavelength go where the first one's would be
    if (!first || !data.wavelength || Math.abs(first - data.wavelength) < 1e-3) return (angle) => angle;
    return (angle) => (360 / Math.PI) * Math.asin(Math.min(1, (first / data.wavelength) * Math.sin((angle * Math.PI) / 360)));
  };
  const drawn = scans.map((data) => {
    const at = moved(data);
    const lines = data.matches.filter((match) => match.seen).flatMap((match) => match.lines.map((line) => [at(line[4]), line[5]]));
    const axis = `2\u03b8 / \u00b0${first ? ` (${fixed(first, 4)} \u00c5)` : ""}`;
    return { x: data.x.map(at), y: data.y, lines, axis, title: [data.title, baseName(data.file)].filter(Boolean).join("   ") };
  });
  const plot = bench({
    label: "Scans over each other",
    file: "stack",
    range: [Math.min(...drawn.map((scan) => scan.x[0])), Math.max(...drawn.map((scan) => scan.x.at(-1)))],
    height: Math.max(360, 70 + 110 * drawn.length),
    figure: (pen, view, width, height) => stackFigure(pen, drawn, view, width, height),
    tell: (angle) => `2\u03b8 ${fixed(angle, 3)}\u00b0${first && angle > 0.1 ? `   d ${fixed(spacing(first, angle), 3)} \u00c5` : ""}`,
  });
  const said = "Each scan is drawn to its highest line; the ticks under it are the lines of what was found in it.";
  $("detail").replaceChildren(make("h2", {}, `${drawn.length} scans`), make("p", { class: "fact" }, said), plot.node);
  plot.draw();
  redraw = plot.draw;
};
const count = () => {
  const number = ticked().length;
  Object.assign($("stack"), { disabled: !number, textContent: number ? `stack ${number} scan${number > 1 ? "s" : ""}` : "stack ticked scans" });
};
body.addEventListener("change", count);
$("stack").addEventListener("click", () => { if (location.hash === "#stack") stack(); else location.hash = "stack"; });

// --- Printed, each scan that is shown is one block
addEventListener("beforeprint", () => {
  root.dataset.print = root.dataset.theme;
  root.dataset.theme = "light";
  const blocks = rows.filter((row) => !row.hidden).map((row) => {
    const data = load(row.dataset.place);
    const block = make("section", { class: "block" }, heading(data), ...told(data));
    if (data.scan) {
      const pen = new SvgPen(720, 330);
      scanFigure(pen, data, { from: data.scan.from, to: data.scan.to, root: false }, 720, 330);
      block.append(pen.root);
    }
    if (checked(data)) block.append(...furtherTable(data));
    return block;
  });
  if (wells.length) blocks.unshift($("plate").cloneNode(true));
  $("print").replaceChildren(...blocks);
});
addEventListener("afterprint", () => { $("print").replaceChildren(); theme(root.dataset.print); });

const best = (verdict) => rows.find((row) => row.dataset.verdict === verdict);
const start = () => {
  if (location.hash === "#stack") { stack(); return; }
  const first = best("match") ?? best("ambiguous") ?? rows[0];
  show(/^#\d+$/.test(location.hash) ? location.hash.slice(1) : first?.dataset.place ?? "");
};
addEventListener("hashchange", () => { start(); reveal(); });
listRows();
start();
