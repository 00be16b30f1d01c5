// A Dockerfile as its instructions: word, rest, and the line at which each begins.

export function instructions(text) {
  const found = [];
  let open;
  for (const [at, line] of text.split(/\r?\n/).entries()) {
    if (/^\s*(#|$)/.test(line)) continue;
    const isContinued = /\\\s*$/.test(line);
    const part = line.replace(/\\\s*$/, "").trim();
    if (open) open.rest += ` ${part}`;
    else open = { ...split(part), line: at + 1 };
    if (!isContinued) {
      found.push(open);
      open = undefined;
    }
  }
  return open ? [...found, open] : found;
}

function split(text) {
  const [, word, rest] = /^(\S+)\s*(.*)$/s.exec(text) ?? ["", text, ""];
  return { word: word.toUpperCase(), rest };
}
