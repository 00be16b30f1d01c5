// One stream of what happens for all windows of a browser, which opens few connections to one server. Where there are shared workers this
// runs as one, and every window that is looked at speaks to it; elsewhere each window runs it for itself.
"use strict";
(() => {
  // Milliseconds. A server that has nothing to tell says so every 10 s.
  const SILENCE = 25000;
  const LOOK = 5000;
  // Windows say every 10 s that they are there.
  const GONE = 60000;
  // By port: the types of events that the window shows, and when it was heard of.
  const windows = new Map();
  let stream = null;
  let retry = null;
  // The types that the stream tells, one space between them; empty is every type.
  let asked = "";
  // Offset of the newest event that was told.
  let last = 0;
  let heard = 0;
  let begun = 0;
  let looked = Date.now();
  let failures = 0;
  // So much was missed that windows had better look by themselves.
  let lost = false;

  const concerns = (types, type) => types.some((one) => !one || one === type || type.startsWith(one.endsWith(".") ? one : `${one}.`));
  const tell = (message, type = null) => {
    for (const [port, one] of windows) if (type === null || concerns(one.types, type)) port.postMessage({ ...message, last });
  };
  const wanted = () => {
    const types = new Set([...windows.values()].flatMap((one) => one.types));
    return types.has("") ? "" : [...types].sort().join(" ");
  };

  const close = () => {
    clearTimeout(retry);
    retry = null;
    stream?.close();
    stream = null;
  };

  const connect = () => {
    close();
    asked = wanted();
    begun = Date.now();
    const query = new URLSearchParams({ after: last });
    for (const type of asked.split(" ").filter(Boolean)) query.append("type", type);
    stream = new EventSource(`/console/stream?${query}`);
    stream.onopen = () => {
      heard = Date.now();
      failures = 0;
      tell({ kind: "open", lost });
      lost = false;
    };
    for (const kind of ["message", "gap", "beat"]) {
      stream.addEventListener(kind, (event) => {
        heard = Date.now();
        last = Number(event.lastEventId) || last;
        if (kind === "message") tell({ kind: "event" }, JSON.parse(event.data).type); else tell({ kind: kind === "gap" ? "event" : kind });
      });
    }
    stream.onerror = () => {
      failures += 1;
      lost ||= failures > 1;
      // A refusal ends the stream for good; a connection that breaks is tried again by the browser, but not for long everywhere.
      close();
      tell({ kind: "away", failures, since: heard });
      retry = setTimeout(connect, Math.min(1000 * failures, 10000));
    };
  };

  const join = (port, types, seen) => {
    const covered = stream && (!asked || types.every((type) => asked.split(" ").includes(type)));
    windows.set(port, { types, heard: Date.now() });
    if (windows.size === 1) [last, heard] = [seen, Date.now()]; else if (!covered) last = Math.min(last, seen);
    if (windows.size === 1 || !covered) connect();
    // It was made before what the others know already.
    else if (last > seen) port.postMessage({ kind: "event", last });
  };

  const leave = (port) => {
    windows.delete(port);
    if (!windows.size) close();
  };

  setInterval(() => {
    const now = Date.now();
    // The machine was asleep, or this window: nobody's silence means anything then.
    const slept = now - looked > 3 * LOOK;
    looked = now;
    for (const [port, one] of windows) if (slept) one.heard = now; else if (now - one.heard > GONE) leave(port);
    if (!stream) return;
    const silent = !slept && now - Math.max(heard, begun) > SILENCE;
    if (silent) tell({ kind: "silent", since: heard });
    lost ||= slept || silent;
    if (slept || silent || wanted() !== asked) connect();
  }, LOOK);

  const adopt = (port) => {
    port.onmessage = ({ data }) => {
      if (data.types) join(port, data.types, data.seen);
      else if (data === "bye") leave(port);
      else if (windows.has(port)) windows.get(port).heard = Date.now();
      // It was taken for gone.
      else port.postMessage({ kind: "again", last });
    };
  };
  if ("SharedWorkerGlobalScope" in globalThis) globalThis.onconnect = (event) => adopt(event.ports[0]);
  else globalThis.quarterdeck = { adopt };
})();
