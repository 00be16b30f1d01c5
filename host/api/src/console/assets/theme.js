// Loaded before anything is painted, so that a theme that was chosen is there from the first moment.
(() => {
  try {
    const theme = localStorage.getItem("quarterdeck-theme");
    if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
  } catch { /* A browser that keeps nothing follows the system. */ }
  document.documentElement.dataset.script = "";
})();
