// --- A figure to work with: zoom by wheel, drag, touch or button, a tip at the pointer, pictures out of it

// figure(pen, view, width, height) draws and returns its area; tell(angle, degreesPerPixel) says what is there.
const bench = ({ label, file, range, figure, tell, height = null }) => {
  const canvas = make("canvas", { "aria-label": label, role: "img", tabIndex: 0 });
  if (height) canvas.style.height = `${height}px`;
  const readout = make("span", { class: "readout" });
  const view = { from: range[0], to: range[1], root: false };
  const touches = new Map();
  let [pointer, drag, pinch, area] = [null, null, null, { left: 0, right: 1 }];
  const button = (name, title, act) => {
    const node = make("button", { type: "button", title }, name);
    node.addEventListener("click", act);
    return node;
  };
  const zoom = (a, b) => {
    const least = Math.min(0.2, range[1] - range[0]);
    const half = Math.min(Math.max(b - a, least), range[1] - range[0]) / 2;
    const middle = Math.min(Math.max((a + b) / 2, range[0] + half), range[1] - half);
    [view.from, view.to] = [middle - half, middle + half];
    [canvas.dataset.from, canvas.dataset.to] = [view.from, view.to];
    draw();
  };
  const scaled = (factor, about = (view.from + view.to) / 2) => zoom(about - (about - view.from) * factor, about + (view.to - about) * factor);
  const moved = (share) => zoom(view.from + share * (view.to - view.from), view.to + share * (view.to - view.from));
  const angleAt = (x) => view.from + ((x - area.left) / (area.right - area.left)) * (view.to - view.from);
  const rooted = button("\u221a", "Square root of intensity: lifts weak lines", () => {
    view.root = !view.root;
    rooted.setAttribute("aria-pressed", String(view.root));
    draw();
  });
  rooted.setAttribute("aria-pressed", "false");
  const draw = () => {
    const ratio = window.devicePixelRatio || 1;
    const [width, high] = [canvas.clientWidth, canvas.clientHeight];
    if (!width) return;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(high * ratio);
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    area = figure(pen, view, width, high);
    if (pointer === null) { readout.textContent = ""; return; }
    if (drag !== null) {
      Object.assign(pen, { fillStyle: colour("--c0"), globalAlpha: 0.18 });
      pen.fillRect(Math.min(drag, pointer), area.top, Math.abs(drag - pointer), high - area.top - 34);
      pen.globalAlpha = 1;
    } else {
      pen.fillStyle = colour("--quiet");
      pen.fillRect(pointer, area.top, 0.6, high - area.top - 34);
    }
    readout.textContent = tell(angleAt(pointer), (view.to - view.from) / (area.right - area.left));
  };
  const svg = () => {
    const pen = new SvgPen(canvas.clientWidth, canvas.clientHeight);
    figure(pen, view, canvas.clientWidth, canvas.clientHeight);
    return new XMLSerializer().serializeToString(pen.root);
  };
  const png = () => {
    const [scale, large] = [3, make("canvas")];
    [large.width, large.height] = [scale * canvas.clientWidth, scale * canvas.clientHeight];
    const pen = large.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    figure(pen, view, canvas.clientWidth, canvas.clientHeight);
    large.toBlob((blob) => offer(blob, `${file}.png`));
  };
  const place = (event) => event.clientX - canvas.getBoundingClientRect().left;
  const spread = () => {
    const [a, b] = [...touches.values()];
    return { middle: (a + b) / 2, wide: Math.max(Math.abs(a - b), 10) };
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "touch") touches.set(event.pointerId, place(event));
    else if (event.button === 0) drag = place(event);
    canvas.setPointerCapture(event.pointerId);
    if (touches.size === 2) pinch = spread();
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = touches.get(event.pointerId);
    if (before !== undefined) touches.set(event.pointerId, place(event));
    if (touches.size === 2 && pinch) {
      const [now, about] = [spread(), angleAt(pinch.middle)];
      scaled(pinch.wide / now.wide, about);
      moved((pinch.middle - now.middle) / (area.right - area.left));
      pinch = now;
    } else if (before !== undefined && view.to - view.from < 0.999 * (range[1] - range[0])) {
      moved((before - place(event)) / (area.right - area.left));
    }
    pointer = place(event);
    draw();
  });
  const ended = (event) => {
    touches.delete(event.pointerId);
    pinch = null;
    const [start, stop] = [drag, place(event)];
    drag = null;
    if (start !== null && event.type === "pointerup" && Math.abs(stop - start) > 5) zoom(angleAt(Math.min(start, stop)), angleAt(Math.max(start, stop)));
    else draw();
  };
  canvas.addEventListener("pointerup", ended);
  canvas.addEventListener("pointercancel", ended);
  canvas.addEventListener("pointerleave", () => { if (drag === null) { pointer = null; draw(); } });
  canvas.addEventListener("dblclick", () => zoom(...range));
  canvas.addEventListener("wheel", (event) => {
    const whole = view.to - view.from > 0.999 * (range[1] - range[0]);
    if (whole && event.deltaY > 0 && !event.shiftKey) return; // nothing to zoom out of: the page scrolls on
    event.preventDefault();
    if (event.shiftKey) moved((event.deltaX || event.deltaY) / 800); else scaled(Math.exp(event.deltaY / 400), angleAt(place(event)));
  }, { passive: false });
  const tools = make("div", { class: "tools" },
    button("+", "Zoom in (wheel, drag or pinch)", () => scaled(0.5)), button("\u2212", "Zoom out", () => scaled(2)),
    button("\u2190", "To lower angles", () => moved(-1 / 3)), button("\u2192", "To higher angles", () => moved(1 / 3)),
    button("all", "The whole scan (double click)", () => zoom(...range)), rooted,
    button("SVG", "Save the figure as SVG", () => offer(new Blob([svg()], { type: "image/svg+xml" }), `${file}.svg`)),
    button("PNG", "Save the figure as PNG", png), readout);
  const node = make("div", { class: "bench" }, tools, canvas);
  new ResizeObserver(() => draw()).observe(canvas);
  return { node, draw, zoom, svg };
};

// Lets the browser save a file.
const offer = (blob, name) => {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
};
