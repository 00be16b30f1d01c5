// Offers words while PromQL is typed: metrics and functions, labels within braces and where is grouped by them, values within quotes. What it
// offers is text, and is asked of this host. Without it the fields are plain ones, with a list of metrics.
"use strict";
(() => {
  const fields = [...document.querySelectorAll("input[data-promql]")];

  const KEYWORDS = new Set(["and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring", "group_left", "group_right", "inf", "nan"]);

  // The metrics of a part of an expression: names that are called by nobody and are no words of the language.
  const metrics = (text) => {
    const plain = text
      .replace(/"(?:[^"\\]|\\.)*"?/g, '""')
      .replace(/\{[^}]*\}?|\[[^\]]*\]?/g, "")
      .replace(/\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)?/gi, "");
    const names = [...plain.matchAll(/(?<![\w:.])[A-Za-z_:][\w:]*/g)];
    return names.filter((name) => !KEYWORDS.has(name[0].toLowerCase()) && !/^\s*\(/.test(plain.slice(name.index + name[0].length))).map((name) => name[0]);
  };

  // The metric that is grouped by the labels in these parentheses: it stands in those behind them, or in front.
  const grouped = (before, after) => {
    const behind = after.replace(/^[^()]*\)?/, "").trimStart();
    return (behind.startsWith("(") && metrics(behind)[0]) || metrics(before).pop();
  };

  // What the word before the cursor is: a name, a label of a metric, or a value of a label.
  const context = (field) => {
    const before = field.value.slice(0, field.selectionStart);
    const open = before.lastIndexOf("{");
    if (open > before.lastIndexOf("}")) {
      const metric = /([A-Za-z_:][\w:]*)\s*$/.exec(before.slice(0, open))?.[1];
      const within = before.slice(open + 1);
      const value = /(?:^|,)\s*([A-Za-z_]\w*)\s*(?:=~|!~|!=|=)\s*"([^"\\]*)$/.exec(within);
      if (value) return { ...(metric && { metric }), label: value[1], word: value[2] };
      const label = /(?:^|,)\s*([A-Za-z_]\w*)$/.exec(within) || (/(?:^|,)\s*$/.test(within) && ["", ""]);
      return label && metric ? { metric, word: label[1] } : null;
    }
    if ((before.match(/"/g) || []).length % 2) return null;
    const group = /\b(?:by|without|on|ignoring|group_left|group_right)\s*\((?:\s*[A-Za-z_]\w*\s*,)*\s*([A-Za-z_]\w*)?$/i.exec(before);
    if (group) {
      const metric = grouped(before.slice(0, group.index), field.value.slice(field.selectionStart));
      return metric ? { metric, grouped: "yes", word: group[1] ?? "" } : null;
    }
    const word = /[A-Za-z_:][\w:]*$/.exec(before)?.[0];
    return word ? { word } : null;
  };

  fields.forEach((field, index) => {
    // The script's own list stands in for the browser's, which replaces the whole expression.
    field.removeAttribute("list");
    const list = Object.assign(document.createElement("ul"), { id: `offered-${index}`, className: "offered", hidden: true });
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-label", "Words that fit");
    field.after(list);
    for (const [name, value] of [["role", "combobox"], ["aria-autocomplete", "list"], ["aria-expanded", "false"], ["aria-controls", list.id]]) field.setAttribute(name, value);
    let latest = 0;
    let timer = null;

    const close = () => { latest++; list.hidden = true; list.replaceChildren(); field.setAttribute("aria-expanded", "false"); field.removeAttribute("aria-activedescendant"); };
    const choose = (step) => {
      const all = [...list.children];
      if (!all.length) return;
      const at = all.findIndex((item) => item.getAttribute("aria-selected") === "true");
      const next = all[at < 0 ? (step > 0 ? 0 : all.length - 1) : (at + step + all.length) % all.length];
      all.forEach((item) => item.setAttribute("aria-selected", String(item === next)));
      field.setAttribute("aria-activedescendant", next.id);
      next.scrollIntoView({ block: "nearest" });
    };
    const take = (item) => {
      const found = context(field);
      const text = item.dataset.insert;
      const end = field.selectionStart;
      const start = end - (found?.word.length ?? 0);
      field.setRangeText(text, start, end, "end");
      close();
      field.focus();
    };
    const offer = async () => {
      const found = context(field);
      if (!found) return close();
      const mine = ++latest;
      try {
        const answer = await fetch(`/console/metrics/words?${new URLSearchParams(found)}`, { headers: { "X-Renewed": "1" }, signal: AbortSignal.timeout(25000) });
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        if (mine !== latest || document.activeElement !== field) return;
        const items = [...page.querySelectorAll("#words li")].map((word, at) => {
          const item = Object.assign(document.createElement("li"), { id: `${list.id}-${at}`, textContent: word.dataset.word });
          item.dataset.insert = word.dataset.insert;
          item.setAttribute("role", "option");
          item.setAttribute("aria-selected", "false");
          item.append(Object.assign(document.createElement("span"), { className: "kind", textContent: word.dataset.kind }));
          item.addEventListener("pointerdown", (event) => { event.preventDefault(); take(item); });
          return item;
        });
        list.replaceChildren(...items);
        list.hidden = !items.length;
        field.setAttribute("aria-expanded", String(!list.hidden));
      } catch { close(); }
    };

    field.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(offer, 120); });
    field.addEventListener("blur", () => { clearTimeout(timer); close(); });
    field.addEventListener("keydown", (event) => {
      if (event.key === " " && event.ctrlKey) { event.preventDefault(); offer(); return; }
      if (list.hidden) return;
      if (event.key === "ArrowDown" || event.key === "ArrowUp") { event.preventDefault(); choose(event.key === "ArrowDown" ? 1 : -1); }
      const chosen = list.querySelector('[aria-selected="true"]');
      if ((event.key === "Enter" || event.key === "Tab") && chosen) { event.preventDefault(); take(chosen); }
      if (event.key === "Escape") { event.preventDefault(); close(); }
    });
  });
})();
