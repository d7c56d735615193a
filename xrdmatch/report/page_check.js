// --- What a check adds: the peaks that nothing expected explains, and the wells of a plate

const checked = (data) => Boolean(data.further);

// Each with what it is; a click shows where it stands.
const furtherTable = (data, plot = null) => {
  if (!data.further.length) return [];
  const named = (line) => line.phase || "unassigned";
  const list = data.further.map((line) => {
    const row = make("tr", {}, make("td", { class: "number" }, `${fixed(line.angle, 2)}\u00b0`), make("td", { class: "number" }, `${line.height} %`),
      make("td", { class: "number" }, line.chance), make("td", line.phase ? {} : { class: "why" }, named(line)));
    if (plot) {
      row.addEventListener("click", () => plot.zoom(line.angle - 1, line.angle + 1));
      row.style.cursor = "pointer";
    }
    return row;
  });
  const head = ["2\u03b8", "Height", "Foreign", "Phase"].map((name, i) => make("th", i < 3 ? { class: "number" } : {}, name));
  return [make("h3", {}, "Further peaks"), make("p", { class: "told" }, "Height in percent of the scan\u2019s strongest peak; how likely it is not of what was expected."),
    make("div", { class: "scroll leftover" }, make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...list)))];
};

const wells = [...document.querySelectorAll("#plate [data-place]")];
// A well is dim where its scan is filtered out, and ringed where it is shown.
const markWells = (rows) => {
  for (const well of wells) {
    const row = rows.find((item) => item.dataset.place === well.dataset.place);
    well.classList.toggle("dim", row.hidden);
    well.classList.toggle("chosen", row.classList.contains("chosen"));
  }
};
