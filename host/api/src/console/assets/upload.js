// Sends components, on the pages that take some: a form could not say how far it got. What comes into use is sent to be looked at first,
// and again when what it would replace is confirmed. What the server says is set as text.
"use strict";
(() => {
  const $ = (selector, within = document) => within.querySelector(selector);
  const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];

  // A component is verified and compiled when it has arrived, which takes a while.
  const PATIENCE = 300000;

  const upload = (box) => {
    const [field, send, cancel, progress, result] = ["input[type=file]", "[data-send]", "[data-cancel]", "progress", "[role=status]"].map((selector) => $(selector, box));
    const confirm = $("[data-confirm]", box);
    let request = null;
    // The file that was looked at, and what the server has said of it.
    let looked = null;
    const forget = () => { looked = null; if (confirm) confirm.hidden = true; };
    const say = (text, tone = "quiet") => { result.textContent = text; result.className = `result tone-${tone}`; };
    const end = () => { request = null; progress.hidden = cancel.hidden = true; send.disabled = false; forget(); };
    // The server says what is wrong as a page.
    const why = () => {
      const page = new DOMParser().parseFromString(request.responseText, "text/html");
      return $$(".failure p:not(.status, .actions), .failure li", page).map((line) => line.textContent).join(". ") || `The server answered ${request.status}.`;
    };
    const put = (file, answer = {}) => {
      if (request) return;
      if (!file) { say("Choose a file first.", "warning"); field.focus(); return; }
      const query = new URLSearchParams({ name: file.name, ...answer });
      const rest = confirm && !answer.digest ? ", and nothing is changed yet" : "";
      const to = box.dataset.upload;
      request = new XMLHttpRequest();
      request.open("POST", `${to.endsWith("/") ? to + encodeURIComponent(file.name) : to}?${query}`);
      request.setRequestHeader("Content-Type", "application/octet-stream");
      request.setRequestHeader("X-Csrf", document.body.dataset.csrf);
      request.timeout = PATIENCE;
      request.upload.onprogress = (event) => {
        progress.max = event.total || 1;
        progress.value = event.loaded;
        say(event.loaded < event.total ? `${file.name}: ${Math.floor(100 * event.loaded / event.total)} % is sent.` : `${file.name} is sent. It is verified and compiled${rest}.`);
      };
      request.onload = () => {
        if (request.status !== 200) { say(why(), "bad"); end(); return; }
        const { to, says, ...said } = JSON.parse(request.responseText);
        if (to) { location.assign(to); return; }
        end();
        looked = [file, said];
        say(says, "warning");
        confirm.hidden = false;
        confirm.focus();
      };
      request.onerror = () => { say("The server can't be reached. Nothing was changed, as far as is known.", "bad"); end(); };
      request.ontimeout = () => { say("There is no answer after five minutes. The list of files says what became of it.", "bad"); end(); };
      request.onabort = () => { say("It was cancelled. What had arrived as a whole may be in use."); end(); };
      progress.value = 0;
      progress.hidden = cancel.hidden = false;
      send.disabled = true;
      say(`${file.name} is being sent.`);
      request.send(file);
    };
    send.addEventListener("click", () => { forget(); put(field.files[0]); });
    confirm?.addEventListener("click", () => { const [file, answer] = looked; forget(); put(file, answer); });
    field.addEventListener("change", () => { if (!request) { forget(); say(""); } });
    cancel.addEventListener("click", () => request?.abort());
    box.addEventListener("dragover", (event) => { event.preventDefault(); box.classList.add("over"); });
    box.addEventListener("dragleave", (event) => { if (!box.contains(event.relatedTarget)) box.classList.remove("over"); });
    box.addEventListener("drop", (event) => {
      event.preventDefault();
      box.classList.remove("over");
      if (event.dataTransfer.files.length !== 1) { say("One file at a time.", "warning"); return; }
      // It is shown before it is sent: what is dropped by mistake does nothing.
      if (!request) forget();
      field.files = event.dataTransfer.files;
      say(`${field.files[0].name} is chosen. "Upload" sends it.`);
      send.focus();
    });
    box.hidden = false;
  };

  $$("[data-upload]").forEach(upload);
})();
