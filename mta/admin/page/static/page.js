// Makes the page live. Everything works without it, too.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const two = (number) => String(number).padStart(2, "0");
  const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

  // Times: those of the browser's zone, with UTC beside them.
  const clock = (d, utc) => utc ? `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}` : `${two(d.getHours())}:${two(d.getMinutes())}`;
  function localTimes(root) {
    for (const el of root.querySelectorAll("time[datetime]:not([data-done])")) {
      const d = new Date(el.dateTime);
      el.dataset.done = "";
      if (isNaN(d) || !d.getTimezoneOffset()) continue;
      const other = d.getDate() !== d.getUTCDate() ? `${d.getUTCDate()} ${MONTHS[d.getUTCMonth()]} ` : "";
      el.textContent = `${d.getDate()} ${MONTHS[d.getMonth()]} ${clock(d)}:${two(d.getSeconds())}`;
      const utc = document.createElement("span");
      utc.className = "utc";
      utc.textContent = ` ${other}${clock(d, true)} UTC`;
      el.append(utc);
    }
  }

  // The plot.
  let plot, shown;
  function draw() {
    const figure = $("plot"), data = $("plot-data");
    if (!figure || !data || !window.uPlot) return;
    if (data.dataset.plot === shown && plot) return;
    shown = data.dataset.plot;
    const { start, step, ...series } = JSON.parse(shown);
    const lines = [series.accepted.map((_, i) => start + i * step), series.accepted, series.delivered, series.failed];
    if (plot) return plot.setData(lines);
    const style = getComputedStyle(document.documentElement), colour = (name) => style.getPropertyValue(name).trim();
    const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    const line = (label, name, fill) => ({ label, stroke: colour(name), width: 1.6, fill: fill && colour(fill), points: { show: false } });
    const tip = document.createElement("div");
    tip.className = "tip"; tip.hidden = true;
    const size = () => ({ width: figure.clientWidth, height: figure.clientWidth < 600 ? 180 : 240 });
    figure.replaceChildren();
    plot = new uPlot({
      ...size(),
      cursor: { y: false, points: { size: 7 } },
      legend: { show: false },
      scales: { y: { range: (_, low, high) => [0, Math.max(5, high * 1.08)] } },
      axes: [{ ...axis, values: (_, at) => at.map((t) => clock(new Date(t * 1000))) }, { ...axis, size: 44, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5] }],
      series: [{}, line("accepted", "--age1", "--soft"), line("delivered", "--ok"), line("failed", "--bad")],
      hooks: { setCursor: [(u) => {
        const i = u.cursor.idx;
        tip.hidden = i == null;
        if (i == null) return;
        const d = new Date(u.data[0][i] * 1000);
        tip.textContent = `${clock(d)} (${clock(d, true)} UTC)\n` + [1, 2, 3].map((s) => `${u.data[s][i].toLocaleString("en")} ${u.series[s].label}`).join("\n");
        tip.style.top = "8px";
        tip.style.left = `${u.cursor.left + 56 + (u.cursor.left > u.over.clientWidth - 170 ? -160 : 14)}px`;
      }] },
    }, lines, figure);
    figure.style.position = "relative";
    figure.append(tip);
    figure.addEventListener("mouseleave", () => { tip.hidden = true; });
    new ResizeObserver(() => plot && plot.setSize(size())).observe(figure);
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { plot && plot.destroy(); plot = shown = null; draw(); });

  // The state of the relay, every few seconds while the page is looked at.
  const PAUSE = 5000;
  let last = new Date();
  function answered(ok) {
    const offline = $("offline");
    if (ok) last = new Date();
    else if (offline.hidden) $("offline-since").textContent = `${clock(last)}:${two(last.getSeconds())}`;
    offline.hidden = ok;
  }
  function busy() {
    const chosen = document.getSelection();
    return document.hidden || (chosen && !chosen.isCollapsed);
  }
  setInterval(() => {
    if (!window.htmx || busy()) return;
    document.querySelectorAll("[data-refresh]").forEach((el) => htmx.trigger(el, "refresh"));
  }, PAUSE);
  addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.xhr && event.detail.xhr.status === 403) location.reload();
  });
  addEventListener("htmx:sendError", () => answered(false));
  addEventListener("htmx:timeout", () => answered(false));
  addEventListener("htmx:afterOnLoad", () => answered(true));
  addEventListener("htmx:afterSwap", () => { localTimes(document); draw(); });
  addEventListener("htmx:oobAfterSwap", () => localTimes(document));

  // Live events.
  const MOST = 300;
  function words(fields) {
    const parts = [];
    for (const [name, value] of Object.entries(fields)) {
      if (parts.length) parts.push(" ");
      const key = document.createElement("dfn");
      key.textContent = `${name} `;
      parts.push(key);
      if (name === "id") {
        const link = document.createElement("a");
        link.href = `/messages/${encodeURIComponent(value)}`;
        link.textContent = value;
        parts.push(link);
      } else parts.push(String(value));
    }
    return parts;
  }
  function follow() {
    const box = $("live");
    if (!box) return;
    const feed = $("feed"), state = $("live-state"), pause = $("live-pause"), waiting = [];
    let paused = false;
    const show = (event) => {
      const item = document.createElement("li"), time = document.createElement("time"), name = document.createElement("span"), rest = document.createElement("span");
      time.dateTime = event.time;
      time.textContent = `${event.time.slice(11, 19)} UTC`;
      name.className = `badge ${event.kind}`;
      name.textContent = event.name;
      rest.append(...words(event.fields));
      const first = document.createElement("span"), second = document.createElement("span");
      first.append(time); second.append(name);
      item.append(first, second, rest);
      feed.prepend(item);
      localTimes(item);
      while (feed.childElementCount > MOST) feed.lastChild.remove();
    };
    pause.hidden = false;
    pause.addEventListener("click", () => {
      paused = !paused;
      pause.setAttribute("aria-pressed", paused);
      pause.textContent = paused ? "Go on" : "Pause";
      while (!paused && waiting.length) show(waiting.shift());
    });
    const source = new EventSource(box.dataset.source);
    source.onopen = () => { state.textContent = "Following. Events appear as they happen."; answered(true); };
    source.onerror = () => { state.textContent = "The stream ended; it begins again by itself."; };
    source.addEventListener("refused", (event) => { state.textContent = event.data; source.close(); });
    source.onmessage = (message) => {
      const event = JSON.parse(message.data);
      if (!paused) show(event);
      else if (waiting.push(event) > MOST) waiting.shift();
    };
    addEventListener("pagehide", () => source.close());
  }

  localTimes(document);
  draw();
  follow();
})();
