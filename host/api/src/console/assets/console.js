// What pages do beyond being read: times that tick, parts that renew themselves, the palette, charts that answer the pointer.
// Everything works without it but these. Nothing that came from elsewhere is ever made into markup here: parts are moved over
// from a page of this host as they are, and all other text is set as text.
"use strict";
(() => {
  const $ = (selector, within = document) => within.querySelector(selector);
  const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
  const remember = (key, value) => { try { localStorage.setItem(`quarterdeck-${key}`, value); } catch { /* For this page only, then. */ } };
  const recall = (key) => { try { return localStorage.getItem(`quarterdeck-${key}`); } catch { return null; } };

  // Times ---

  let zone = recall("zone") === "local" ? "local" : "utc";
  // Whether all times are told as how long ago, or all of them exactly. Otherwise each as it says itself.
  let times = recall("times") ?? "";

  const absolute = (date) => {
    const utc = zone === "utc";
    const text = new Date(date - (utc ? 0 : date.getTimezoneOffset() * 60000)).toISOString().slice(0, 19).replace("T", " ");
    return utc ? `${text} UTC` : text;
  };

  const relative = (date) => {
    const seconds = Math.round((Date.now() - date) / 1000);
    const size = Math.abs(seconds);
    const [count, unit] = size < 5 ? [0, ""] : size < 60 ? [size, "s"] : size < 3600 ? [Math.round(size / 60), "min"]
      : size < 129600 ? [Math.round(size / 3600), "h"] : [Math.round(size / 86400), "d"];
    if (!unit) return "just now";
    return seconds < 0 ? `in ${count} ${unit}` : `${count} ${unit} ago`;
  };

  const tick = (within = document) => {
    for (const time of $$("time[data-time]", within)) {
      const date = new Date(time.dateTime);
      if (Number.isNaN(date.getTime())) continue;
      const full = absolute(date);
      const text = (times || time.dataset.time) === "relative" ? relative(date) : full;
      if (time.textContent !== text) time.textContent = text;
      if (time.title !== full) time.title = full;
    }
  };

  // A button that goes from one choice to the next: its value, its name, and what it means. What was chosen is kept.
  const choice = (button, key, chosen, choices, apply) => {
    let at = Math.max(0, choices.findIndex(([value]) => value === chosen));
    const show = () => { [, button.textContent, button.title] = choices[at]; };
    button.addEventListener("click", () => {
      at = (at + 1) % choices.length;
      remember(key, choices[at][0]);
      apply(choices[at][0]);
      show();
    });
    show();
    button.hidden = false;
  };

  const switches = () => {
    choice($("[data-zone]"), "zone", zone, [
      ["utc", "UTC", "Times are shown in UTC"],
      ["local", "Local", "Times are shown in this browser's zone"],
    ], (value) => { zone = value; tick(); axes(); });
    choice($("[data-times]"), "times", times, [
      ["", "Mixed", "Times are shown as how long ago, or exactly where that says more"],
      ["relative", "Ago", "Times are shown as how long ago"],
      ["absolute", "Exact", "Times are shown exactly"],
    ], (value) => { times = value; tick(); });
    const root = document.documentElement.dataset;
    choice($("[data-theme-switch]"), "theme", root.theme, [
      ["", "Auto", "Colours are as the system has them"],
      ["light", "Light", "Colours are light"],
      ["dark", "Dark", "Colours are dark"],
    ], (value) => { if (value) root.theme = value; else delete root.theme; });
  };

  // What scrolls within itself can be scrolled by keys: it takes the focus, as long as there is more than is seen.
  const reach = (within = document) => {
    for (const box of $$(".scroll, pre", within)) {
      const more = box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight;
      if (more) box.tabIndex = 0; else box.removeAttribute("tabindex");
    }
  };

  // Parts that renew themselves ---

  const PAUSE = 1000;
  let seen = document.body.dataset.seen;
  let stream = null;
  let due = null;
  let asked = 0;
  let renewing = false;
  let failures = 0;
  let refused = false;
  // Somebody reads, and wants it to stand still; whether anything was to be renewed meanwhile.
  let paused = false;
  let behind = false;

  const parts = () => $$("[data-live]");

  // Somebody is at work in it: what is typed, chosen or opened must not vanish.
  const busy = (part) => {
    const at = document.activeElement;
    const writes = at && part.contains(at) && at.matches("input, select, textarea");
    return writes || $("details.action[open]", part) || $$("input, textarea", part).some((field) => field.type !== "hidden" && field.value !== field.defaultValue)
      || charted(part) || (document.getSelection()?.type === "Range" && part.contains(document.getSelection().anchorNode));
  };

  // Where the focus is within the part: by id, or by what it is, says and leads to, and how many like it come before.
  const place = (part) => {
    const at = document.activeElement;
    if (!at || at === part || !part.contains(at)) return () => null;
    if (at.id) return () => $(`#${CSS.escape(at.id)}`, part);
    const like = () => $$(at.localName, part).filter((other) => ["href", "tabindex"].every((name) => other.getAttribute(name) === at.getAttribute(name)) && (at.localName === "svg" || other.textContent === at.textContent));
    const [index, among] = [like().indexOf(at), $$(at.localName, part).indexOf(at)];
    // What is gone has a neighbour.
    return () => like()[index] ?? like()[0] ?? $$(at.localName, part).slice(0, among + 1).at(-1);
  };

  const swap = (part, fresh) => {
    const focus = place(part);
    // What comes in on top moves what was opened: it is known by its line, and by how many alike come behind it.
    const line = (details) => {
      const copy = ($("summary", details) ?? details).cloneNode(true);
      for (const time of $$("time", copy)) time.textContent = time.dateTime;
      return copy.textContent;
    };
    const keys = (all) => {
      const counts = new Map();
      return all.map(line).reverse().map((text) => { counts.set(text, (counts.get(text) ?? 0) + 1); return `${counts.get(text)} ${text}`; }).reverse();
    };
    const before = $$("details", part);
    const open = before.some((details) => details.open) ? new Set(keys(before).filter((_, index) => before[index].open)) : null;
    const boxes = () => $$(".scroll, pre, figure", part);
    const top = boxes().map((box) => [box.scrollLeft, box.scrollTop]);
    const known = new Set($$("tbody tr, .timeline li", part).map((row) => row.textContent));
    part.replaceChildren(...fresh.childNodes);
    const all = $$("details", part);
    if (open) keys(all).forEach((key, index) => { if (open.has(key)) all[index].open = true; });
    tick(part);
    for (const row of $$("tbody tr, .timeline li", part)) if (known.size && !known.has(row.textContent)) row.classList.add("fresh");
    charts(part);
    reach(part);
    boxes().forEach((box, index) => { if (top[index]) [box.scrollLeft, box.scrollTop] = top[index]; });
    focus()?.focus({ preventScroll: true });
  };

  const raw = new WeakMap();
  const renew = async () => {
    due = null;
    if (renewing) return schedule();
    renewing = true;
    asked = Date.now();
    try {
      const answer = await fetch(location.href, { headers: { "X-Renewed": "1" }, cache: "no-store", credentials: "same-origin" });
      // Gone, or not for this browser any more; or the server only just starts.
      refused = !answer.ok;
      if (refused) {
        away(`The server answered ${answer.status}: what is shown is old. Load the page anew.`);
        if (answer.status >= 500 || answer.status === 429) schedule(10 * PAUSE);
        return;
      }
      if (!failures) away("");
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      let waits = false;
      for (const part of parts()) {
        const fresh = page.getElementById(part.id);
        if (!fresh) continue;
        const text = fresh.innerHTML;
        if (raw.get(part) === text) continue;
        if (busy(part)) { waits = true; continue; }
        raw.set(part, text);
        swap(part, fresh);
      }
      if (waits) schedule(2 * PAUSE);
    } catch {
      // The stream says that the server is away, and when it is back.
    } finally {
      renewing = false;
    }
  };

  const schedule = (least = 0) => {
    if (paused) { behind = true; return; }
    if (due || document.hidden || !parts().length) return;
    due = setTimeout(renew, Math.max(least, PAUSE - (Date.now() - asked)));
  };

  const away = (text) => {
    const banner = $("[data-away]");
    banner.hidden = !text;
    if (banner.textContent !== text) banner.textContent = text;
  };

  // Why nothing is heard: a server that answers has refused to tell, and waiting alone does not help.
  const missed = async () => {
    const answer = await fetch("/healthz", { cache: "no-store" }).catch(() => null);
    if (!failures) return;
    away(answer?.ok
      ? "The server does not tell what happens: too many pages are open, or you are signed out. Load the page anew."
      : "The server can't be reached. What is shown may be old; it goes on by itself as soon as the server is back.");
  };

  const listen = () => {
    if (stream || document.hidden) return;
    const types = new Set(parts().flatMap((part) => part.dataset.live.split(" ")));
    if (!types.size) return;
    const query = new URLSearchParams({ after: seen });
    if (!types.has("")) types.forEach((type) => query.append("type", type));
    stream = new EventSource(`/console/stream?${query}`);
    stream.onopen = () => {
      if (failures > 1) schedule();
      failures = 0;
      if (!refused) away("");
    };
    for (const kind of ["message", "gap"]) stream.addEventListener(kind, (event) => { seen = event.lastEventId || seen; schedule(); });
    stream.onerror = () => {
      failures += 1;
      if (failures > 1) missed();
      // A refusal ends the stream for good; a connection that breaks is tried again by the browser, but not for long everywhere.
      stop();
      setTimeout(listen, Math.min(1000 * failures, 10000));
    };
  };

  const stop = () => { stream?.close(); stream = null; };

  const live = () => {
    if (!parts().length) return;
    const button = $("[data-pause]");
    const say = () => {
      button.textContent = paused ? "▶" : "❚❚";
      button.title = paused ? "Renew the page again" : "Let the page stand still";
      button.setAttribute("aria-label", "Let the page stand still");
      button.setAttribute("aria-pressed", String(paused));
    };
    button.addEventListener("click", () => {
      paused = !paused;
      if (paused) { clearTimeout(due); behind = !!due; due = null; } else if (behind) { behind = false; schedule(); }
      say();
    });
    say();
    button.hidden = false;
    document.addEventListener("visibilitychange", () => {
      // A page that nobody sees holds no connection: a browser has few of them.
      if (document.hidden) stop(); else { tick(); listen(); schedule(); }
    });
    // Some parts also change without an event.
    const every = Math.min(...parts().map((part) => Number(part.dataset.every) || Infinity));
    if (Number.isFinite(every)) setInterval(() => { if (!document.hidden && !failures) schedule(); }, every * 1000);
    addEventListener("pagehide", stop);
    addEventListener("pageshow", (event) => { if (event.persisted) { listen(); schedule(); } });
    listen();
  };

  // The palette ---

  const palette = () => {
    const dialog = $("[data-palette]");
    const input = $("input", dialog);
    const results = $("[data-results]", dialog);
    const told = $("[data-told]", dialog);
    const slash = $("[data-slash]", dialog);
    let latest = 0;
    let timer = null;

    const links = () => $$("a", results);
    const choose = (step) => {
      const all = links();
      if (!all.length) return;
      const at = all.findIndex((link) => link.classList.contains("chosen"));
      all[at]?.classList.remove("chosen");
      const next = all[(at + step + all.length) % all.length];
      next.classList.add("chosen");
      next.scrollIntoView({ block: "nearest" });
      // The focus stays in the field: what is chosen is told to those who can't see it.
      told.textContent = `${next.textContent.trim()}, ${all.indexOf(next) + 1} of ${all.length}`;
    };
    const search = async () => {
      const mine = ++latest;
      try {
        const answer = await fetch(`/console/search?${new URLSearchParams({ q: input.value })}`, { headers: { "X-Renewed": "1" } });
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        if (mine !== latest) return;
        results.replaceChildren(...[page.getElementById("results")].filter(Boolean));
        told.textContent = results.textContent.trim();
        choose(1);
      } catch {
        results.textContent = "The server can't be reached.";
      }
    };
    const open = () => { if (!dialog.open) { dialog.showModal(); input.select(); search(); } };

    input.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(search, 120); });
    dialog.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown" || event.key === "ArrowUp") { event.preventDefault(); choose(event.key === "ArrowDown" ? 1 : -1); }
      // Elsewhere the key means that.
      if (event.key === "Enter" && event.target === input) { event.preventDefault(); $("a.chosen", results)?.click(); }
      // A browser would only empty the field at first.
      if (event.key === "Escape") { event.preventDefault(); dialog.close(); }
    });
    // A key alone may be pressed unmeant: it can be switched off.
    slash.checked = recall("slash") !== "off";
    slash.addEventListener("change", () => remember("slash", slash.checked ? "on" : "off"));
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
    document.addEventListener("keydown", (event) => {
      const writes = event.target instanceof Element && event.target.matches("input, textarea, select, [contenteditable]");
      if ((event.key === "k" && (event.ctrlKey || event.metaKey)) || (event.key === "/" && !writes && slash.checked)) { event.preventDefault(); open(); }
    });
  };

  // Charts ---

  const SVG = "http://www.w3.org/2000/svg";
  const set = (shape, attributes) => { for (const [name, value] of Object.entries(attributes)) shape.setAttribute(name, value); return shape; };
  const inOrder = (one, other) => [Math.min(one, other), Math.max(one, other)];
  const known = new WeakSet();
  const shown = new Set();

  const short = (value) => value === null ? "–" : Math.abs(value) >= 1e5 || (value && Math.abs(value) < 1e-3) ? value.toExponential(2) : String(Math.round(value * 1000) / 1000);

  // From one label of an axis to the next, in seconds; whole days beyond the last.
  const STEPS = [1, 5, 15, 30, 60, 300, 900, 1800, 3600, 10800, 21600, 43200, 86400];
  const MOMENTS = 7;

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
      set(this.svg, { tabindex: 0, "aria-keyshortcuts": "ArrowLeft ArrowRight ArrowUp ArrowDown Enter Escape" });
      const acts = {
        keydown: (event) => this.key(event),
        blur: () => this.leave(),
        pointermove: (event) => this.go(this.at(event)),
        pointerleave: () => { if (this.from === null) this.go(null); },
        pointerdown: (event) => { if (event.button === 0 && event.pointerType !== "touch") { this.from = this.at(event); this.svg.setPointerCapture(event.pointerId); event.preventDefault(); } },
        pointerup: (event) => this.zoom(this.at(event)),
        pointercancel: () => this.leave(),
      };
      for (const [type, act] of Object.entries(acts)) this.svg.addEventListener(type, act);
    }

    // Labels of the time axis. The server has put those of UTC there.
    axis() {
      $("[data-zone-name]", this.figure).textContent = zone === "utc" ? "UTC" : "local time";
      const [mark, label] = ["polyline", "text"].map((name) => this.utc.find((node) => node.localName === name));
      if (zone === "utc" || !mark || !label) { this.moments.replaceChildren(...this.utc); return; }
      const bottom = this.top + this.height;
      this.moments.replaceChildren(...this.local().flatMap((date) => {
        const x = Math.round(this.x(date));
        const line = set(mark.cloneNode(true), { points: `${x},${bottom} ${x},${bottom + 4}` });
        const text = set(label.cloneNode(true), { x });
        const full = absolute(date);
        text.textContent = full.endsWith("00:00:00") ? full.slice(5, 10) : full.slice(11, this.step < 60 ? 19 : 16);
        return [line, text];
      }));
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

    leave() {
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

  const axes = () => shown.forEach((chart) => chart.axis());

  // Somebody reads it, or chooses a part.
  const charted = (part) => [...shown].some((chart) => chart.isRead() && part.contains(chart.svg));

  const charts = (within = document) => {
    for (const chart of shown) if (!chart.svg.isConnected) shown.delete(chart);
    for (const figure of $$("figure.chart[data-chart]", within)) {
      if (known.has(figure)) continue;
      known.add(figure);
      shown.add(new Chart(figure));
      // Where it is wider than the page, the end of the time is what is looked for.
      figure.scrollLeft = figure.scrollWidth;
    }
  };

  // Forms ---

  const forms = () => {
    // A choice of a filter is an answer: no button has to be found.
    for (const form of $$("form[data-filters]")) form.addEventListener("change", (event) => { if (event.target.matches("select")) form.requestSubmit(); });
    document.addEventListener("submit", (event) => {
      if (event.target.method !== "post") return;
      // Once is meant, however often it is pressed. A page that comes back from memory may be sent again.
      const button = event.submitter;
      if (!button) return;
      setTimeout(() => { button.disabled = true; button.setAttribute("aria-busy", "true"); });
      setTimeout(() => { button.disabled = false; button.removeAttribute("aria-busy"); }, 15000);
    });
    document.addEventListener("toggle", (event) => {
      const details = event.target;
      if (!details.matches?.("details.action") || !details.open) return;
      for (const other of $$("details.action[open]")) if (other !== details) other.open = false;
      $("textarea, select, input:not([type=hidden]), button", details)?.focus();
    }, true);
    document.addEventListener("keydown", (event) => {
      const details = event.key === "Escape" && event.target instanceof Element && event.target.closest("details.action[open], details.menu[open]");
      if (details) { details.open = false; $("summary", details).focus(); }
    });
    document.addEventListener("click", (event) => {
      for (const details of $$("details.action[open], details.menu[open]")) if (!details.contains(event.target)) details.open = false;
    });
  };

  switches();
  tick();
  setInterval(() => { if (!document.hidden) tick(); }, 5000);
  live();
  palette();
  forms();
  charts();
  reach();
  addEventListener("resize", () => reach());
})();
