// Charts that answer the pointer, a finger and keys. Loaded by `console.js` where there is a chart.
"use strict";
(() => {
  const deck = globalThis.quarterdeck;
  const { $, $$, absolute } = deck;
  const SVG = "http://www.w3.org/2000/svg";
  const set = (shape, attributes) => { for (const [name, value] of Object.entries(attributes)) shape.setAttribute(name, value); return shape; };
  const inOrder = (one, other) => [Math.min(one, other), Math.max(one, other)];
  const known = new WeakSet();
  const shown = new Set();

  const short = (value) => value === null ? "–" : Math.abs(value) >= 1e5 || (value && Math.abs(value) < 1e-3) ? value.toExponential(2) : String(Math.round(value * 1000) / 1000);

  // From one label of an axis to the next, in seconds; whole days beyond the last.
  const STEPS = [1, 5, 15, 30, 60, 300, 900, 1800, 3600, 10800, 21600, 43200, 86400];
  const MOMENTS = 7;
  // What a finger has asked for is shown for so long, in milliseconds.
  const READ = 15000;
  // Where a chart is less than this part of its drawing, the plot begins at its edge.
  const NARROW = 0.75;

  class Chart {
    constructor(figure) {
      this.figure = figure;
      this.svg = $("svg", figure);
      this.data = JSON.parse(figure.dataset.chart);
      const [left, top, width, height] = this.data.plot;
      Object.assign(this, { left, top, width, height });
      this.rows = $$(".legend [data-line]", figure);
      this.told = $("[data-told]", figure);
      this.when = $(".when", figure);
      this.cross = this.shape("line", { class: "cross", y1: top, y2: top + height });
      this.range = this.shape("rect", { class: "range", y: top, height });
      this.from = null;
      // The moment that keys have gone to, and the line; -1 is all of them.
      this.here = null;
      this.line = -1;
      this.moments = $("g.moments", this.svg);
      this.utc = [...this.moments.childNodes];
      this.axis();
      new ResizeObserver(() => this.fit()).observe(this.svg);
      set(this.svg, { tabindex: 0, "aria-keyshortcuts": "ArrowLeft ArrowRight ArrowUp ArrowDown Enter Escape" });
      const acts = {
        keydown: (event) => this.key(event),
        blur: () => this.leave(),
        pointermove: (event) => { if (event.pointerType === "touch") this.touch(event); else this.go(this.at(event)); },
        pointerleave: (event) => { if (this.from === null && event.pointerType !== "touch") this.go(null); },
        pointerdown: (event) => { if (event.pointerType === "touch") this.touch(event); else if (event.button === 0) { this.from = this.at(event); this.svg.setPointerCapture(event.pointerId); event.preventDefault(); } },
        pointerup: (event) => this.zoom(this.at(event)),
        // A finger that goes on to scroll has read nothing.
        pointercancel: () => this.leave(),
      };
      for (const [type, act] of Object.entries(acts)) this.svg.addEventListener(type, act);
    }

    // Labels of the time axis. The server has put those of UTC there.
    axis() {
      $("[data-zone-name]", this.figure).textContent = deck.zone() === "utc" ? "UTC" : "local time";
      const [mark, label] = ["polyline", "text"].map((name) => this.utc.find((node) => node.localName === name));
      if (deck.zone() === "utc" || !mark || !label) { this.moments.replaceChildren(...this.utc); this.fit(); return; }
      const bottom = this.top + this.height;
      this.moments.replaceChildren(...this.local().flatMap((date) => {
        const x = Math.round(this.x(date));
        const line = set(mark.cloneNode(true), { points: `${x},${bottom} ${x},${bottom + 4}` });
        const text = set(label.cloneNode(true), { x });
        const full = absolute(date);
        text.textContent = full.endsWith("00:00:00") ? full.slice(5, 10) : full.slice(11, this.step < 60 ? 19 : 16);
        return [line, text];
      }));
      this.fit();
    }

    // The drawing is stretched to the room that there is, and its texts are not: labels that would meet step back.
    fit() {
      const { width } = this.svg.getBoundingClientRect();
      if (!width) return;
      const scale = width / this.svg.viewBox.baseVal.width;
      set(this.svg, { preserveAspectRatio: "none" });
      this.svg.style.setProperty("--unstretched", 1 / scale);
      this.figure.classList.toggle("narrow", scale < NARROW);
      let end = 0;
      for (const label of $$("text", this.moments)) {
        const half = label.getBBox().width / 2;
        const middle = Number(label.getAttribute("x")) * scale;
        const fits = middle - half >= end && middle + half <= width;
        label.classList.toggle("out", !fits);
        if (fits) end = middle + half + 6;
      }
    }

    // Whole minutes, hours or days of this browser's zone within the time that is shown.
    local() {
      const wanted = (this.data.to - this.data.from) / MOMENTS / 1000;
      this.step = STEPS.find((step) => step >= wanted) ?? Math.ceil(wanted / 86400) * 86400;
      const found = [];
      const date = new Date(this.data.from);
      date.setHours(0, 0, 0, 0);
      // By the clock on the wall: a day may have 23 hours or 25.
      for (let count = 0; date <= this.data.to && found.length < 32 && count < 100000; count += 1) {
        if (date >= this.data.from) found.push(new Date(date));
        if (this.step >= 3600) date.setHours(date.getHours() + this.step / 3600);
        else date.setTime(date.getTime() + this.step * 1000);
      }
      return found;
    }

    // What the pointer does, by keys: arrows go along and from line to line, Enter begins a part and ends it, Escape lets go.
    key(event) {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      const turn = { ArrowUp: -1, ArrowDown: 1 }[event.key];
      const length = this.data.to - this.data.from;
      if (step) {
        const from = this.here ?? (step > 0 ? this.data.from : this.data.to);
        this.here = Math.min(this.data.to, Math.max(this.data.from, from + step * length * (event.shiftKey ? 0.1 : 0.01)));
        this.go(this.here);
      } else if (turn) {
        const places = this.rows.length + 1;
        this.choose((this.line + 1 + turn + places) % places - 1);
      } else if (event.key === "Enter" && this.here !== null) {
        if (this.from === null) this.from = this.here; else this.zoom(this.here);
      } else if (event.key === "Escape" && this.isRead()) {
        this.leave();
      } else return;
      event.preventDefault();
      event.stopPropagation();
    }

    isRead() { return this.from !== null || this.here !== null || this.line >= 0; }

    // The other lines step back. The focus stays on the chart: what is chosen is told to those who can't see it.
    choose(line) {
      this.line = line;
      for (const part of $$("[data-line]", this.svg)) part.classList.toggle("back", line >= 0 && Number(part.dataset.line) !== line);
      this.rows.forEach((row, index) => row.classList.toggle("chosen", index === line));
      this.tell();
    }

    tell() {
      const row = this.rows[this.line];
      this.told.textContent = row ? [...row.children, this.when].map((part) => part.textContent).join(" ") : "";
    }

    // A finger leaves at once what it points at: it is shown for a while longer, or until something else is touched.
    touch(event) {
      this.here = this.at(event);
      this.go(this.here);
      clearTimeout(this.reads);
      this.reads = setTimeout(() => this.leave(), READ);
      this.svg.focus({ preventScroll: true });
    }

    leave() {
      clearTimeout(this.reads);
      this.from = this.here = null;
      this.choose(-1);
      set(this.range, { visibility: "hidden" });
      this.go(null);
    }

    shape(name, attributes) {
      return this.svg.appendChild(set(document.createElementNS(SVG, name), { ...attributes, visibility: "hidden" }));
    }

    // The moment under the pointer.
    at(event) {
      const box = this.svg.getBoundingClientRect();
      const x = (event.clientX - box.left) * this.svg.viewBox.baseVal.width / box.width;
      const part = Math.min(1, Math.max(0, (x - this.left) / this.width));
      return this.data.from + part * (this.data.to - this.data.from);
    }

    x(time) { return this.left + this.width * (time - this.data.from) / (this.data.to - this.data.from); }

    go(time) {
      // The others show the same moment.
      shown.forEach((chart) => chart.point(time));
      if (this.from !== null) {
        const [x, end] = inOrder(this.x(this.from), this.x(time));
        set(this.range, { x, width: end - x, visibility: "visible" });
      }
    }

    point(time) {
      const within = time !== null && time >= this.data.from && time <= this.data.to;
      set(this.cross, within ? { x1: this.x(time), x2: this.x(time), visibility: "visible" } : { visibility: "hidden" });
      this.when.textContent = within ? absolute(new Date(time)) : "";
      this.rows.forEach((row, index) => { $(".now", row).textContent = within ? short(this.value(this.data.lines[index], time)) : ""; });
      this.tell();
    }

    // Of the point that is nearest. Times are kept as steps from one to the next.
    value(line, time) {
      let at = this.data.from;
      const times = line.times ??= line.t.map((step) => at += step);
      const before = times.findLastIndex((moment) => moment <= time);
      const next = before < 0 || times[before + 1] - time < time - times[before] ? before + 1 : before;
      return line.v[next] ?? null;
    }

    zoom(time) {
      if (this.from === null) return;
      const [from, to] = inOrder(this.from, time);
      this.from = null;
      set(this.range, { visibility: "hidden" });
      if (this.x(to) - this.x(from) < 6) return;
      const url = new URL(location.href);
      url.searchParams.delete("range");
      url.searchParams.set("from", new Date(from).toISOString());
      url.searchParams.set("to", new Date(to).toISOString());
      location.assign(url);
    }
  }

  const adopt = (within) => {
    for (const chart of shown) if (!chart.svg.isConnected) shown.delete(chart);
    for (const figure of $$("figure.chart[data-chart]", within)) {
      if (known.has(figure)) continue;
      known.add(figure);
      shown.add(new Chart(figure));
    }
  };

  deck.charts = {
    adopt,
    axes: () => shown.forEach((chart) => chart.axis()),
    // Somebody reads it, or chooses a part.
    isRead: (part) => [...shown].some((chart) => chart.isRead() && part.contains(chart.svg)),
  };
  adopt(document);
})();
