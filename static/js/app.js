// What plain HTML cannot do: say that a request failed, send the person to sign in, keep a form from going twice.
"use strict";
(() => {
  const say = (text) => {
    const box = document.getElementById("messages");
    if (!box) return;
    const note = document.createElement("div");
    note.className = "alert alert-danger";
    note.setAttribute("role", "alert");
    note.textContent = text;
    box.append(note);
  };

  document.addEventListener("htmx:responseError", (event) => {
    const status = event.detail.xhr.status;
    if (status !== 401) say(`The server answered ${status}. Nothing was changed here; try again or reload the page.`);
  });
  document.addEventListener("htmx:sendError", () => say("The server cannot be reached. Nothing was changed."));
  document.addEventListener("htmx:timeout", () => say("The server took too long to answer."));
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.xhr.status === 422) {
      event.detail.shouldSwap = true;
      event.detail.isError = false;
    }
  });
  document.addEventListener("login-required", () => {
    const here = window.location.pathname + window.location.search;
    window.location.assign(`/accounts/login/?next=${encodeURIComponent(here)}`);
  });

  // Opening a form by its button puts the cursor into it.
  document.addEventListener("toggle", (event) => {
    if (event.target instanceof HTMLDetailsElement && event.target.open) {
      const first = event.target.querySelector("input:not([type=hidden]), select, textarea");
      if (first) first.focus();
    }
  }, true);

  const timers = new WeakMap();
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post" || event.defaultPrevented) return;
    if (timers.has(form)) { event.preventDefault(); return; }
    timers.set(form, setTimeout(() => timers.delete(form), 3000));
  });
  window.addEventListener("pageshow", (event) => { if (event.persisted) window.location.reload(); });
})();
