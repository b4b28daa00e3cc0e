// The explorable of book/explore.md. The rule itself is not here: rmspropStep, which the page
// brings along, is generated from the reference.

(() => {
  "use strict";

  const STEPS = 300;
  const VIEW = 1.5; // the plot shows [-VIEW, VIEW] in both directions
  const SIZE = 400; // its viewBox is SIZE wide and high
  const CHART = { left: 44, right: 392, top: 10, bottom: 140, low: -3, high: 2 }; // log10 of step / η

  const form = document.getElementById("explorable");
  const valley = document.getElementById("explore-valley");
  const lengths = document.getElementById("explore-lengths");

  // --- What is computed ---------------------------------------------------------------------

  // A slider's position as the number that it stands for; what is shown is what is used.
  const twoDigits = (x) => Number(x.toPrecision(2));
  const VALUES = {
    step: (s) => s,
    turn: (s) => s,
    along: (s) => s,
    across: (s) => s,
    ratio: (s) => twoDigits(10 ** s),
    lr: (s) => twoDigits(10 ** s),
    beta: (s) => Number((1 - twoDigits(10 ** -s)).toFixed(4)),
    eps: (s) => twoDigits(10 ** s),
  };
  const UNITS = { turn: "°" };

  function readForm() {
    const p = { side: form.elements.side.value };
    for (const [name, value] of Object.entries(VALUES)) p[name] = value(Number(form.elements[name].value));
    return p;
  }

  // From coordinates along and across the valley to those of the plane.
  function turned([along, across], degrees) {
    const [c, s] = [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];
    return [c * along - s * across, s * along + c * across];
  }

  // The loss is half of curvature 1 along the floor, and of curvature `ratio` across it.
  function gradientOf({ ratio, turn }) {
    return (theta) => {
      const [along, across] = turned(theta, -turn);
      return turned([along, ratio * across], turn);
    };
  }

  function runRmsprop(start, gradient, { lr, beta, eps, side }) {
    const [epsIn, epsOut] = side === "in" ? [eps, 0] : [0, eps];
    const path = [start];
    const roots = [[0, 0]]; // √v
    let v = [0, 0];
    for (let t = 1; t <= STEPS; t++) {
      const g = gradient(path[t - 1]);
      const after = path[t - 1].map((x, i) => rmspropStep(x, g[i], v[i], lr, beta, epsIn, epsOut));
      v = after.map((one) => one.v);
      path.push(after.map((one) => one.theta));
      roots.push(v.map(Math.sqrt));
    }
    return { path, roots };
  }

  function runDescent(start, gradient, { ratio }) {
    const rate = 2 / (1 + ratio); // the best constant one: chapter 2
    const path = [start];
    for (let t = 1; t <= STEPS; t++) {
      const g = gradient(path[t - 1]);
      path.push(path[t - 1].map((x, i) => x - rate * g[i]));
    }
    return path;
  }

  // --- How it is drawn ----------------------------------------------------------------------

  function draw(parent, tag, attributes = {}, text = "") {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    set(node, attributes);
    node.textContent = text;
    return parent.appendChild(node);
  }

  function set(node, attributes) {
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  }

  // Positions on the screen; far outside the plot they are cut off, for browsers dislike 1e30.
  const scale = SIZE / (2 * VIEW);
  const pixel = (x) => Number(Math.max(-9 * SIZE, Math.min(9 * SIZE, x)).toFixed(2));
  const across = (x) => pixel(SIZE / 2 + scale * x);
  const down = (y) => pixel(SIZE / 2 - scale * y);
  const trail = (path) => "M" + path.map(([x, y]) => `${across(x)} ${down(y)}`).join("L");
  const dots = (path) => path.map(([x, y]) => `M${across(x)} ${down(y)}h0`).join("");

  // A group of which only what lies in this rectangle is seen.
  function clipped(svg, id, rectangle) {
    draw(draw(svg, "clipPath", { id }), "rect", rectangle);
    return draw(svg, "g", { "clip-path": `url(#${id})` });
  }

  const inside = clipped(valley, "explore-clip-valley", { width: SIZE, height: SIZE });
  const ground = draw(inside, "g");
  const contours = [];
  for (let axis = 0.25; axis < 100; axis *= 2) contours.push([axis, draw(ground, "ellipse")]);
  draw(inside, "path", { d: `M${SIZE / 2 - 7} ${SIZE / 2}h14m-7 -7v14` }); // the minimum
  const drawn = {};
  for (const name of ["descent", "rmsprop"]) {
    drawn[name] = ["later", "", "dots"].map((part) => draw(inside, "path", { class: `${name} ${part}` }));
  }
  const box = draw(inside, "rect", { class: "box" });
  const here = draw(inside, "circle", { class: "here", r: 4 });
  const ring = draw(inside, "circle", { class: "start", r: 7 });
  const handle = draw(inside, "circle", { class: "handle", r: 26 });
  draw(valley, "rect", { class: "frame", width: SIZE, height: SIZE });
  draw(valley, "text", { x: SIZE - 18, y: SIZE - 8 }, "θ₁");
  draw(valley, "text", { x: 7, y: 17 }, "θ₂");

  const chartX = (t) => CHART.left + ((CHART.right - CHART.left) * t) / STEPS;
  const chartY = (log) => {
    const share = (Math.max(log, 9 * CHART.low) - CHART.low) / (CHART.high - CHART.low);
    return CHART.bottom - (CHART.bottom - CHART.top) * share;
  };
  for (let log = CHART.low; log <= CHART.high; log++) {
    const y = chartY(log);
    draw(lengths, "line", { x1: CHART.left, x2: CHART.right, y1: y, y2: y, "stroke-opacity": log === 0 ? 1 : 0.3 });
    draw(lengths, "text", { x: CHART.left - 6, y: y + 4, "text-anchor": "end" }, String(10 ** log));
  }
  for (let t = 0; t <= STEPS; t += 100) {
    draw(lengths, "text", { x: chartX(t), y: CHART.bottom + 17, "text-anchor": t < STEPS ? "middle" : "end" }, String(t));
  }
  draw(lengths, "text", { x: chartX(150), y: CHART.bottom + 28, "text-anchor": "middle" }, "step");
  const cursor = draw(lengths, "line", { y1: CHART.top, y2: CHART.bottom });
  const plot = clipped(lengths, "explore-clip-lengths", {
    x: CHART.left, y: CHART.top, width: CHART.right - CHART.left, height: CHART.bottom - CHART.top,
  });
  const curves = ["rmsprop", "second"].map((name) => draw(plot, "path", { class: name }));

  const short = (x) => String(twoDigits(x));

  function show(p) {
    const start = turned([p.along, p.across], p.turn);
    const gradient = gradientOf(p);
    const { path, roots } = runRmsprop(start, gradient, p);
    const paths = { rmsprop: path, descent: runDescent(start, gradient, p) };

    for (const [axis, ellipse] of contours) {
      set(ellipse, { rx: scale * axis, ry: (scale * axis) / Math.sqrt(p.ratio) });
    }
    ground.setAttribute("transform", `translate(${SIZE / 2} ${SIZE / 2}) rotate(${-p.turn})`);
    for (const [name, [later, line, marks]] of Object.entries(drawn)) {
      later.setAttribute("d", trail(paths[name].slice(p.step)));
      line.setAttribute("d", trail(paths[name].slice(0, p.step + 1)));
      marks.setAttribute("d", dots(paths[name].slice(0, p.step + 1)));
    }

    const [x, y] = path[p.step];
    const largest = Math.max(...roots[p.step]) || 1;
    const [w, h] = roots[p.step].map((root) => (70 * root) / largest);
    set(box, { x: across(x) - w, y: down(y) - h, width: 2 * w, height: 2 * h });
    set(here, { cx: across(x), cy: down(y) });
    for (const circle of [ring, handle]) set(circle, { cx: across(start[0]), cy: down(start[1]) });

    const steps = path.slice(1).map((after, t) => after.map((x, i) => Math.abs(x - path[t][i]) / p.lr));
    curves.forEach((curve, i) => {
      const points = steps.map((step, t) => `${chartX(t + 1).toFixed(1)} ${chartY(Math.log10(step[i])).toFixed(1)}`);
      curve.setAttribute("d", `M${points.join("L")}`);
    });
    set(cursor, { x1: chartX(p.step), x2: chartX(p.step) });

    const [mine, other] = [path, paths.descent].map((one) => short(Math.hypot(...one[p.step])));
    const said = [`After ${p.step} steps RMSProp is ${mine} from the minimum, gradient descent ${other}.`];
    if (p.step > 0) {
      const last = steps[p.step - 1].map((x) => `${short(x)}\u00a0η`).join(" and ");
      said.push(`RMSProp's last step: ${last} along the axes. √v: ${roots[p.step].map(short).join(" and ")}.`);
    }
    return said.join(" ");
  }

  // --- What the reader does -----------------------------------------------------------------

  const readout = document.getElementById("explore-readout");
  const status = document.getElementById("explore-status");
  let pause;

  function update() {
    const p = readForm();
    for (const name of Object.keys(VALUES)) {
      const text = p[name] + (UNITS[name] ?? "");
      form.elements[name].setAttribute("aria-valuetext", text);
      form.querySelector(`output[for=explore-${name}]`).value = text;
    }
    readout.textContent = show(p);
    clearTimeout(pause); // a screen reader hears the result once the slider rests
    pause = setTimeout(() => { status.textContent = readout.textContent; }, 500);
  }

  function drag(event) {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(valley.getScreenCTM().inverse());
    const place = [(at.x - SIZE / 2) / scale, (SIZE / 2 - at.y) / scale];
    const [along, up] = turned(place, -Number(form.elements.turn.value));
    form.elements.along.value = along; // the sliders hold it to their range and steps
    form.elements.across.value = up;
    update();
  }

  handle.addEventListener("pointerdown", (event) => {
    handle.setPointerCapture(event.pointerId);
    event.preventDefault(); // of selecting text
  });
  handle.addEventListener("touchstart", (event) => event.preventDefault()); // of scrolling
  handle.addEventListener("pointermove", (event) => {
    if (handle.hasPointerCapture(event.pointerId)) drag(event);
  });
  form.addEventListener("input", update);
  form.addEventListener("reset", () => setTimeout(update));
  form.addEventListener("submit", (event) => event.preventDefault());
  update();
})();
