// --- A page with a server behind it: what is dropped goes there, answers are fetched as they come

const FEW = 4; // files on their way at the same time
const SOON = 400; // milliseconds between two looks while something is being worked on
const LATER = 2500; // and else
const form = $("settings");
const limits = { bytes: Number(document.body.dataset.bytes), scans: Number(document.body.dataset.scans) };
const queue = [];
let [revision, sending, held, failedLooks, timer, shownView] = [0, 0, 0, 0, null, ""];
let counts = { all: 0, waiting: 0, working: 0, done: 0 };

const trouble = (text) => {
  const close = make("button", { type: "button", title: "Close", "aria-label": "Close" }, "\u00d7");
  const item = make("li", {}, text, close);
  close.addEventListener("click", () => item.remove());
  if ($("troubles").children.length < 20) $("troubles").append(item);
};
// What the server says to something that is sent; its own words where it refuses.
const post = async (place, body, kind = "application/json") => {
  const response = await fetch(`api/${place}`, { method: "POST", body, headers: { "content-type": kind } });
  const data = await response.json().catch(() => ({ error: `refused (${response.status})` }));
  if (!response.ok) throw new Error(data.error);
  return data;
};
const settings = () => Object.fromEntries(new FormData(form));
const wrong = (text) => { $("wrong").textContent = text; $("wrong").hidden = !text; };

// --- Files on their way

const sendOne = async ({ file, name, folder }) => {
  if (file.size > limits.bytes) throw new Error(`${name}: larger than ${Math.round(limits.bytes / 1e6)} MB; export the scan alone`);
  const asked = new URLSearchParams({ name, settings: JSON.stringify(settings()), folder: folder ? "1" : "0" });
  try {
    await post(`scans?${asked}`, file, "application/octet-stream");
  } catch (error) {
    throw new Error(`${name}: ${error.message}`);
  }
};
const sendNext = async () => {
  if (sending >= FEW || !queue.length) return;
  sending += 1;
  try {
    await sendOne(queue.shift());
  } catch (error) {
    trouble(error.message);
  }
  sending -= 1;
  look();
  sendNext();
};
const send = async (items) => {
  if (!items.length) return;
  held += items.length; // until it is known whether the library knows what is expected
  progress();
  try {
    await post("settings", JSON.stringify(settings()));
    wrong("");
    queue.push(...items);
  } catch (error) {
    wrong(error.message);
    $("wrong").scrollIntoView({ block: "nearest" });
  }
  held -= items.length;
  progress();
  for (let i = 0; i < FEW; i += 1) sendNext();
};
const picked = (list, folder) => [...list].map((file) => ({ file, name: file.webkitRelativePath || file.name, folder }))
  .filter((item) => !baseName(item.name).startsWith("."));

// Everything below a folder that was dropped. A folder gives its entries a hundred at a time.
const below = async (entry, folder = false) => {
  if (entry.isFile) {
    const file = await new Promise((done, fail) => { entry.file(done, fail); });
    return [{ file, name: entry.fullPath.replace(/^\//, ""), folder }].filter(() => !folder || !entry.name.startsWith("."));
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((done, fail) => { reader.readEntries(done, fail); });
    if (!some.length) break;
    found.push(...some);
  }
  const lists = await Promise.all(found.filter((item) => !item.name.startsWith(".")).map((item) => below(item, true)));
  return lists.flat();
};
const isStructure = (item) => /\.(cif|mcif|vasp|poscar)$/i.test(item.name) && !item.folder;
// A CIF that is dropped may be a structure or a scan: what has a powder pattern in it is a scan.
const dropped = async (items) => {
  const scans = [];
  for (const item of items) {
    if (isStructure(item) && !(await item.file.text()).includes("_pd_")) await addStructure(item.file); else scans.push(item);
  }
  await send(scans.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true })));
};
for (const kind of ["dragenter", "dragover"]) {
  addEventListener(kind, (event) => { event.preventDefault(); document.body.classList.add("over-page"); });
}
addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("over-page"); });
addEventListener("drop", async (event) => {
  event.preventDefault();
  document.body.classList.remove("over-page");
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean); // before the first await, which ends them
  const files = [...event.dataTransfer.files];
  try {
    await dropped(entries.length ? (await Promise.all(entries.map((entry) => below(entry)))).flat() : picked(files, false));
  } catch (error) {
    trouble(`What was dropped cannot be read (${error.message || error.name}); choose the files instead`);
  }
});
for (const [button, input, folder] of [["files", "pick-files", false], ["folder", "pick-folder", true]]) {
  $(button).addEventListener("click", () => $(input).click());
  $(input).addEventListener("change", async () => {
    const items = picked($(input).files, folder);
    $(input).value = "";
    await dropped(items);
  });
}

// --- Own structures

const addStructure = async (file) => {
  try {
    await post(`structures?${new URLSearchParams({ name: file.name })}`, file, "application/octet-stream");
  } catch (error) {
    trouble(error.message);
  }
  look();
};
$("cif").addEventListener("click", () => $("pick-cif").click());
$("pick-cif").addEventListener("change", async () => {
  const files = [...$("pick-cif").files];
  $("pick-cif").value = "";
  for (const file of files) await addStructure(file);
});
const ownItem = (own) => {
  const close = make("button", { type: "button", title: "Remove", "aria-label": `Remove ${own.name}` }, "\u00d7");
  close.addEventListener("click", async () => { await tried(() => post("remove-structure", JSON.stringify({ name: own.name }))); });
  const alike = own.alike.length ? `, same pattern as ${own.alike.map((pair) => pair[1]).join(", ")}` : "";
  const failed = own.failed.length ? `; ${own.failed.length} could not be read` : "";
  return make("li", { title: own.failed.join("\n") }, `${own.ids.join(", ")} added${alike}${failed}`, close);
};

// --- Searches and what is removed

const tried = async (call) => {
  try {
    await call();
  } catch (error) {
    trouble(error.message);
  }
  look();
};
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  wrong("");
  try {
    await post("settings", JSON.stringify(settings()));
    await post("search", JSON.stringify({ settings: settings() }));
  } catch (error) {
    wrong(error.message);
  }
  look();
});
$("clear").addEventListener("click", () => tried(() => post("remove", JSON.stringify({ numbers: rows.map((row) => Number(row.dataset.place)) }))));
const accept = (data, ids) => tried(() => post("accept", JSON.stringify({ number: data.number, accepted: ids.join(" + ") })));
extras.candidate = (data, match) => {
  if (data.accepted.includes(match.id) || !data.scan) return [];
  const button = make("button", { type: "button", title: "Take this phase as there, and search what it leaves" }, "accept");
  button.addEventListener("click", () => { button.disabled = true; accept(data, [...data.accepted, match.id]); });
  return [button, " "];
};
extras.scan = (data) => {
  const parts = [];
  const doings = make("div", { class: "doings" }, ...data.searched.map((text) => make("span", { class: "told" }, text)));
  if (data.accepted.length) {
    const last = data.accepted.at(-1);
    const undo = make("button", { type: "button" }, `undo: ${data.matches.find((match) => match.id === last)?.name ?? last} accepted`);
    undo.addEventListener("click", () => { undo.disabled = true; accept(data, data.accepted.slice(0, -1)); });
    doings.append(undo);
  }
  if (data.scan) {
    for (const [name, text] of [["figure.pdf", "figure (PDF)"], ["refinement.zip", "refinement files"]]) {
      doings.append(make("a", { href: `files/${name}?number=${data.number}`, download: "" }, text));
    }
  }
  const remove = make("button", { type: "button" }, "remove");
  remove.addEventListener("click", () => tried(() => post("remove", JSON.stringify({ numbers: [data.number] }))));
  doings.append(remove);
  parts.push(doings);
  if (data.check) {
    parts.push(make("div", { class: `check ${data.check.verdict}` },
      make("span", { class: `badge ${data.check.verdict}` }, data.check.verdict), " ", make("b", {}, data.check.title),
      ...data.check.lines.map((line) => make("p", {}, line))));
  }
  return parts;
};

// --- Answers as they come

const rowOf = (number) => body.querySelector(`tr[data-place="${number}"]`);
// The server makes rows as it makes those of the report page, with every text escaped.
const newRow = (scan) => {
  const template = make("template");
  template.innerHTML = scan.row;
  const row = template.content.firstElementChild;
  const check = JSON.parse(scan.view).check;
  if (check) row.cells[1].append(make("span", { class: `badge ${check.verdict}` }, check.verdict));
  return row;
};
const place = (scan) => {
  const [old, row] = [rowOf(scan.number), scan.row ? newRow(scan) : null];
  if (!row) { old?.classList.add("waiting"); return; }
  if (old?.classList.contains("chosen")) row.classList.add("chosen");
  const tick = old?.querySelector("input");
  if (tick?.checked && row.querySelector("input")) row.querySelector("input").checked = true;
  if (old) old.replaceWith(row); else body.append(row);
  let data = $(`data-${scan.number}`);
  if (!data) { data = make("script", { type: "application/json", id: `data-${scan.number}` }); $("data").append(data); }
  data.textContent = scan.view;
};
const removed = (number) => { rowOf(number)?.remove(); $(`data-${number}`)?.remove(); };

// Shows the chosen scan anew where its answer changed, the best one where nobody chose, and nothing where all are gone.
const viewOf = (row) => (row ? $(`data-${row.dataset.place}`).textContent : "");
const chosenRow = () => rows.find((row) => row.classList.contains("chosen"));
const follow = () => {
  if (location.hash === "#stack" && rows.length) return;
  const asked = /^#\d+$/.test(location.hash) ? chosenRow() : null;
  const row = asked ?? best("match") ?? best("ambiguous") ?? rows[0];
  if (!row) {
    redraw = () => {};
    $("detail").replaceChildren();
  } else if (viewOf(row) !== shownView) show(row.dataset.place);
  shownView = viewOf(row);
};
addEventListener("hashchange", () => { shownView = viewOf(chosenRow()); });

const counted = (number, what) => `${number} ${what}${number === 1 ? "" : "s"}`;
const progress = () => {
  const coming = held + queue.length + sending;
  const all = counts.all + coming;
  const busy = coming + counts.waiting + counts.working > 0;
  $("progress").hidden = !busy;
  $("progress").querySelector("progress").value = all ? counts.done / all : 0;
  $("progress").querySelector("span").textContent = `${counts.done} of ${counted(all, "scan")} done${coming ? `, ${coming} on the way` : ""}`;
  $("state").textContent = busy ? "searching" : all ? counted(all, "scan") : "ready";
  document.body.classList.toggle("empty", !all && !rows.length);
  document.body.classList.toggle("none", !rows.length);
  $("again").disabled = !counts.all;
  return busy;
};
const taken = (data) => {
  for (const number of data.removed) removed(number);
  for (const scan of data.scans) place(scan);
  if (data.removed.length || data.scans.length) {
    if (data.names !== $("names").outerHTML) $("names").outerHTML = data.names;
    listRows();
    follow();
  }
  $("own").replaceChildren(...data.structures.map(ownItem));
  $("checks").hidden = !body.querySelector(".pure, .present, .absent, .unclear");
  const { number, names } = data.passed;
  $("shown").title = number ? `passed over: ${names.join(", ")}${number > names.length ? ", ..." : ""}` : "";
  if (number) $("state").title = `${counted(number, "file")} passed over: ${names.join(", ")}`;
};
let looking = false;
const look = async () => {
  clearTimeout(timer);
  if (looking) { timer = setTimeout(look, 50); return; }
  looking = true;
  let wait = LATER;
  try {
    const response = await fetch(`api/state?since=${revision}`);
    if (!response.ok) throw new Error(String(response.status));
    const data = await response.json();
    revision = data.revision;
    taken(data);
    counts = data.counts;
    const busy = progress();
    wait = data.more ? 0 : busy ? SOON : LATER;
    failedLooks = 0;
    document.body.classList.remove("ended");
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError || error.message) failedLooks += 1;
    if (failedLooks > 1) {
      document.body.classList.add("ended");
      $("state").textContent = "xrdmatch serve has ended; start it again and open the new address";
    }
  }
  looking = false;
  timer = setTimeout(look, wait);
};
look();
