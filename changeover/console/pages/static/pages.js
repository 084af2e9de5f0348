// The live part of the pages: takes what the console sends, changes only what is different, draws
// the charts with uPlot, and says how old everything is.
"use strict";
(() => {
  const HIDDEN_MS = 60000, SILENT_S = 8, OLD_S = 15, ROWS = 30;
  const charts = new Map();
  let stream = null, heard = 0, measured = null, skew = 0, hiddenTimer = 0;

  const colour = (name) =>
    getComputedStyle(document.documentElement).getPropertyValue(
      {baseline: "--baseline", candidate: "--candidate", bound: "--bad", ink: "--muted",
       good: "--good", goal: "--good", warn: "--warn", bad: "--bad", plain: "--edge", line: "--line"}[name]
      || "--ink").trim();

  const text = (value, unit) => value == null ? "no data" : `${Number(value.toPrecision(4))} ${unit}`;
  const clock = (at) => new Date(at * 1000).toISOString().slice(11, 19);
  const day = (at) => new Date(at * 1000).toISOString().slice(0, 19).replace("T", " ");

  // -- sections: what is open, and what has the focus, stays so --------------------------------
  function swap(name, html) {
    const place = document.getElementById(`s-${name}`);
    if (!place) return;
    const open = new Set();
    place.querySelectorAll("details[open] > summary").forEach((each) => open.add(each.textContent));
    const focused = place.contains(document.activeElement) ? path(document.activeElement, place) : null;
    place.innerHTML = html;
    place.querySelectorAll("details > summary").forEach((each) => {
      if (open.has(each.textContent)) each.parentElement.open = true;
    });
    if (focused) follow(focused, place)?.focus({preventScroll: true});
  }
  function path(node, root) {
    const steps = [];
    for (; node !== root; node = node.parentElement)
      steps.unshift([...node.parentElement.children].indexOf(node));
    return steps;
  }
  const follow = (steps, root) => steps.reduce((node, at) => node?.children[at], root);

  // -- charts ----------------------------------------------------------------------------------
  function drawMarks(plot, data) {
    const {ctx, bbox} = plot;
    ctx.save();
    ctx.lineWidth = devicePixelRatio;
    for (const mark of data.marks) {
      const x = plot.valToPos(mark.at, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.strokeStyle = colour(mark.tone);
      ctx.setLineDash([4, 3]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  }
  function options(data, width) {
    const axis = {stroke: colour("ink"), grid: {stroke: colour("line"), width: 1},
                  ticks: {stroke: colour("line"), width: 1}, font: "12px system-ui, sans-serif"};
    const floor = data.floor, top = data.top;
    return {
      width, height: 190,
      cursor: {sync: {key: "time"}, drag: {x: false, y: false}},
      scales: {x: {time: true, range: (_u, low, high) => charts.get(data.name)?.data.span ?? [low, high]}, y: {range: (_u, low, high) => {
        const most = Math.max(high ?? top, top), least = floor ?? Math.min(low ?? 0, most - 1);
        return [least - (most - least) * 0.02, most + (most - least) * 0.06];
      }}},
      axes: [{...axis, space: 70, values: (_u, ticks, _a, _s, step) => ticks.map((each) => tick(each, step))}, {...axis, size: 62, values: (_u, ticks) =>
        ticks.map((each) => `${Number(each.toPrecision(4))}${data.unit === "%" ? " %" : ""}`)}],
      series: [{label: "time", value: (_u, at) => at == null ? "now" : day(at)},
        ...data.lines.map((line) => ({
          label: line.name, stroke: colour(line.colour), width: 1.6,
          dash: line.colour === "baseline" ? [6, 3] : ["bound", "goal"].includes(line.colour) ? [2, 3] : undefined,
          paths: line.stepped ? uPlot.paths.stepped({align: 1}) : undefined,
          points: {show: (_u, _i, from, to) => to - from < 3, filter: alone}, spanGaps: false,
          value: (_u, value) => text(value, data.unit)}))],
      hooks: {draw: [(plot) => drawMarks(plot, charts.get(data.name).data)],
              setCursor: [(plot) => { if (plot.cursor.idx == null) newest(plot); }]},
    };
  }
  // a value between two holes has no line: it is drawn as a point
  function alone(plot, series, all) {
    if (all) return null;
    const values = plot.data[series], found = [];
    for (let at = 0; at < values.length; at++)
      if (values[at] != null && values[at - 1] == null && values[at + 1] == null) found.push(at);
    return found;
  }
  // without a pointer the legend says the newest values
  function newest(plot) {
    if (plot.data[0].length) plot.setLegend({idx: plot.data[0].length - 1}, false);
  }
  const tick = (at, step) => step >= 86400 ? day(at).slice(5, 10) :
    step >= 3600 && at % 86400 === 0 ? day(at).slice(5, 10) :
    step >= 60 ? clock(at).slice(0, 5) : clock(at);

  function draw(name, data) {
    const figure = document.getElementById(`c-${name}`);
    if (!figure) return;
    const place = figure.querySelector(".plot");
    const known = charts.get(name);
    const values = [data.times, ...data.lines.map((line) => line.values)];
    const shape = JSON.stringify([data.lines.map((line) => [line.name, line.colour]), data.unit]);
    place.setAttribute("aria-label", data.summary);
    figure.querySelector(".title").textContent = data.title;
    figure.querySelector(".unit").textContent = data.unit && `in ${data.unit}`;
    if (known && known.shape === shape) {
      known.data = data;
      known.plot.setData(values);
      if (known.plot.cursor.idx == null) newest(known.plot);
    } else {
      known?.plot.destroy();
      place.replaceChildren();
      const entry = {data, shape, figure, plot: null};
      charts.set(name, entry);
      entry.plot = new uPlot(options(data, place.clientWidth), values, place);
      newest(entry.plot);
      place.onkeydown = (event) => walk(event, charts.get(name));
    }
    listMarks(figure, data);
    if (figure.querySelector("details").open) table(charts.get(name));
  }
  function listMarks(figure, data) {
    let list = figure.querySelector(".marks");
    if (!list) {
      list = document.createElement("ul");
      list.className = "marks";
      figure.querySelector(".plot").after(list);
    }
    const first = data.times[0] ?? 0;
    const shown = data.marks.filter((mark) => mark.at >= first).slice(-4);
    list.replaceChildren(...shown.map((mark) => {
      const item = document.createElement("li");
      item.textContent = `${clock(mark.at)} ${mark.text}`;
      return item;
    }));
  }
  // arrow keys move over the values, and say them
  function walk(event, entry) {
    const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (!step) return;
    event.preventDefault();
    const times = entry.data.times, at = entry.plot.cursor.idx ?? times.length - (step < 0 ? 0 : 1);
    const index = Math.min(times.length - 1, Math.max(0, at + step));
    entry.plot.setCursor({left: entry.plot.valToPos(times[index], "x"), top: 40});
    say(`${day(times[index])}: ${entry.data.lines.map((line) =>
      `${line.name} ${text(line.values[index], entry.data.unit)}`).join(", ")}`);
  }
  function say(words) {
    let place = document.getElementById("said");
    if (!place) {
      place = document.createElement("p");
      place.id = "said";
      place.className = "quiet";
      place.setAttribute("aria-live", "polite");
      document.body.append(place);
    }
    place.textContent = words;
  }
  function table(entry) {
    const {times, lines, unit} = entry.data;
    const step = Math.max(1, Math.ceil(times.length / ROWS));
    const whole = document.createElement("table"), head = whole.createTHead().insertRow();
    for (const name of ["time", ...lines.map((line) => line.name)]) {
      const cell = document.createElement("th");
      cell.textContent = name;
      head.append(cell);
    }
    const body = whole.createTBody();
    for (let at = times.length - 1; at >= 0; at -= step) {
      const row = body.insertRow();
      row.insertCell().textContent = day(times[at]);
      for (const line of lines) row.insertCell().textContent = text(line.values[at], unit);
    }
    entry.figure.querySelector(".values").replaceChildren(whole);
  }
  function redraw() {
    for (const [name, {plot, data}] of [...charts]) {
      plot.destroy();
      charts.delete(name);
      draw(name, data);
    }
  }

  // -- the stream ------------------------------------------------------------------------------
  function look(event) {
    const data = JSON.parse(event.data);
    heard = Date.now() / 1000;
    if (data.at) skew = heard - data.at;
    measured = data.measured_at ?? measured;
    for (const [name, html] of Object.entries(data.sections)) swap(name, html);
    for (const [name, chart] of Object.entries(data.charts)) draw(name, chart);
    problem(data.problem && `${data.problem}. The figures are those of ${clock(heard)}; it is tried again every second.`);
    tell();
  }
  function problem(words) {
    const place = document.getElementById("problem");
    const said = place.querySelector(".said");
    if (place.hidden === !words && said.textContent === (words || "")) return;
    place.hidden = !words;
    said.textContent = words || "";
  }
  function tell() {
    const place = document.getElementById("live"), said = place.querySelector(".said");
    const now = Date.now() / 1000, silent = now - heard;
    let words = "live", state = "on";
    if (!heard) [words, state] = ["connecting", ""];
    else if (silent > SILENT_S && stream?.readyState !== 1)
      [words, state] = [`no connection for ${age(silent)}`, "old"];
    else if (measured === null) [words, state] = ["nothing measured yet", ""];
    else if (now - skew - measured > OLD_S) [words, state] = [`no data for ${age(now - skew - measured)}`, "old"];
    // only a change is said: a screen reader must not hear it every second
    if (said.textContent !== words) said.textContent = words;
    place.className = `live ${state}`;
    document.body.classList.toggle("stale", state === "old" && heard > 0);
  }
  const age = (seconds) => seconds < 120 ? `${Math.floor(seconds / 10) * 10 || Math.floor(seconds)} s` :
    seconds < 7200 ? `${Math.floor(seconds / 60)} min` : `${Math.floor(seconds / 3600)} h`;

  function connect() {
    if (stream && stream.readyState !== 2) return;
    stream = new EventSource(document.body.dataset.live);
    stream.addEventListener("look", look);
    stream.onerror = () => {
      tell();
      // refused for good (too many pages, signed out): asked again later
      if (stream.readyState === 2) setTimeout(connect, 5000);
    };
  }
  // a hidden page costs nothing: it comes back with everything when it is seen again
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hiddenTimer);
    if (!document.hidden) connect();
    else hiddenTimer = setTimeout(() => stream?.close(), HIDDEN_MS);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  document.addEventListener("toggle", (event) => {
    const entry = charts.get(event.target.closest?.(".chart")?.dataset.chart);
    if (entry && event.target.open) table(entry);
  }, true);
  new ResizeObserver(() => {
    for (const {plot, figure} of charts.values()) {
      const width = figure.querySelector(".plot").clientWidth;
      if (width && width !== plot.width) plot.setSize({width, height: 190});
    }
  }).observe(document.body);
  // one link copies what a rule's place says
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-copy]");
    if (!button) return;
    const place = document.getElementById(button.dataset.copy);
    // browsers copy by themselves only on this machine or with TLS: else it is marked, to be copied
    if (!navigator.clipboard) {
      getSelection().selectAllChildren(place);
      say("marked, copy it with Ctrl and C");
      button.textContent = "Marked: press Ctrl+C";
      return;
    }
    await navigator.clipboard.writeText(place.textContent);
    say("copied");
    button.textContent = "Copied";
  });
  setInterval(tell, 1000);
  if (document.body.dataset.live) connect();
})();
