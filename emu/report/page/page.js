"use strict";
// Draws the figure that the page carries, and what goes with it: the names of what is drawn, and the buttons and keys
// that zoom. Numbers come compressed, long columns as base64 of little-endian floats, each once; colours as names of
// CSS variables, looked up again when the colour scheme changes or the page is printed.
(async function () {
  const byId = function (name) { return document.getElementById(name); };
  const box = byId("figure"), tools = byId("tools"), names = byId("names"), said = byId("said");
  if (typeof Plotly === "undefined" || typeof DecompressionStream === "undefined") {
    byId("undrawn").hidden = false;
    return;
  }
  const fromBase64 = function (text) { return Uint8Array.from(atob(text), function (c) { return c.charCodeAt(0); }); };
  async function inflate(text) {
    const stream = new Blob([fromBase64(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
    return JSON.parse(await new Response(stream).text());
  }
  const packed = await inflate(byId("figure-data").textContent.trim());
  const arrays = packed.arrays.map(function (one) {
    const raw = fromBase64(one.b);
    return one.k === "f4" ? Float64Array.from(new Float32Array(raw.buffer)) : new Float64Array(raw.buffer);
  });
  const meta = packed.layout.meta || {}, phone = window.matchMedia("(max-width: 720px)");
  const end = meta.time ? meta.time.end : null, wall = meta.time && meta.time.wall ? Date.parse(meta.time.wall) : NaN;
  const hidden = new Set(), texts = new Map();
  const send = function (what, detail) { document.dispatchEvent(new CustomEvent(what, { detail: detail })); };

  // --- the figure, in this moment's colours and width

  function bytes(count) {
    const units = ["B", "KiB", "MiB", "GiB"];
    let size = count, i = 0;
    while (Math.abs(size) >= 1024 && i < 3) { size /= 1024; i += 1; }
    const text = i === 0 || Number.isInteger(size) ? size.toFixed(0) : size.toFixed(1);
    return text + " " + units[i] + (i ? " (" + Math.round(count).toLocaleString("en-US") + " B)" : "");
  }
  function readout(trace) {
    const factor = trace.meta.factor, rows = trace.meta.readout;
    return Array.from(trace.y, function (value, i) {
      const lines = Number.isNaN(value) ? [] : ["<b>memory.current " + bytes(value * factor) + "</b>"];
      for (const row of rows) {
        if (!Number.isNaN(row[1][i])) { lines.push(row[0] + " " + bytes(row[1][i] * factor)); }
      }
      return lines.join("<br>");
    });
  }
  function resolve(value, colours) {
    if (typeof value === "string") {
      if (!value.startsWith("var(--")) { return value; }
      if (!colours.has(value)) {
        colours.set(value, getComputedStyle(document.documentElement).getPropertyValue(value.slice(4, -1)).trim());
      }
      return colours.get(value);
    }
    if (Array.isArray(value)) { return value.map(function (one) { return resolve(one, colours); }); }
    if (value === null || typeof value !== "object" || ArrayBuffer.isView(value)) { return value; }
    if (typeof value.$a === "number") { return arrays[value.$a]; }
    const out = {};
    for (const key of Object.keys(value)) { out[key] = resolve(value[key], colours); }
    return out;
  }
  function wrapped(text, most) {
    // Words of a title on lines that fit; tags have no width.
    const lines = [];
    for (const part of text.split(/(?<=[ ·])/)) {
      const last = lines.length - 1;
      const fits = last >= 0 && (lines[last] + part).replace(/<[^>]*>/g, "").length <= most;
      if (fits) { lines[last] += part; } else { lines.push(part); }
    }
    return lines.slice(0, 2).join("<br>");
  }
  function forPhone(layout) {
    Object.assign(layout.margin, { l: 58, r: 10 });
    const free = new Map();  // how far the names of phases reach, in each of their rows
    layout.annotations = (layout.annotations || []).filter(function (note) {
      if (note.name !== "phase") { return true; }
      const left = note.x / end * (box.clientWidth - 68), fits = left >= (free.get(note.yshift) || 0);
      if (fits) { free.set(note.yshift, left + 6.2 * (note.text.length + 1)); }
      return fits;
    });
    for (const note of layout.annotations) {
      if (note.name === "title") {
        note.text = wrapped(note.text, Math.floor((box.clientWidth - 70) / 5.6));
        Object.assign(note, { align: "left" });
        note.font.size = 10.5;
      } else if (note.name === "limit") {
        const text = note.text.replace("<br>", " ").replace("<br>", " ");
        Object.assign(note, { text: text, x: 0, xshift: 2, yanchor: "bottom", bgcolor: "rgba(0,0,0,0)" });
      }
    }
    if (layout.xaxis) { Object.assign(layout.xaxis, { nticks: 5 }); }
  }
  function figure(paper) {
    const colours = new Map();
    const drawn = { data: resolve(packed.data, colours), layout: resolve(packed.layout, colours) };
    drawn.data.forEach(function (trace, i) {
      if (hidden.has(trace.legendgroup)) { trace.visible = false; }
      if (trace.meta && trace.meta.readout) {
        if (!texts.has(i)) { texts.set(i, readout(trace)); }
        trace.text = texts.get(i);
        trace.hovertemplate = "%{text}<extra></extra>";
      }
    });
    if (phone.matches && !paper) { forPhone(drawn.layout); }
    return drawn;
  }
  const config = { responsive: true, displayModeBar: false, showTips: false, doubleClick: "reset", plotlyServerURL: "" };
  async function draw(paperWidth) {
    const drawn = figure(paperWidth);
    if (paperWidth) { Object.assign(drawn.layout, { width: paperWidth, autosize: false }); }
    if (end !== null && box.layout) { drawn.layout.xaxis.range = box.layout.xaxis.range.slice(); }
    await Plotly.react(box, drawn.data, drawn.layout, config);
    placePanels();
  }

  // --- time: zoom and way

  function seconds(t) { return t.toFixed(3) + " s"; }
  function clock(t) {
    return Number.isNaN(wall) ? "" : " · " + new Date(Math.round(wall + t * 1000)).toISOString().slice(11, 23) + " UTC";
  }
  function range() { return box.layout.xaxis.range.map(Number); }
  async function show(from, until) {
    const width = Math.min(end, Math.max(until - from, end / 5000));
    const begin = Math.min(Math.max(0, from), end - width);
    await Plotly.relayout(box, { "xaxis.range": [begin, begin + width] });
  }
  function zoom(factor, at) {
    const [from, until] = range(), middle = at === undefined ? (from + until) / 2 : at;
    return show(middle - (middle - from) * factor, middle + (until - middle) * factor);
  }
  function pan(share) {
    const [from, until] = range(), step = (until - from) * share;
    return show(from + step, until + step);
  }
  function whole() { return end === null ? draw() : show(0, end); }
  function shown() {
    if (end === null || !box.layout) { return; }
    const [from, until] = range(), all = from <= end * 1e-6 && until >= end * (1 - 1e-6);
    byId("all").disabled = all;
    said.textContent = all ? "the whole run, " + seconds(end) : seconds(from) + " to " + seconds(until);
  }
  function button(label, title, act) {
    const made = document.createElement("button");
    Object.assign(made, { type: "button", textContent: label, title: title, onclick: act });
    made.setAttribute("aria-label", title);
    tools.insertBefore(made, said);
    return made;
  }
  if (end !== null) {
    button("+", "zoom in", function () { zoom(0.5); });
    button("−", "zoom out", function () { zoom(2); });
    button("←", "earlier", function () { pan(-0.5); });
    button("→", "later", function () { pan(0.5); });
  }
  button(end === null ? "all of it" : "whole run", "show the whole picture again", whole).id = "all";
  button("save as SVG", "save the picture as an SVG file", function () {
    Plotly.downloadImage(box, { format: "svg", filename: packed.name });
  });

  // --- panels: each has its place in the order of the tabulator key, and reads out what is under the cursor

  let cursor = 0, moment = null;
  const mark = document.createElement("div");
  mark.className = "moment screen";
  mark.hidden = true;
  box.parentElement.appendChild(mark);
  function placeMoment() { // the one that the tree of cgroups keeps
    const size = box._fullLayout._size, [from, until] = range();
    const share = moment === null ? -1 : (moment - from) / (until - from);
    mark.hidden = share < 0 || share > 1;
    Object.assign(mark.style, { top: size.t - 6 + "px", height: size.h + 6 + "px", left: size.l + share * size.w + "px" });
  }
  document.addEventListener("moment-kept", function (event) { moment = event.detail; placeMoment(); });
  function placePanels() {
    if (!meta.panels) { return; }
    const frame = box.parentElement, size = box._fullLayout._size;
    frame.querySelectorAll(".panel").forEach(function (one, i) {
      const panel = meta.panels[i];
      Object.assign(one.style, {
        top: size.t + panel.top + "px", height: panel.height + "px", left: size.l + "px", width: size.w + "px",
      });
    });
    placeMoment();
  }
  async function read(panel, step) {
    const [from, until] = range();
    cursor = Math.min(Math.max(cursor < from || cursor > until ? from : cursor + step * (until - from), from), until);
    Plotly.Fx.hover(box, { xval: cursor }, "x" + panel.axis);
    const points = box._hoverdata || [];
    const words = points.map(function (point) {
      return (point.text || point.data.name + " " + Number(point.y).toPrecision(4)).replace(/<br>/g, ", ");
    });
    send("moment", cursor);
    said.textContent = seconds(cursor) + clock(cursor) + ": " + (words.join("; ").replace(/<[^>]*>/g, "") || "nothing");
  }
  (meta.panels || []).forEach(function (panel) {
    const made = document.createElement("div");
    made.className = "panel";
    made.tabIndex = 0;
    made.setAttribute("role", "img");
    made.setAttribute("aria-label", panel.label);
    made.onkeydown = function (event) {
      if (event.ctrlKey || event.altKey || event.metaKey) { return; }
      const act = {
        "+": function () { zoom(0.5, cursor || undefined); }, "=": function () { zoom(0.5, cursor || undefined); },
        "-": function () { zoom(2); }, "0": whole, Escape: whole,
        ArrowLeft: function () { if (event.shiftKey) { pan(-0.25); } else { read(panel, -0.02); } },
        ArrowRight: function () { if (event.shiftKey) { pan(0.25); } else { read(panel, 0.02); } },
      }[event.key];
      if (act) { event.preventDefault(); act(); }
    };
    box.parentElement.appendChild(made);
  });

  // --- names: what is drawn, to be hidden or seen alone

  const marks = { x: "✕", "x-thin": "×", "triangle-up": "▲", "diamond-open": "◇", "line-ns": "|", circle: "●", square: "■",
    diamond: "◆" };
  function swatch(trace) {
    const made = document.createElement("span");
    const area = trace.fillcolor && trace.stackgroup ? trace.fillcolor : null;
    const pattern = trace.fillpattern || (trace.marker && trace.marker.pattern);
    made.className = "swatch";
    made.setAttribute("aria-hidden", "true");
    if (pattern && pattern.shape) {
      made.style.background = "repeating-linear-gradient(135deg, " + pattern.fgcolor + " 0 2px, " +
        (pattern.bgcolor || "transparent") + " 2px 4px)";
      made.style.border = "1px solid " + pattern.fgcolor;
    } else if (area || trace.type === "bar") {
      made.style.background = area || trace.marker.color;
    } else if (trace.mode === "markers") {
      made.className = "swatch mark";
      made.textContent = marks[trace.marker.symbol] || "●";
      made.style.color = trace.marker.color || trace.marker.line.color;
    } else {
      made.className = "swatch line";
      made.style.borderTopColor = trace.line.color;
      if (trace.line.dash && trace.line.dash !== "solid") { made.style.borderTopStyle = "dotted"; }
    }
    return made;
  }
  function lineUp() {
    names.querySelectorAll("button").forEach(function (one) {
      one.setAttribute("aria-pressed", String(!hidden.has(one.dataset.group)));
    });
    return draw();
  }
  function alone(group) {
    const all = Array.from(names.querySelectorAll("button"));
    const mine = all.find(function (one) { return one.dataset.group === group; }).parentElement;
    const others = all.filter(function (one) { return one.parentElement === mine && one.dataset.group !== group; })
      .map(function (one) { return one.dataset.group; });
    const already = !hidden.has(group) && others.length && others.every(function (one) { return hidden.has(one); });
    hidden.delete(group);
    others.forEach(function (one) { if (already) { hidden.delete(one); } else { hidden.add(one); } });
    return lineUp();
  }
  const groups = new Map();
  packed.data.forEach(function (trace) {
    if (trace.showlegend === false || !trace.legendgroup) { return; }
    const name = trace.legend || "legend";
    if (!groups.has(name)) {
      const made = document.createElement("div"), title = document.createElement("span");
      title.className = "of";
      title.textContent = (meta.legends || {})[name] || "";
      made.setAttribute("role", "group");
      made.setAttribute("aria-label", title.textContent || "names");
      made.append(title);
      names.append(made);
      groups.set(name, made);
    }
    const made = document.createElement("button");
    const word = new DOMParser().parseFromString(trace.name, "text/html").documentElement.textContent;
    made.type = "button";
    made.dataset.group = trace.legendgroup;
    made.setAttribute("aria-pressed", "true");
    made.append(swatch(trace), word);
    made.onclick = function (event) {
      if (event.shiftKey) { alone(trace.legendgroup); return; }
      if (hidden.has(trace.legendgroup)) { hidden.delete(trace.legendgroup); } else { hidden.add(trace.legendgroup); }
      lineUp();
    };
    made.ondblclick = function () { alone(trace.legendgroup); };
    groups.get(name).append(made);
  });

  // --- begin

  // A finger scrolls the page, and a tap reads a value: plotly would take every touch for a zoom.
  box.addEventListener("touchstart", function (event) { event.stopPropagation(); }, { capture: true, passive: true });
  await draw();
  box.on("plotly_relayout", function () { shown(); placePanels(); });
  function under(event) { // the time under the pointer, if it is in a panel
    if (end === null) { return null; }
    const [from, until] = range(), size = box._fullLayout._size;
    const share = (event.clientX - box.getBoundingClientRect().left - size.l) / size.w;
    return share < 0 || share > 1 ? null : from + share * (until - from);
  }
  box.addEventListener("mousemove", function (event) {
    const t = under(event);
    send("moment", t);
    if (t === null) { shown(); } else { said.textContent = seconds(t) + clock(t); }
  });
  box.addEventListener("mouseleave", function () { shown(); send("moment", null); });
  box.addEventListener("click", function (event) {
    const t = under(event);
    if (t !== null) { send("moment-chosen", t); }
  });
  shown();
  if (packed.tree) { send("figure-drawn", { tree: resolve(packed.tree, new Map()), end: end }); }
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", function () { draw(); });
  phone.addEventListener("change", function () { draw(); });
  window.addEventListener("resize", function () { requestAnimationFrame(placePanels); });
  window.addEventListener("beforeprint", function () {
    document.documentElement.dataset.paper = "";
    draw(1040);
  });
  window.addEventListener("afterprint", function () {
    delete document.documentElement.dataset.paper;
    draw();
  });
  document.documentElement.dataset.drawn = "";
})();
