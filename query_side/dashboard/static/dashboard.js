// Keeps what is alive on the page up to date. Every page is whole without it.
"use strict";
(() => {
  const live = document.getElementById("live");
  if (!live) return;
  const notice = document.getElementById("stale");
  const STALE_MS = 10000, AGAIN_MS = 2000;
  let last = Date.now(), shown = "", source = null, chart = null;

  function connect() {
    const by = live.dataset.by ? `&by=${live.dataset.by}` : "";
    source = new EventSource(`/dashboard/events?page=${live.dataset.page}${by}`);
    source.onmessage = (message) => {
      last = Date.now();
      live.dataset.messages = Number(live.dataset.messages || 0) + 1;
      tell();
      show(JSON.parse(message.data).html);
    };
    // A browser tries again by itself when a connection breaks, but not after an answer that is an error.
    source.onerror = () => {
      if (source && source.readyState === EventSource.CLOSED) setTimeout(() => { if (!document.hidden) connect(); }, AGAIN_MS);
    };
  }

  function show(html) {
    if (html === shown) return;
    shown = html;
    const focused = document.activeElement, fresh = document.createElement("div");
    fresh.innerHTML = html;
    morphChildren(live, fresh);
    if (focused?.id && !focused.isConnected) document.getElementById(focused.id)?.focus({ preventScroll: true });
    draw();
  }

  // Only what differs is touched: focus, selection, what is scrolled and opened stay.
  function morph(old, fresh) {
    if (old.nodeName !== fresh.nodeName || old.id !== fresh.id) return old.replaceWith(fresh);
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    for (const { name } of [...old.attributes]) if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
    morphChildren(old, fresh);
  }

  function morphChildren(old, fresh) {
    const here = [...old.childNodes], wanted = [...fresh.childNodes];
    wanted.forEach((child, i) => (i < here.length ? morph(here[i], child) : old.append(child)));
    here.slice(wanted.length).forEach((child) => child.remove());
  }

  function tell() {
    const stale = Date.now() - last > STALE_MS;
    const since = new Date(last).toISOString().slice(11, 19);
    const text = stale ? `Stale since ${since} UTC: no data comes from the server.` : "";
    if (notice.textContent !== text) notice.textContent = text;
    document.body.classList.toggle("stale", stale);
  }

  function draw() {
    const place = document.getElementById("chart"), data = document.getElementById("chart-data");
    if (!place || !data || typeof uPlot === "undefined") return;
    const series = JSON.parse(data.dataset.series), currencies = Object.keys(series);
    if (!currencies.length) return;
    const times = [...new Set(currencies.flatMap((one) => series[one].map((row) => row[0])))].sort((a, b) => a - b);
    const values = currencies.map((one) => {
      const known = new Map(series[one].map((row) => [row[0], row[2]]));
      return times.map((at) => known.get(at) ?? 0);
    });
    const key = currencies.join();
    if (chart && chart.key === key) return chart.plot.setData([times, ...values]);
    chart?.plot.destroy();
    const style = getComputedStyle(document.documentElement);
    const probe = document.createElement("span");
    place.replaceChildren(probe);
    const colour = (name) => { probe.style.color = `var(${name})`; return getComputedStyle(probe).color; };
    const ink = colour("--quiet"), line = colour("--line"), strokes = ["--link", "--good", "--busy", "--bad"].map(colour);
    probe.remove();
    const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: `12px ${style.fontFamily}` };
    const words = (at) => new Date(at * 1000).toISOString().slice(...(live.dataset.by === "day" ? [5, 10] : [11, 16]));
    const plot = new uPlot({
      width: place.clientWidth, height: 240, tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
      series: [{ label: "UTC", value: (_, at) => (at === null ? "" : new Date(at * 1000).toISOString().slice(0, 16).replace("T", " ")) }, ...currencies.map((one, i) => ({ label: `${one}, minor units`, stroke: strokes[i % 4], width: 2, fill: i ? undefined : strokes[0].replace("rgb(", "rgba(").replace(")", ", .12)"), points: { show: times.length < 3 } }))],
      axes: [{ ...axis, values: (_, at) => at.map((one) => words(one)) }, { ...axis, size: 84 }],
    }, [times, ...values], place);
    chart = { key, plot };
  }

  function redraw() { if (chart) { chart.plot.destroy(); chart = null; draw(); } }

  // One connection for each page that is looked at: a browser has only six for a server.
  document.addEventListener("visibilitychange", () => {
    source?.close();
    if (!document.hidden) connect();
  });
  addEventListener("pagehide", () => source?.close());
  addEventListener("pageshow", (event) => { if (event.persisted) connect(); });
  addEventListener("resize", () => { if (chart) chart.plot.setSize({ width: document.getElementById("chart").clientWidth, height: 240 }); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  setInterval(tell, 1000);
  draw();
  connect();
})();
