"use strict";
(() => {
  // Text from files reaches the page through textContent alone.
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
  const root = document.documentElement;
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const tint = (index) => `--c${index % 5}`;
  const fixed = (value, digits) => (value === null || value === undefined ? "" : value.toFixed(digits).replace("-", "\u2212"));
  const sum = (list) => list.reduce((total, value) => total + value, 0);

  // --- Light and dark
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

  // --- The summary: sort, filter, choose
  const body = $("rows").tBodies[0];
  const rows = [...body.rows];
  const heads = [...$("rows").tHead.rows[0].cells];
  const key = (row, column) => row.cells[column].dataset.key;
  heads.forEach((head, column) => {
    head.querySelector("button")?.addEventListener("click", () => {
      const falling = head.getAttribute("aria-sort") === "ascending" || (!head.hasAttribute("aria-sort") && head.classList.contains("number"));
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const text = column === 1 || column === 2;
      const order = (a, b) => (text ? key(a, column).localeCompare(key(b, column), undefined, { numeric: true }) : key(a, column) - key(b, column));
      const last = (row) => key(row, column) === ""; // what has no value stands last either way
      rows.sort((a, b) => last(a) - last(b) || (falling ? -1 : 1) * order(a, b) || a.dataset.place - b.dataset.place);
      body.append(...rows);
    });
  });
  const off = new Set();
  const filter = () => {
    const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = off.has(row.dataset.verdict) || !words.every((word) => text.includes(word));
      shown += !row.hidden;
    }
    $("shown").textContent = shown < rows.length ? `${shown} of ${rows.length} shown` : "";
  };
  $("search").addEventListener("input", filter);
  const verdicts = [...new Set(rows.map((row) => row.dataset.verdict))];
  if (verdicts.length > 1) {
    for (const verdict of verdicts) {
      const count = rows.filter((row) => row.dataset.verdict === verdict).length;
      const chip = make("button", { type: "button", class: verdict, "aria-pressed": "true" }, `${verdict} ${count}`);
      chip.addEventListener("click", () => {
        const hide = chip.getAttribute("aria-pressed") === "true";
        chip.setAttribute("aria-pressed", String(!hide));
        if (hide) off.add(verdict); else off.delete(verdict);
        filter();
      });
      $("chips").append(chip);
    }
  }
  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (row && !event.target.closest("a")) location.hash = row.dataset.place;
  });
  document.addEventListener("keydown", (event) => {
    if (event.target.matches("input, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = { j: 1, k: -1 }[event.key];
    const visible = rows.filter((row) => !row.hidden);
    if (!step || !visible.length) return;
    const now = visible.findIndex((row) => row.classList.contains("chosen"));
    const next = visible[Math.min(Math.max(now + step, 0), visible.length - 1)];
    location.hash = next.dataset.place;
    next.scrollIntoView({ block: "nearest" });
  });

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
    data.matches.forEach((match, index) => {
      match.colour = tint(index);
      match.seen = match.named;
      match.curve = match.lines ? profile(match, scan) : null;
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

  // --- One scan
  const show = (place) => {
    const row = rows.find((item) => item.dataset.place === String(place));
    if (!row) return;
    rows.forEach((item) => item.classList.toggle("chosen", item === row));
    const data = load(place);
    const best = data.matches?.[0];
    const named = best && (data.verdict === "match" || data.verdict === "ambiguous");
    const head = make("div", { class: "verdict" },
      make("span", { class: `badge ${data.verdict}` }, data.verdict),
      make("h2", {}, named ? `${best.name}` : data.file.split(/[\\/]/).pop()),
      named ? make("span", {}, data.likely) : null,
      named ? make("span", { class: "file" }, data.file) : null);
    const parts = [head, make("p", { class: "reason" }, data.reason)];
    for (const note of data.notes || []) parts.push(make("p", { class: "told" }, note));
    if (data.told) parts.push(make("p", { class: "told" }, data.told.join(" \u00b7 ")));
    redraw = () => {};
    if (data.scan) {
      const plot = bench(data);
      parts.push(plot.node);
      if (best) parts.push(...tables(data, plot));
      $("detail").replaceChildren(...parts);
      plot.draw();
      redraw = plot.draw;
    } else $("detail").replaceChildren(...parts);
  };

  const tables = (data, plot) => {
    const lines = make("div");
    const list = make("tbody");
    const head = make("tr", {}, ...["Candidate", "Formula", "Probability", "Similarity", "Explains", "Shift", "a b c by", ""].map((name, i) =>
      make("th", i > 1 && i < 7 ? { class: "number" } : {}, name)));
    data.matches.forEach((match, index) => {
      const tick = make("input", { type: "checkbox", checked: match.seen, disabled: !match.lines, "aria-label": `show ${match.name}` });
      tick.addEventListener("change", () => { match.seen = tick.checked; plot.draw(); });
      const swatch = make("span", { class: "swatch" });
      swatch.style.background = `var(${match.colour})`;
      const family = match.members.length > 1 ? `family ${match.family}: ${match.members.slice(0, 6).join(", ")}${match.members.length + match.more > 6 ? ` and ${match.members.length + match.more - 6} more` : ""}` : "";
      const open = make("button", { type: "button" }, "lines");
      open.addEventListener("click", () => { lines.replaceChildren(...lineTable(data, match, plot)); });
      const bar = make("i");
      bar.style.width = `${100 * match.probability}%`;
      list.append(make("tr", {},
        make("td", {}, make("label", {}, tick, swatch, `${match.name}${match.phase !== 2 ? "" : match.named ? " (second phase)" : " (second phase?)"}`),
          make("small", {}, match.name ? match.id : ""), make("small", {}, family), make("small", {}, match.note)),
        make("td", {}, match.formula),
        make("td", { class: "number" }, make("span", { class: "bar" }, bar), " ", make("span", { class: "said" }, match.likely)),
        make("td", { class: "number" }, fixed(match.similarity, 3)),
        make("td", { class: "number" }, match.explained === null ? "" : `${(100 * match.explained).toFixed(0)} %`),
        make("td", { class: "number" }, `${fixed(match.shift, 2)}\u00b0`),
        make("td", { class: "number" }, `${match.strain.map((value) => fixed(100 * value, 1)).join("  ")} %`),
        make("td", {}, match.lines ? open : "", " ", match.doi ? make("a", { href: match.doi, rel: "noopener noreferrer", target: "_blank" }, "doi") : "")));
      if (index === 0) lines.replaceChildren(...lineTable(data, match, plot));
    });
    return [make("h3", {}, "Candidates"), make("div", { class: "scroll candidates" }, make("table", {}, make("thead", {}, head), list)), lines];
  };

  const lineTable = (data, match, plot) => {
    if (!match.lines) return [];
    const cell = match.cell ? `a b c ${match.cell.slice(0, 3).join("  ")} \u00c5, \u03b1 \u03b2 \u03b3 ${match.cell.slice(3).join("  ")}\u00b0, as adjusted` : "";
    const list = match.lines.map(([h, k, l, d, angle, percent, , state]) => [angle, make("tr", {},
      make("td", {}, `${h} ${k} ${l}`.replaceAll("-", "\u2212")), make("td", { class: "number" }, fixed(d, 4)), make("td", { class: "number" }, fixed(angle, 3)),
      make("td", { class: "number" }, fixed(percent, 1)), make("td", { class: state }, state))]);
    list.push(...match.extra.map((angle) => [angle, make("tr", {}, make("td", {}, "\u2013"), make("td", { class: "number" },
      fixed(data.wavelength / (2 * Math.sin((angle * Math.PI) / 360)), 4)), make("td", { class: "number" }, fixed(angle, 3)), make("td"), make("td", { class: "extra" }, "extra"))]));
    list.sort((a, b) => a[0] - b[0]);
    list.forEach(([angle, row]) => { row.addEventListener("click", () => plot.zoom(angle - 1, angle + 1)); row.style.cursor = "pointer"; });
    const head = ["h k l", "d / \u00c5", "2\u03b8 / \u00b0", "I / %", ""].map((name, i) => make("th", i && i < 4 ? { class: "number" } : {}, name));
    return [make("h3", {}, `Lines of ${match.name}`), make("p", { class: "told" }, cell),
      make("div", { class: "scroll lines" }, make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...list.map((item) => item[1]))))];
  };

  // --- The plot
  const bench = (data) => {
    const canvas = make("canvas", { "aria-label": "Measured pattern with the candidates' lines", role: "img" });
    const readout = make("span", { class: "readout" });
    const button = (name, title, act) => {
      const node = make("button", { type: "button", title }, name);
      node.addEventListener("click", act);
      return node;
    };
    let [from, to] = [data.scan.from, data.scan.to];
    let [square, pointer, drag] = [true, null, null];
    const zoom = (a, b) => {
      const least = Math.min(0.2, data.scan.to - data.scan.from);
      const middle = (a + b) / 2;
      const half = Math.max(b - a, least) / 2;
      from = Math.max(data.scan.from, Math.min(middle - half, data.scan.to - least));
      to = Math.min(data.scan.to, Math.max(middle + half, data.scan.from + least));
      canvas.dataset.from = from;
      canvas.dataset.to = to;
      draw();
    };
    const scaled = (factor, about = (from + to) / 2) => zoom(about - (about - from) * factor, about + (to - about) * factor);
    const rooted = button("\u221a", "Square-root scale: lifts weak lines", () => { square = !square; rooted.setAttribute("aria-pressed", String(square)); draw(); });
    rooted.setAttribute("aria-pressed", "true");
    const save = button("PNG", "Save the picture", () => canvas.toBlob((blob) => {
      const link = make("a", { href: URL.createObjectURL(blob), download: `${data.file.split(/[\\/]/).pop()}.png` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    }));
    const tools = make("div", { class: "tools" },
      button("+", "Zoom in", () => scaled(0.5)), button("\u2212", "Zoom out", () => scaled(2)),
      button("\u2190", "To lower angles", () => zoom(from - (to - from) / 3, to - (to - from) / 3)),
      button("\u2192", "To higher angles", () => zoom(from + (to - from) / 3, to + (to - from) / 3)),
      button("all", "The whole scan (double click)", () => zoom(data.scan.from, data.scan.to)), rooted, save, readout);

    const shownRows = () => Math.min(Math.max(data.matches.filter((match) => match.seen && match.lines).length, 1), 4);
    const box = () => ({ left: 12, right: canvas.clientWidth - 12, top: 58, bottom: canvas.clientHeight - 98 - 14 * shownRows() });
    const angleAt = (x) => from + ((x - box().left) / (box().right - box().left)) * (to - from);
    const draw = () => {
      const ratio = window.devicePixelRatio || 1;
      const [width, height] = [canvas.clientWidth, canvas.clientHeight];
      if (!width) return;
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      const pen = canvas.getContext("2d");
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      pen.fillStyle = colour("--paper");
      pen.fillRect(0, 0, width, height);
      pen.font = "12px system-ui, sans-serif";
      const area = box();
      const X = (angle) => area.left + ((angle - from) / (to - from)) * (area.right - area.left);
      const seen = data.matches.filter((match) => match.seen && match.curve);
      const summed = [seen.find((match) => match.phase !== 2), ...seen.filter((match) => match.phase === 2)].filter(Boolean);
      const inside = [];
      for (let i = 0; i < data.x.length; i += 1) if (data.x[i] >= from && data.x[i] <= to) inside.push(i);
      const fine = Array.from({ length: Math.round(2 * (area.right - area.left)) + 1 }, (_, i) => from + (i / (2 * (area.right - area.left))) * (to - from));
      let [low, high] = [Infinity, -Infinity];
      for (const i of inside) { low = Math.min(low, data.y[i]); high = Math.max(high, data.y[i]); }
      for (const match of seen) for (const angle of fine) high = Math.max(high, data.base(angle) + match.at(angle));
      if (!(high > low)) high = low + 1;
      const height_ = (value) => (square ? Math.sqrt(Math.max(value - low, 0) / (high - low)) : (value - low) / (high - low));
      const Y = (value) => area.bottom - 2 - height_(value) * (area.bottom - area.top - 2);
      const path = (angles, value, name, thick = 1, dash = []) => {
        pen.beginPath();
        for (const angle of angles) pen.lineTo(X(angle[0] ?? angle), Y(value(angle)));
        Object.assign(pen, { strokeStyle: colour(name), lineWidth: thick, lineJoin: "round" });
        pen.setLineDash(dash);
        pen.stroke();
        pen.setLineDash([]);
      };
      pen.save();
      pen.beginPath();
      pen.rect(area.left, 0, area.right - area.left, height);
      pen.clip();
      path(fine, (angle) => data.base(angle), "--background", 1, [4, 3]);
      path(inside.map((i) => [data.x[i], data.y[i]]), (point) => point[1], "--measured", 1.1);
      for (const match of seen) path(fine, (angle) => data.base(angle) + match.at(angle), match.colour, 1.4);
      if (summed.length > 1) path(fine, (angle) => data.base(angle) + sum(summed.map((match) => match.at(angle))), "--quiet", 1);
      marks(pen, data, seen[0], { X, Y, inside, from, to, area });
      pen.restore();
      ticks(pen, data, { X, from, to, area });
      rest(pen, data, summed, { X, inside, area, height });
      axis(pen, { X, from, to, area, height });
      pointed(pen, data, { X, area, height });
    };
    const pointed = (pen, scan, { X, area, height }) => {
      if (drag !== null && pointer !== null) {
        pen.fillStyle = colour("--c0");
        pen.globalAlpha = 0.18;
        pen.fillRect(Math.min(drag, pointer), area.top, Math.abs(drag - pointer), height - area.top - 34);
        pen.globalAlpha = 1;
      } else if (pointer !== null) {
        pen.fillStyle = colour("--quiet");
        pen.fillRect(pointer, area.top, 0.6, height - area.top - 34);
      }
      if (pointer === null) { readout.textContent = ""; return; }
      const angle = angleAt(pointer);
      const first = scan.matches.find((match) => match.seen && match.lines);
      const near = first?.lines.reduce((a, b) => (Math.abs(b[4] - angle) < Math.abs(a[4] - angle) ? b : a));
      const d = scan.wavelength && angle > 0.1 ? `   d ${fixed(scan.wavelength / (2 * Math.sin((angle * Math.PI) / 360)), 3)} \u00c5` : "";
      const hkl = near && Math.abs(X(near[4]) - pointer) < 12 ? `   ${first.name} (${near.slice(0, 3).join(" ")})` : "";
      readout.textContent = `2\u03b8 ${fixed(angle, 3)}\u00b0${d}${hkl}`;
    };
    const place = (event) => event.clientX - canvas.getBoundingClientRect().left;
    canvas.addEventListener("pointermove", (event) => { pointer = place(event); draw(); });
    canvas.addEventListener("pointerleave", () => { if (drag === null) { pointer = null; draw(); } });
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button === 0 && event.pointerType !== "touch") { drag = place(event); canvas.setPointerCapture(event.pointerId); }
    });
    canvas.addEventListener("pointerup", (event) => {
      const [start, stop] = [drag, place(event)];
      drag = null;
      if (start !== null && Math.abs(stop - start) > 5) zoom(angleAt(Math.min(start, stop)), angleAt(Math.max(start, stop)));
      else draw();
    });
    canvas.addEventListener("dblclick", () => zoom(data.scan.from, data.scan.to));
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.shiftKey) return; // the page scrolls as anywhere else
      event.preventDefault();
      scaled(Math.exp((event.deltaY || event.deltaX) / 400), angleAt(place(event)));
    }, { passive: false });
    const node = make("div", { class: "bench", title: "" }, tools, canvas);
    new ResizeObserver(() => draw()).observe(canvas);
    return { node, draw, zoom };
  };

  const marks = (pen, data, match, { X, Y, inside, from, to, area }) => {
    if (!match) return;
    const top = (angle) => {
      let highest = -Infinity;
      for (const i of inside) if (Math.abs(data.x[i] - angle) < 0.15) highest = Math.max(highest, data.y[i]);
      return Math.max(highest, data.base(angle) + match.at(angle));
    };
    const taken = [];
    pen.textAlign = "left";
    const label = (angle, text, name) => {
      pen.save();
      pen.translate(X(angle) + 4, Math.max(Y(top(angle)) - 6, area.top - 2));
      pen.rotate(-Math.PI / 2);
      pen.fillStyle = colour(name);
      pen.fillText(text, 0, 0);
      pen.restore();
    };
    const others = data.matches.filter((other) => other.seen && other.phase === 2 && other !== match && other.lines);
    const owned = (angle) => others.some((other) => other.lines.some((line) => line[5] > 1 && Math.abs(line[4] - angle) < Math.max(line[6], 0.1)));
    for (const angle of match.extra) if (angle > from && angle < to && !owned(angle)) { label(angle, "\u25c6", "--extra"); taken.push(X(angle)); }
    const strong = [match, ...others].flatMap((phase) => phase.lines.filter((line) => line[4] > from && line[4] < to)
      .map((line) => [...line.slice(0, 8), phase === match ? "--quiet" : phase.colour]))
      .sort((a, b) => b[5] - a[5]);
    for (const line of strong) {
      const missing = line[7] === "missing";
      const x = X(line[4]);
      const height = top(line[4]) - data.base(line[4]);
      const clear = height > Math.max(0.01 * (data.scan.high - data.scan.low), 4 * data.scan.sigma);
      if (taken.length > 40 || taken.some((other) => Math.abs(other - x) < 14) || !(missing || clear)) continue;
      label(line[4], `${missing ? "\u25bc " : ""}${line.slice(0, 3).join(" ").replaceAll("-", "\u2212")}`, missing ? "--missing" : line[8]);
      taken.push(x);
    }
  };

  const ticks = (pen, data, { X, from, to, area }) => {
    const seen = data.matches.filter((match) => match.seen && match.lines).slice(0, 4);
    seen.forEach((match, row) => {
      const base = area.bottom + 18 + 14 * row;
      pen.fillStyle = colour(match.colour);
      for (const [, , , , angle, percent, , state] of match.lines) {
        if (angle < from || angle > to) continue;
        const high = 2 + 9 * Math.sqrt(percent / 100);
        pen.fillRect(X(angle) - 0.6, base - high, 1.2, high);
        if (state === "missing") { pen.beginPath(); pen.arc(X(angle), base + 2.5, 2, 0, 7); pen.fill(); }
      }
    });
  };

  const rest = (pen, data, summed, { X, inside, area, height }) => {
    const [top, bottom] = [height - 74, height - 34];
    const values = inside.map((i) => data.y[i] - data.base(data.x[i]) - sum(summed.map((match) => match.at(data.x[i]))));
    const most = Math.max(...values.map(Math.abs), 1e-9);
    const middle = (top + bottom) / 2;
    pen.fillStyle = colour("--line");
    pen.fillRect(area.left, middle, area.right - area.left, 1);
    pen.beginPath();
    inside.forEach((i, n) => pen.lineTo(X(data.x[i]), middle - (values[n] / most) * 20));
    Object.assign(pen, { strokeStyle: colour("--measured"), lineWidth: 0.8 });
    pen.stroke();
    pen.fillStyle = colour("--quiet");
    pen.textAlign = "right";
    pen.fillText(summed.length ? `measured less ${summed.map((match) => match.name).join(" and ")}` : "measured less background", area.right - 4, top - 2);
  };

  const axis = (pen, { X, from, to, area, height }) => {
    const step = [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20].find((size) => (to - from) / size < 12) || 50;
    const digits = step < 0.1 ? 2 : step < 1 ? 1 : 0;
    Object.assign(pen, { fillStyle: colour("--quiet"), textAlign: "center" });
    pen.fillRect(area.left, height - 32, area.right - area.left, 1);
    pen.fillRect(area.left, area.bottom, area.right - area.left, 1);
    for (let n = Math.ceil(from / step - 1e-9); n * step <= to + 1e-9; n += 1) {
      pen.fillRect(X(n * step), height - 32, 1, 5);
      const x = Math.min(Math.max(X(n * step), area.left + 10), area.right - 10);
      pen.fillText((n * step).toFixed(digits), x, height - 15);
    }
    pen.textAlign = "right";
    pen.fillText("2\u03b8 / \u00b0", area.right, height - 1);
  };

  const start = () => show(/^#\d+$/.test(location.hash) ? location.hash.slice(1) : rows[0]?.dataset.place ?? "");
  addEventListener("hashchange", start);
  start();
})();
