// What pages do beyond being read: times that tick, parts that renew themselves, the palette. Everything works without it but these.
// `stream.js` tells it what happens; `charts.js` is for pages with charts. Nothing that came from elsewhere is ever made into markup
// here: parts are moved over from a page of this host as they are, and all other text is set as text.
"use strict";
(() => {
  const deck = globalThis.quarterdeck ??= {};
  const own = document.currentScript;
  // Milliseconds until a question is given up on. The server itself gives one up before.
  const PATIENCE = 25000;
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

  // As the server tells spans: the two largest units.
  const span = (millis) => {
    let left = Math.max(0, Math.floor(millis / 1000));
    const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
    const first = units.findIndex(([, size]) => left >= size);
    return units.slice(first).slice(0, 2).map(([unit, size]) => {
      const count = Math.floor(left / size);
      left %= size;
      return [count, unit];
    }).filter(([count], index) => count || !index).map((part) => part.join(" ")).join(" ");
  };

  const tick = (within = document) => {
    for (const part of $$("[data-since]", within)) part.textContent = span(Date.now() - new Date(part.dataset.since));
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
    ], (value) => { zone = value; tick(); still(); deck.charts?.axes(); });
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
  let seen = Number(document.body.dataset.seen);
  // To what tells the events: what all windows share, if there can be such.
  let port = null;
  let shared = "SharedWorker" in globalThis;
  let heard = 0;
  // When parts are renewed next, and when that was asked for last.
  let due = null;
  let dueAt = 0;
  let asked = 0;
  let renewing = false;
  // Why nothing is heard, why what is shown is old, and since when either is so.
  let gone = false;
  let lost = "";
  let old = "";
  let stood = 0;
  // Since when somebody reads, and wants it to stand still; whether anything was to be renewed meanwhile.
  let paused = 0;
  let behind = false;

  const parts = () => $$("[data-live]");

  // Somebody is at work in it: what is typed, chosen or opened must not vanish.
  const busy = (part) => {
    const at = document.activeElement;
    const writes = at && part.contains(at) && at.matches("input, select, textarea");
    return writes || $("details.action[open]", part) || $$("input, textarea", part).some((field) => field.type !== "hidden" && field.value !== field.defaultValue)
      || deck.charts?.isRead(part) || (document.getSelection()?.type === "Range" && part.contains(document.getSelection().anchorNode));
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
    tick(part);
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
  const ask = (url) => fetch(url, { headers: { "X-Renewed": "1" }, cache: "no-store", credentials: "same-origin", signal: AbortSignal.timeout(PATIENCE) });

  const renew = async () => {
    due = null;
    if (renewing) return schedule();
    renewing = true;
    asked = Date.now();
    try {
      const answer = await ask(location.href);
      // Gone, or not for this browser any more; or the server only just starts.
      if (!answer.ok) {
        old = `The server answered ${answer.status}: what is shown is old. Load the page anew.`;
        if (answer.status >= 500 || answer.status === 429) schedule(10 * PAUSE);
        return;
      }
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      old = "";
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
    } catch (error) {
      // Of a server that is away the stream says so, and when it is back.
      if (error.name === "TimeoutError") old = "The server takes too long to make this page: what is shown is old. It is asked again.";
      if (!lost) schedule(10 * PAUSE);
    } finally {
      renewing = false;
      say();
    }
  };

  const schedule = (least = 0) => {
    if (paused) { behind = true; return; }
    const at = Math.max(Date.now() + least, asked + PAUSE);
    if ((due && dueAt <= at) || document.hidden || !parts().length) return;
    clearTimeout(due);
    dueAt = at;
    due = setTimeout(renew, at - Date.now());
  };

  // What is wrong, if anything is.
  const say = () => {
    const banner = $("[data-away]");
    const text = lost || old;
    stood = text ? stood || asked : 0;
    banner.hidden = !text;
    if (banner.textContent !== text) banner.textContent = text;
    still();
  };

  // Beside the switch: since when the page does not move, for whatever reason.
  const still = () => {
    const since = paused || stood;
    const note = $("[data-still]");
    note.hidden = !since;
    note.textContent = since ? `Stands still since ${absolute(new Date(since)).slice(11, 16)}${zone === "utc" ? " UTC" : ""}` : "";
  };

  // Why nothing is heard: a server that answers has refused to tell, and waiting alone does not help.
  const missed = async () => {
    const answer = await fetch("/healthz", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) }).catch(() => null);
    if (!gone) return;
    lost = answer?.ok
      ? "The server does not tell what happens: too many pages are open, or you are signed out. Load the page anew."
      : "The server can't be reached. What is shown may be old; it goes on by itself as soon as the server is back.";
    say();
  };

  // What the stream tells. It says nothing of itself for a while only where it is gone itself.
  const hear = ({ data }) => {
    heard = Date.now();
    seen = data.last;
    if (data.kind === "event") schedule();
    if (data.kind === "again") { stop(); listen(); schedule(); }
    if (data.kind === "open") {
      gone = false;
      lost = "";
      say();
      if (data.lost) schedule();
    }
    if (data.kind === "away" && data.failures > 1) {
      stood ||= data.since;
      gone = true;
      missed();
    }
    if (data.kind === "silent") {
      stood ||= data.since;
      lost = "The server does not answer, though the connection to it stands. What is shown may be old; it goes on by itself as soon as the server does.";
      say();
    }
  };

  const stream = () => {
    if (shared) {
      try {
        const worker = new SharedWorker($("script[data-stream]").src);
        worker.onerror = () => { shared = false; stop(); listen(); };
        return worker.port;
      } catch { shared = false; }
    }
    const { port1, port2 } = new MessageChannel();
    deck.adopt(port2);
    return port1;
  };

  const listen = () => {
    const types = [...new Set(parts().flatMap((part) => part.dataset.live.split(" ")))];
    if (port || document.hidden || !types.length) return;
    heard = Date.now();
    port = stream();
    port.onmessage = hear;
    port.postMessage({ types, seen });
  };

  const stop = () => { port?.postMessage("bye"); port?.close(); port = null; };

  const live = () => {
    if (!parts().length) return;
    const button = $("[data-pause]");
    const show = () => {
      button.textContent = paused ? "▶" : "❚❚";
      button.title = paused ? "Renew the page again" : "Let the page stand still";
      button.setAttribute("aria-label", "Let the page stand still");
      button.setAttribute("aria-pressed", String(!!paused));
      still();
    };
    button.addEventListener("click", () => {
      paused = paused ? 0 : Date.now();
      if (paused) { clearTimeout(due); behind = !!due; due = null; } else if (behind) { behind = false; schedule(); }
      show();
    });
    show();
    button.hidden = false;
    document.addEventListener("visibilitychange", () => {
      // A page that nobody sees holds no connection: a browser has few of them.
      if (document.hidden) stop(); else { tick(); listen(); schedule(); }
    });
    // Some parts also change without an event.
    const every = Math.min(...parts().map((part) => Number(part.dataset.every) || Infinity));
    if (Number.isFinite(every)) setInterval(() => { if (!document.hidden && !lost) schedule(); }, every * 1000);
    setInterval(() => {
      if (port && Date.now() - heard > 3 * PATIENCE) stop();
      port?.postMessage("here");
      listen();
    }, 10000);
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
    // The words that the results are of; whether the first of them is to be opened as soon as they are there.
    let answered = null;
    let opens = false;

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
    const go = () => $("a.chosen", results)?.click();
    const search = async () => {
      clearTimeout(timer);
      const [mine, words] = [++latest, input.value];
      try {
        const answer = await ask(`/console/search?${new URLSearchParams({ q: words })}`);
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        if (mine !== latest) return;
        results.replaceChildren(...[page.getElementById("results")].filter(Boolean));
        told.textContent = results.textContent.trim();
        answered = words;
        choose(1);
        if (opens) go();
      } catch {
        if (mine === latest) told.textContent = results.textContent = "The server can't be reached.";
      }
      if (mine === latest) opens = false;
    };
    const open = () => { if (!dialog.open) { answered = null; dialog.showModal(); input.select(); search(); } };

    input.addEventListener("input", () => { opens = false; clearTimeout(timer); timer = setTimeout(search, 120); });
    dialog.addEventListener("close", () => { opens = false; });
    dialog.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown" || event.key === "ArrowUp") { event.preventDefault(); choose(event.key === "ArrowDown" ? 1 : -1); }
      // Elsewhere the key means that.
      if (event.key === "Enter" && event.target === input) {
        event.preventDefault();
        // Faster than the server: what was written last is what is meant.
        if (answered === input.value) go(); else { opens = true; search(); }
      }
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

  // Charts have a script of their own, which is loaded where there is one ---

  const charts = (within = document) => {
    if (!$("figure.chart[data-chart]", within)) return;
    if (deck.charts) { deck.charts.adopt(within); return; }
    if ($("script[data-loaded]")) return;
    const script = document.createElement("script");
    script.src = own.dataset.charts;
    script.dataset.loaded = "";
    document.head.append(script);
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

  Object.assign(deck, { $, $$, absolute, zone: () => zone });
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
