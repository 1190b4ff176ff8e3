"use strict";
// Draws the figure that the page carries. Numbers come as base64 of little-endian floats, each array once;
// colours as names of CSS variables, looked up again when the colour scheme changes or the page is printed.
(function () {
  const box = document.getElementById("figure");
  const packed = JSON.parse(document.getElementById("figure-data").textContent);
  const arrays = packed.arrays.map(function (one) {
    const raw = Uint8Array.from(atob(one.b), function (c) { return c.charCodeAt(0); });
    const floats = one.k === "f4" ? new Float32Array(raw.buffer) : new Float64Array(raw.buffer);
    return one.k === "f4" ? Float64Array.from(floats) : floats;
  });
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
  const texts = new Map();
  function figure() {
    const colours = new Map();
    const drawn = { data: resolve(packed.data, colours), layout: resolve(packed.layout, colours) };
    drawn.data.forEach(function (trace, i) {
      if (trace.meta && trace.meta.readout) {
        if (!texts.has(i)) { texts.set(i, readout(trace)); }
        trace.text = texts.get(i);
        trace.hovertemplate = "%{text}<extra></extra>";
      }
    });
    return drawn;
  }
  const config = {
    responsive: true, displaylogo: false, showTips: false, doubleClick: "reset", plotlyServerURL: "",
    // Named one by one: the usual set has a button that uploads the chart.
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
    toImageButtonOptions: { format: "svg", filename: packed.name },
  };
  function draw(width) {
    const drawn = figure();
    if (width) { drawn.layout.width = width; drawn.layout.autosize = false; }
    if (box.layout && box.layout.xaxis) { drawn.layout.xaxis.range = box.layout.xaxis.range.slice(); }
    return Plotly.react(box, drawn.data, drawn.layout, config);
  }
  draw();
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", function () { draw(); });
  window.addEventListener("beforeprint", function () {
    document.documentElement.dataset.paper = "";
    draw(1040);
  });
  window.addEventListener("afterprint", function () {
    delete document.documentElement.dataset.paper;
    draw();
  });
})();
