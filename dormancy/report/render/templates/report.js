"use strict";
// Switching tau, sorting the table of layers, reading values off charts, picking neurons. Everything else is in the page.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const SVG = "http://www.w3.org/2000/svg";
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const known = (value) => value !== null && value !== undefined;
  let tau = data.taus.length ? data.taus[0] : 0;

  const percent = (share) => {
    const value = 100 * share;
    if (value > 0 && value < 0.1) return "<0.1 %";
    if (value >= 99.5 && value < 100) return Math.min(value, 99.9).toFixed(1) + " %";
    return (value >= 9.95 ? value.toFixed(0) : value.toFixed(1).replace(/\.0$/, "")) + " %";
  };
  const count = (value) => String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, "\u202f");
  const isWhole = (value) => Number.isInteger(value) || Math.abs(value) >= 999.5;
  const number = (value) => (isWhole(value) ? count(value) : String(Number(value.toPrecision(3))));
  const written = (value, unit) => (unit === "percent" ? percent(value) : number(value));
  const plural = (amount, noun) => `${count(amount)} ${noun}${amount === 1 ? "" : "s"}`;
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  tip.setAttribute("role", "status");
  document.body.append(tip);

  function showTip(lines, x, y) {
    tip.replaceChildren(...lines.map((line, index) => {
      const row = document.createElement(index ? "div" : "b");
      row.textContent = line;
      return row;
    }));
    tip.hidden = false;
    const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
    tip.style.left = `${window.scrollX + clamp(x + 14, 8, Math.max(8, room))}px`;
    tip.style.top = `${window.scrollY + y + 16}px`;
  }
  const hideTip = () => { tip.hidden = true; };

  // --- tau ---------------------------------------------------------------------------------------------------------
  const switcher = document.querySelector(".taus");
  function choose(value) {
    tau = value;
    for (const view of all("[data-tau]")) view.hidden = Number(view.dataset.tau) !== value;
  }
  if (switcher) {
    switcher.hidden = false;
    switcher.addEventListener("change", (event) => choose(Number(event.target.value)));
    const checked = switcher.querySelector(":checked");
    if (checked) choose(Number(checked.value));
  }

  // --- a page on runs that still train: it loads itself again, and what was chosen outlives that ---------------------
  const live = document.querySelector(".live");
  const kept = () => (live && history.state) || {};
  const remember = (what) => { if (live) history.replaceState({ ...kept(), ...what }, ""); };
  if (live) {
    const pause = live.querySelector("input");
    live.querySelector("label").hidden = false;
    pause.checked = Boolean(kept().paused);
    pause.addEventListener("change", () => remember({ paused: pause.checked }));
    setInterval(() => { if (!pause.checked) location.reload(); }, 1000 * Number(live.dataset.seconds));
    if (switcher) {
      const before = all("input", switcher).find((input) => input.value === kept().tau);
      if (before) { before.checked = true; choose(Number(before.value)); }
      switcher.addEventListener("change", (event) => remember({ tau: event.target.value }));
    }
  }

  // --- sorting -----------------------------------------------------------------------------------------------------
  function compare(first, second, down) {
    const [a, b] = [first, second].map((cell) => (cell.dataset.v === undefined ? NaN : Number(cell.dataset.v)));
    if (first.dataset.v === undefined && second.dataset.v === undefined) {
      return (down ? -1 : 1) * first.textContent.localeCompare(second.textContent, "en", { numeric: true });
    }
    if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
    return down ? b - a : a - b;
  }
  function sortBy(table, head) {
    const body = table.tBodies[0];
    const place = [...head.parentNode.children].indexOf(head);
    const before = head.getAttribute("aria-sort");
    const down = before ? before === "ascending" : !head.classList.contains("text");
    for (const other of all("th", table)) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    body.append(...[...body.rows].sort((a, b) => compare(a.cells[place], b.cells[place], down)));
  }
  for (const table of all("table.sortable")) {
    for (const head of all("th:not(.trend)", table)) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sortBy(table, head));
      head.append(button);
    }
  }

  // --- values of curves --------------------------------------------------------------------------------------------
  const ZERO_SLOT = 0.07; // as in scales.py
  function part(axis, value) {
    if (axis.kind === "linear") return (value - axis.low) / (axis.high - axis.low || 1);
    const log = Math.log(Math.max(value, axis.low) / axis.low) / (Math.log(axis.high / axis.low) || 1);
    if (axis.kind === "log") return log;
    return value < axis.low ? (ZERO_SLOT * value) / axis.low : ZERO_SLOT + (1 - ZERO_SLOT) * log;
  }
  for (const chart of all("svg.chart[data-figure]")) {
    const panel = data.figures[chart.dataset.figure].panels[Number(chart.dataset.panel)];
    const [left, top, right, bottom] = chart.dataset.plot.split(" ").map(Number);
    const grid = (line) => data.grids[line.x];
    const xs = [...new Set(panel.lines.flatMap(grid))].sort((a, b) => a - b);
    const places = xs.map((x) => left + part(panel.x, x) * (right - left));
    const cursor = document.createElementNS(SVG, "path");
    cursor.setAttribute("class", "cursor");
    let at = -1;

    function show(index, y) {
      at = index;
      const values = panel.lines.map((line) => [line, line.y[grid(line).indexOf(xs[at])]]).filter((pair) => known(pair[1]));
      const named = panel.lines.length > 1;
      const rows = values.map(([line, value]) => `${named ? line.label + ": " : ""}${written(value, panel.y.unit)}`);
      const box = chart.getBoundingClientRect();
      cursor.setAttribute("d", `M${places[at]} ${top}V${bottom}`);
      chart.append(cursor);
      const unit = panel.x.label.replace(/s$/, "");
      showTip([`${unit} ${written(xs[at], panel.x.unit)}`, ...(rows.length ? rows : ["no value"])], box.left + (places[at] * box.width) / chart.viewBox.baseVal.width, y);
    }
    const hide = () => { cursor.remove(); hideTip(); };
    chart.addEventListener("pointermove", (event) => {
      const box = chart.getBoundingClientRect();
      const x = ((event.clientX - box.left) * chart.viewBox.baseVal.width) / box.width;
      let best = 0;
      places.forEach((place, index) => { if (Math.abs(place - x) < Math.abs(places[best] - x)) best = index; });
      show(best, event.clientY);
    });
    chart.addEventListener("pointerleave", hide);
    chart.addEventListener("blur", hide);
    chart.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (event.key === "Escape") hide();
      if (!step) return;
      event.preventDefault();
      show(at < 0 ? xs.length - 1 : clamp(at + step, 0, xs.length - 1), chart.getBoundingClientRect().top + 20);
    });
  }

  // --- pictures: their levels are read back out of the PNG itself -------------------------------------------------
  async function levelsOf(image) {
    const bytes = Uint8Array.from(atob(image.src.split(",")[1]), (character) => character.charCodeAt(0));
    const view = new DataView(bytes.buffer);
    const packed = [];
    for (let place = 8; place < bytes.length;) {
      const length = view.getUint32(place);
      const kind = String.fromCharCode(...bytes.subarray(place + 4, place + 8));
      if (kind === "IDAT") packed.push(bytes.subarray(place + 8, place + 8 + length));
      place += length + 12;
    }
    const stream = new Blob(packed).stream().pipeThrough(new DecompressionStream("deflate"));
    const flat = new Uint8Array(await new Response(stream).arrayBuffer());
    const width = view.getUint32(16) + 1; // one filter byte, always 0, begins each row
    return (row) => flat.subarray(row * width + 1, (row + 1) * width);
  }
  const pictures = new Map();
  function picture(raster) {
    const identity = `${raster.dataset.figure}/${raster.dataset.panel}`;
    if (!pictures.has(identity)) pictures.set(identity, levelsOf(raster.querySelector("img")));
    return pictures.get(identity);
  }
  function place(event, image, panel) {
    const box = image.getBoundingClientRect();
    const row = Math.floor(((event.clientY - box.top) / box.height) * panel.rows.length);
    const column = Math.floor(((event.clientX - box.left) / box.width) * panel.columns.length);
    return [clamp(row, 0, panel.rows.length - 1), clamp(column, 0, panel.columns.length - 1)];
  }

  // --- neurons -----------------------------------------------------------------------------------------------------
  const isDormant = (level, scale) => level === 1 || (level > 1 && scale.edges[level - scale.first] <= tau);
  function scoreWords(level, scale) {
    if (level < scale.first) return `score ${scale.specials[level]}`;
    const [low, high] = [level - scale.first - 1, level - scale.first].map((index) => (index < 0 ? 0 : scale.edges[index]));
    return known(high) ? `score ${number(low)} to ${number(high)}` : `score above ${number(low)}`;
  }
  function historyWords(neuron, levels, panel, scale) {
    const dormant = [...levels].map((level) => isDormant(level, scale));
    const times = dormant.filter(Boolean).length;
    const total = dormant.length;
    const last = scoreWords(levels[total - 1], scale);
    const name = `Neuron ${neuron}`;
    if (!times) return `${name}: never dormant at tau = ${tau}; last ${last}.`;
    let streak = 0;
    while (streak < total && dormant[total - 1 - streak]) streak += 1;
    const now = streak ? `since ${data.unit} ${number(panel.columns[total - streak])} (${streak} in a row)` : "not now";
    return `${name}: dormant at ${times} of ${plural(total, "checkpoint")} at tau = ${tau}, ${now}; last ${last}.`;
  }
  function draw(name, attributes, text = "") {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.textContent = text;
    return made;
  }
  /** One neuron's scores over the checkpoints, on the logarithmic scale of the levels; ground where it was dormant. */
  function historyChart(levels, panel, scale) {
    const [width, height, foot] = [480, 56, 14];
    const step = width / levels.length;
    const top = scale.first + scale.edges.length - 1;
    const y = (level) => 2 + (height - foot - 4) * (1 - Math.max(level - 1, 0) / (top - 1));
    const chart = draw("svg", { class: `history run-${panel.slot}`, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
    levels.forEach((level, index) => {
      if (isDormant(level, scale)) chart.append(draw("rect", { class: "dormant", x: index * step, y: 0, width: step, height: height - foot }));
    });
    const path = [...levels].map((level, index) => (level ? `M${index * step} ${y(level)}h${step}` : "")).join("");
    chart.append(draw("path", { class: "base", d: `M0 ${height - foot}H${width}` }), draw("path", { class: "line", d: path }));
    chart.append(draw("text", { x: 0, y: height - 2 }, number(panel.columns[0])));
    chart.append(draw("text", { x: width, y: height - 2, "text-anchor": "end" }, number(panel.columns[panel.columns.length - 1])));
    return chart;
  }
  /** The filter and the activation maps of a picked neuron, enlarged: the same pictures that the chapter on them has. */
  function closeUp(identity, index, neuron) {
    const ofLayer = `[data-of="${identity}"][data-panel="${index}"]`;
    if (!document.querySelector(ofLayer)) return [];
    const made = document.createElement("div");
    made.className = `close run-${data.figures[identity].panels[index].slot}`;
    const images = all(`${ofLayer}[data-neuron="${neuron}"] img`);
    made.append(...images.map((image) => {
      const figure = document.createElement("figure");
      const caption = document.createElement("figcaption");
      caption.textContent = image.alt;
      figure.append(image.cloneNode(), caption);
      return figure;
    }));
    if (!document.querySelector(`tr${ofLayer}[data-neuron="${neuron}"]`)) {
      const note = document.createElement("p");
      note.textContent = `Its activation maps are not in this page: ask for them with --neurons LAYER:${neuron}.`;
      made.append(note);
    }
    return [made];
  }
  for (const picker of all("form.picker")) {
    const figure = document.getElementById(picker.dataset.figure);
    const rasters = all(".raster", figure);
    const output = picker.querySelector("output");
    const input = picker.elements.neuron;
    const select = picker.elements.panel;
    const panels = data.figures[picker.dataset.figure].panels;
    const scale = data.scales.neurons;
    let chosen = null;
    picker.hidden = false;
    picker.addEventListener("submit", (event) => event.preventDefault());

    function mark(raster, row, rows) {
      all(".mark", figure).forEach((old) => old.remove());
      const line = document.createElement("div");
      line.className = "mark";
      line.style.top = `${(100 * row) / rows}%`;
      line.style.height = `${100 / rows}%`;
      raster.querySelector(".plot").append(line);
    }
    async function tell(index, row) {
      const panel = panels[index];
      const levels = (await picture(rasters[index]))(row);
      mark(rasters[index], row, panel.rows.length);
      const run = panels.length > 1 ? `${panel.title}. ` : "";
      output.textContent = run + historyWords(panel.rows[row], levels, panel, scale);
      all(".history", picker).forEach((old) => old.remove());
      picker.append(historyChart(levels, panel, scale));
      return levels;
    }
    function keep(index, row) {
      chosen = [index, row];
      remember({ [picker.dataset.figure]: [index, panels[index].rows[row]] });
      input.value = panels[index].rows[row];
      if (select) select.value = index;
      input.max = panels[index].rows.length - 1;
      all(".close", picker).forEach((old) => old.remove());
      picker.append(...closeUp(picker.dataset.figure, index, panels[index].rows[row]));
      return tell(index, row);
    }
    rasters.forEach((raster, index) => {
      const image = raster.querySelector("img");
      image.addEventListener("pointermove", async (event) => {
        const [row, column] = place(event, image, panels[index]);
        const levels = await tell(index, row);
        const where = `${data.unit} ${number(panels[index].columns[column])}`;
        showTip([`neuron ${panels[index].rows[row]}`, `${where}: ${scoreWords(levels[column], scale)}`], event.clientX, event.clientY);
      });
      image.addEventListener("pointerleave", () => { hideTip(); if (chosen) tell(...chosen); });
      image.addEventListener("click", (event) => keep(index, place(event, image, panels[index])[0]));
    });
    picker.addEventListener("input", () => {
      const index = select ? Number(select.value) : 0;
      const row = input.value === "" ? -1 : panels[index].rows.indexOf(Number(input.value));
      if (row >= 0) keep(index, row);
      else output.textContent = `No neuron ${input.value}: they are numbered 0 to ${panels[index].rows.length - 1}.`;
    });
    if (switcher) switcher.addEventListener("change", () => { if (chosen) tell(...chosen); });
    const before = kept()[picker.dataset.figure];
    if (before && panels[before[0]]) {
      const row = panels[before[0]].rows.indexOf(before[1]);
      if (row >= 0) keep(before[0], row);
    }
  }

  // --- overlap of two checkpoints ---------------------------------------------------------------------------------
  for (const raster of all(".raster.pairs")) {
    const panel = data.figures[raster.dataset.figure].panels[Number(raster.dataset.panel)];
    const image = raster.querySelector("img");
    image.addEventListener("pointermove", async (event) => {
      const [row, column] = place(event, image, panel);
      const level = (await picture(raster))(row)[column];
      const value = level ? percent((level - 1) / 100) : "undefined, a set is empty";
      const pair = [panel.columns[Math.min(row, column)], panel.columns[Math.max(row, column)]].map(number);
      showTip([`${pair[0]} with ${pair[1]}`, `${row > column ? "by chance" : "measured"}: ${value}`], event.clientX, event.clientY);
    });
    image.addEventListener("pointerleave", hideTip);
  }
})();
