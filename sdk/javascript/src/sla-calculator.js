// Every sample of a window, and whether an exclusion holds it.

export function* samples(window) {
  for (const [index, atMs] of window.atMs.entries()) {
    const isExcluded = window.exclusions.some(([from, to]) => from <= atMs && atMs < to);
    yield { atMs, value: window.value[index], isExcluded };
  }
}
