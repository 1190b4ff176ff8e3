"use strict";
// Fills in the tree of cgroups for the moment under the pointer, or the one that is kept: chosen with the slider, a
// button, or a click into the timeline. page.js says when the figure is drawn and where the cursor is. Words and
// figures are those of topics/cgroup_tree.py, whose rows stand on the page for the first moment.
(function () {
  const table = document.getElementById("tree"), tools = document.getElementById("tree-tools");
  const when = document.getElementById("tree-when");
  if (!table) { return; }

  // --- sizes and shares, in the words of emu/units.py and emu/report/words.py

  function rounded(value) { // halves to even, as Python does
    const near = Math.round(value);
    return Math.abs(value % 1) === 0.5 && near % 2 ? near - 1 : near;
  }
  function bytes(count) {
    const units = ["B", "KiB", "MiB", "GiB"];
    let size = count, i = 0;
    while (size >= 1024 && i < 3) { size /= 1024; i += 1; }
    return (i === 0 || Number.isInteger(size) ? size.toFixed(0) : (rounded(size * 10) / 10).toFixed(1)) + " " + units[i];
  }
  function share(part, whole) {
    const percent = 100 * part / whole;
    if (percent > 0 && percent < 1) { return "under 1 %"; }
    return percent > 99 && percent < 100 ? "over 99 %" : rounded(percent) + " %";
  }

  // --- what was charged at a moment

  const SLACK = 1e-6; // times of samples are rounded to this
  function stayAt(row, t) {
    return (row.stays || []).findLast(function (one) { return one.b <= t + SLACK && (one.e === null || t + SLACK < one.e); });
  }
  function sampled(row, stay, t) {
    let low = stay.from, high = stay.from + stay.n - 1;
    while (low < high) { // the last sample at or before t
      const middle = (low + high + 1) >> 1;
      if (row.x[middle] <= t + SLACK) { low = middle; } else { high = middle - 1; }
    }
    const value = function (column) {
      const found = column[low];
      return found === null || Number.isNaN(found) ? null : Math.round(found * row.factor);
    };
    const held = { current: value(row.current), parts: {}, limits: {} };
    for (const [part, column] of Object.entries(row.parts)) { held.parts[part] = value(column); }
    for (const [file, steps] of Object.entries(stay.limits)) {
      const step = steps.findLast(function (one) { return one[0] <= t + SLACK; });
      if (step && step[1] !== null) { held.limits[file] = step[1]; }
    }
    return held;
  }
  function sum(some) {
    const whole = { current: 0, parts: {}, limits: {} };
    for (const one of some) {
      whole.current += one.current || 0;
      for (const [part, value] of Object.entries(one.parts)) { whole.parts[part] = (whole.parts[part] || 0) + (value || 0); }
    }
    return whole;
  }
  function charges(rows, t) {
    const found = rows.map(function (row) {
      const stay = stayAt(row, t);
      return stay ? sampled(row, stay, t) : null;
    });
    const below = function (above) { return found.filter(function (one, i) { return one && rows[i].above === above; }); };
    rows.forEach(function (row, i) {
      if (row.level === "class" && !row.stays && below(i).length) { found[i] = sum(below(i)); }
    });
    rows.forEach(function (row, i) {
      const whole = row.level === "own" ? found[row.above] : null;
      if (!whole) { return; }
      const held = sum(below(row.above)), rest = { current: whole.current, parts: {}, limits: {} };
      if (rest.current !== null) { rest.current = Math.max(0, rest.current - held.current); }
      for (const [part, value] of Object.entries(whole.parts)) {
        const left = Math.max(0, (value || 0) - (held.parts[part] || 0));
        rest.parts[part] = rest.current === null ? left : Math.min(left, rest.current);
      }
      found[i] = rest;
    });
    return found;
  }

  // --- a row of the table

  function killWords(row, t) {
    const before = row.kills.filter(function (one) { return one[0] <= t; }), n = before.length;
    if (!n) { return ""; }
    const what = row.level === "container" ? "killed" : "limit met", last = before[n - 1][1];
    return n === 1 ? what + " at " + last : what + " " + n + " times, last at " + last;
  }
  function killed(row, t) {
    const last = (row.stays || []).findLast(function (one) { return one.b <= t; });
    const fatal = row.kills.findLast(function (one) { return one[0] <= t && one[2]; });
    return row.level === "container" && Boolean(last && fatal) && last.b <= fatal[0];
  }
  function cells(row, held, t) {
    const said = { kills: killWords(row, t) };
    if (!held) { return said; }
    const limit = held.limits["memory.max"];
    for (const [file, value] of Object.entries(held.limits)) { said[file] = bytes(value); }
    for (const [part, value] of Object.entries(held.parts)) { said[part] = value ? bytes(value) : ""; }
    said.charged = held.current === null ? "-" : bytes(held.current);
    if (limit === undefined) { said["memory.max"] = row.stays ? "none" : ""; }
    said.share = limit && held.current !== null ? share(held.current, limit) : "";
    return said;
  }
  function fill(tree, row, held, shown, t) {
    const stay = stayAt(row, t), said = cells(row, held, t), head = shown.cells[0];
    const width = function (part) { return (100 * Math.min(part, tree.top) / tree.top).toFixed(2) + "%"; };
    shown.className = row.level + (held ? "" : " gone") + (killed(row, t) ? " killed" : "");
    head.querySelector(".name").textContent = stay ? stay.name : row.name;
    head.querySelector(".more").textContent = stay ? stay.more : "";
    head.title = stay ? stay.path : "";
    const keys = tree.columns.concat(tree.kinds.map(function (kind) { return kind[0]; }), tree.last);
    keys.forEach(function (key, i) { shown.cells[i + 2].textContent = said[key] || ""; });
    const bar = shown.cells[1].firstElementChild, limit = held && held.limits["memory.max"], now = (held && held.current) || 0;
    const room = bar.querySelector(".room");
    room.style.width = width(limit || tree.top);
    room.classList.toggle("limited", Boolean(limit) && limit <= tree.top);
    const kept = held ? Math.max(held.limits["memory.low"] || 0, held.limits["memory.min"] || 0) : 0;
    bar.querySelector(".kept").style.width = width(kept);
    const spoken = [];
    bar.querySelectorAll("i").forEach(function (one, i) {
      const [key, name] = tree.kinds[i], value = (held && held.parts[key]) || 0;
      one.style.width = width(value);
      if (value) { spoken.push(name + " " + said[key]); }
    });
    bar.querySelector("b").style.left = bar.querySelector(".cross").style.left = width(now);
    bar.setAttribute("aria-label", spoken.join(", ") || "nothing");
  }

  // --- moments

  document.addEventListener("figure-drawn", function (event) {
    const tree = event.detail.tree, end = event.detail.end;
    const seconds = function (t) { return t.toFixed(3) + " s"; };
    let kept = tree.moments[0][0];
    function known(t) { return tree.moments.find(function (one) { return one[0] === t; }); }
    function show(t) {
      const held = charges(tree.rows, t), moment = known(t);
      tree.rows.forEach(function (row, i) { fill(tree, row, held[i], table.tBodies[0].rows[i], t); });
      when.textContent = "At " + (moment ? moment[2] + ", " + moment[1] : seconds(t)) + ".";
    }
    const slider = document.createElement("input");
    function keep(t) {
      kept = t;
      slider.value = t;
      slider.setAttribute("aria-valuetext", seconds(t));
      tools.querySelectorAll("button").forEach(function (one) {
        one.setAttribute("aria-pressed", String(Number(one.dataset.t) === t));
      });
      document.dispatchEvent(new CustomEvent("moment-kept", { detail: t }));
    }
    Object.assign(slider, { type: "range", min: 0, max: end, step: end / 2000, id: "tree-time" });
    slider.setAttribute("aria-label", "moment, in seconds since the run began");
    slider.oninput = function () { keep(Number(slider.value)); show(kept); };
    tools.append(slider);
    tree.buttons.forEach(function (number) {
      const [t, , , label] = tree.moments[number], made = document.createElement("button");
      Object.assign(made, { type: "button", textContent: label });
      made.dataset.t = t;
      made.onclick = function () { keep(t); show(t); };
      tools.append(made);
    });
    tools.hidden = false;
    keep(kept);
    document.addEventListener("moment", function (sent) { show(sent.detail === null ? kept : sent.detail); });
    document.addEventListener("moment-chosen", function (sent) { keep(sent.detail); show(kept); });
    table.dataset.follows = "";
  });
})();
