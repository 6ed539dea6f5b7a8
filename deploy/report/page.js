// The one figure that is drawn here: spikes of a layer, states of a neuron. Its data lie in the page as JSON.
(() => {
  "use strict";
  const source = document.getElementById("traces-data");
  if (!source) return;
  const samples = JSON.parse(source.textContent);
  const get = (id) => document.getElementById(id);
  const raster = get("raster"), states = get("states");
  const pick = { sample: get("trace-sample"), layer: get("trace-layer"), neuron: get("trace-neuron") };
  const LEFT = 52, RIGHT = 8, BOTTOM = 22, TOP = 6;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const integers = (text) => new Int32Array(bytes(text).buffer);
  const sample = () => samples[pick.sample.value];
  const layer = () => sample().layers[pick.layer.value];

  const fill = (select, names, chosen) => {
    select.replaceChildren(...names.map(([value, text]) => {
      const option = document.createElement("option");
      option.value = value;
      option.textContent = text;
      return option;
    }));
    if (names.some(([value]) => String(value) === String(chosen))) select.value = chosen;
    select.closest("label").hidden = names.length < 2;
  };

  const listLayers = () => {
    const before = pick.layer.value, layers = sample().layers;
    fill(pick.layer, layers.map((l, i) => [i, l.name]), before);
    if (before === "") {
      const first = layers.findIndex((l) => l.watched.length);
      pick.layer.value = first < 0 ? 0 : first;
    }
  };

  const listNeurons = () => {
    const l = layer(), before = pick.neuron.value;
    const names = l.watched.length ? l.watched : l.neurons;
    fill(pick.neuron, names.map((j) => [j, `neuron ${j}`]), before);
  };

  // A canvas in device pixels; drawing is in CSS pixels.
  const surface = (canvas) => {
    const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const c = canvas.getContext("2d");
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, width, height);
    c.font = "12px system-ui, sans-serif";
    return { c, width, height };
  };

  const columns = (s, width) => (k) => LEFT + (k / s.shown) * (width - LEFT - RIGHT);

  // Empty places, frames and the axis of time.
  const background = (c, s, x, height) => {
    c.fillStyle = colour("--empty");
    for (const k of s.empty) c.fillRect(x(k), TOP, Math.max(x(k + 1) - x(k), 0.5), height - TOP - BOTTOM);
    c.strokeStyle = colour("--line");
    if (s.frame) {
      for (let k = s.frame; k < s.shown; k += s.frame) {
        c.beginPath();
        c.moveTo(x(k), TOP);
        c.lineTo(x(k), height - BOTTOM);
        c.stroke();
      }
    }
    c.fillStyle = colour("--soft");
    c.textAlign = "center";
    const wanted = Math.max(1, s.shown / 8), power = 10 ** Math.floor(Math.log10(wanted));
    const step = power * [1, 2, 5, 10].find((m) => m * power >= wanted);
    for (let k = 0; k < s.shown; k += step) c.fillText(String(k), Math.max(x(k), LEFT + 4), height - 6);
  };

  const drawRaster = () => {
    const s = sample(), l = layer(), { c, width, height } = surface(raster), x = columns(s, width);
    background(c, s, x, height);
    const bits = bytes(l.bits), n = l.neurons.length, room = height - TOP - BOTTOM, row = room / n;
    const chosen = l.neurons.indexOf(Number(pick.neuron.value));
    c.fillStyle = colour("--c0");
    c.globalAlpha = 0.18;
    if (chosen >= 0) c.fillRect(LEFT, TOP + chosen * row, width - LEFT - RIGHT, Math.max(row, 2));
    c.globalAlpha = 1;
    c.fillStyle = colour("--text");
    const wide = Math.max(x(1) - x(0) - 0.2, 0.9), high = Math.max(row * 0.85, 0.9);
    for (let j = 0; j < n; j++) {
      for (let k = 0; k < s.shown; k++) {
        const at = j * s.shown + k;
        if (bits[at >> 3] & (128 >> (at & 7))) c.fillRect(x(k), TOP + j * row, wide, high);
      }
    }
    c.fillStyle = colour("--soft");
    c.textAlign = "right";
    c.fillText(String(l.neurons[0]), LEFT - 5, TOP + 10);
    if (n > 1) c.fillText(String(l.neurons[n - 1]), LEFT - 5, height - BOTTOM);
    const parts = [];
    if (n < l.size) parts.push(`${n} of ${l.size} neurons are shown`);
    if (s.shown < s.steps) parts.push(`the first ${s.shown} of ${s.steps} steps are shown`);
    get("trace-caption").textContent = parts.join("; ");
  };

  const traceOf = (l, s, j) => {
    const row = l.watched.indexOf(j);
    if (row < 0) return {};
    const out = {};
    for (const [name, text] of Object.entries(l.states)) {
      out[name] = integers(text).subarray(row * s.shown, (row + 1) * s.shown);
    }
    return out;
  };

  const drawStates = () => {
    const s = sample(), l = layer(), found = traceOf(l, s, Number(pick.neuron.value)), names = Object.keys(found);
    states.hidden = !names.length;
    if (!names.length) {
      get("trace-values").textContent = l.watched.length ? "No states of this neuron in the page: choose one from the list."
        : "This layer has no states.";
      return;
    }
    const { c, width, height } = surface(states), x = columns(s, width);
    background(c, s, x, height);
    let low = 0, high = l.threshold === null ? 0 : l.threshold;
    for (const name of names) for (const v of found[name]) { low = Math.min(low, v); high = Math.max(high, v); }
    const room = (high - low) * 0.05 || 1;
    const y = (v) => TOP + ((high + room - v) / (high - low + 2 * room)) * (height - TOP - BOTTOM);
    c.strokeStyle = colour("--soft");
    c.setLineDash([4, 4]);
    if (l.threshold !== null) {
      c.beginPath(); c.moveTo(LEFT, y(l.threshold)); c.lineTo(width - RIGHT, y(l.threshold)); c.stroke();
    }
    c.setLineDash([]);
    names.forEach((name, i) => {
      c.strokeStyle = colour(i ? "--c0" : "--c3");
      c.lineWidth = 1.5;
      c.beginPath();
      found[name].forEach((v, k) => {
        if (k) c.lineTo(x(k + 0.5), y(v)); else c.moveTo(x(k + 0.5), y(v));
      });
      c.stroke();
      c.fillStyle = c.strokeStyle;
      c.textAlign = "left";
      c.fillText(name, LEFT + 6 + 18 * i, TOP + 12);
    });
    c.lineWidth = 1;
    c.fillStyle = colour("--soft");
    c.textAlign = "right";
    const short = (v) => Math.abs(v) < 10000 ? String(v) : `${Math.round(v / 1000)}k`;
    c.fillText(short(high), LEFT - 5, y(high) + 8);
    c.fillText(short(low), LEFT - 5, y(low));
    say(null);
  };

  const say = (k) => {
    const s = sample(), l = layer(), j = Number(pick.neuron.value), found = traceOf(l, s, j);
    const limit = l.threshold === null ? "" : `; it fires above ${l.threshold.toLocaleString("en")}`;
    const meaning = "u" in found ? "u: current, v: voltage, 0 after a spike" : Object.keys(found).join(", ");
    let text = `Neuron ${j} (${meaning}${limit}). Point at the figure for values.`;
    if (k !== null) {
      const row = l.neurons.indexOf(j), at = row * s.shown + k, bits = bytes(l.bits);
      const fired = row >= 0 && bits[at >> 3] & (128 >> (at & 7)) ? ", fires" : "";
      const values = Object.entries(found).map(([n, v]) => `${n} ${v[k].toLocaleString("en")}`);
      const where = s.frame ? ` (frame ${Math.floor(k / s.frame)}, place ${k % s.frame})` : "";
      text = `Neuron ${j}, step ${k}${where}: ${values.join(", ")}${fired}`;
    }
    get("trace-values").textContent = text;
  };

  const stepAt = (event, canvas) => {
    const s = sample(), box = canvas.getBoundingClientRect();
    const k = Math.floor(((event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT)) * s.shown);
    return k >= 0 && k < s.shown ? k : null;
  };

  const draw = () => { drawRaster(); drawStates(); };
  const change = (...lists) => () => { lists.forEach((f) => f()); draw(); };
  pick.sample.addEventListener("change", change(listLayers, listNeurons));
  pick.layer.addEventListener("change", change(listNeurons));
  pick.neuron.addEventListener("change", draw);
  states.addEventListener("pointermove", (event) => say(stepAt(event, states)));
  raster.addEventListener("pointermove", (event) => { if (!states.hidden) say(stepAt(event, raster)); });
  raster.addEventListener("click", (event) => {
    const l = layer(), box = raster.getBoundingClientRect();
    const row = Math.floor(((event.clientY - box.top - TOP) / (box.height - TOP - BOTTOM)) * l.neurons.length);
    const names = l.watched.length ? l.watched : l.neurons;
    const wanted = l.neurons[Math.max(0, Math.min(row, l.neurons.length - 1))];
    pick.neuron.value = names.reduce((a, b) => Math.abs(b - wanted) < Math.abs(a - wanted) ? b : a);
    draw();
  });

  fill(pick.sample, samples.map((s, i) => [i, s.title]), 0);
  listLayers();
  listNeurons();
  draw();
  window.addEventListener("resize", draw);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  window.matchMedia("print").addEventListener("change", draw);
})();
