/* One delegated listener per concern and nothing to initialise, so that swaps never leave dead widgets.
   Pages read and post without this file; it adds dialogs, keys, the palette, live news and the theme switch. */
"use strict";
(() => {
  const $ = (selector, from = document) => from.querySelector(selector);
  const $$ = (selector, from = document) => [...from.querySelectorAll(selector)];
  const root = document.documentElement;

  /* Notes: say what happened, are read out politely, leave by themselves unless somebody is on them or they are bad. */
  const leave = (note) => setTimeout(() => {
    if (note.matches(":hover, :focus-within")) leave(note); else note.remove();
  }, 8000);
  const say = (text, bad = true) => {
    const note = document.createElement("div"), words = document.createElement("span");
    note.className = `note ${bad ? "bad" : "good"}`;
    words.textContent = text;
    note.append(words);
    $("#messages").append(note);
    leave(note);
  };

  /* Dialogs: <button data-open="id">, and whatever a verb puts into #dialog. Native <dialog> traps focus, Esc closes. */
  const open = (id) => { const dialog = document.getElementById(id); if (dialog && !dialog.open) dialog.showModal(); };
  const showNew = () => {
    for (const dialog of $$("dialog[data-autoshow]")) {
      if (dialog.open) continue;
      dialog.showModal();
      const first = $("[aria-invalid=true]", dialog) || $("[autofocus]", dialog) || $("form :is(input:not([type=hidden]), select, textarea)", dialog);
      if (first) first.focus();
    }
  };
  document.addEventListener("click", (event) => {
    const asked = event.target.closest("[data-open], [data-close], [data-dismiss], [data-always]");
    for (const drop of $$("details.drop[open]")) if (!drop.contains(event.target)) drop.open = false;
    if (!asked) return;
    if (asked.dataset.open) { event.preventDefault(); open(asked.dataset.open); }
    else if ("close" in asked.dataset) asked.closest("dialog").close();
    else if ("always" in asked.dataset) asked.closest("dialog").querySelector("form").requestSubmit();
    else if ("dismiss" in asked.dataset) asked.closest(".note").remove();
  });
  document.addEventListener("close", (event) => {
    if (event.target.matches("#dialog > dialog, #sign-in > dialog")) event.target.remove();
  }, true);

  /* Look: the server renders it from the cookie; the switch shows it at once and then says so. */
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-theme-form]")) return;
    event.preventDefault();
    const chosen = event.target.elements.theme.value;
    if (chosen) root.dataset.bsTheme = chosen; else delete root.dataset.bsTheme;
    fetch(event.target.action, { method: "POST", body: new FormData(event.target), redirect: "manual" });
    event.target.elements.theme.value = { "": "light", light: "dark", dark: "" }[chosen];
  });

  /* A form goes once. */
  const sent = new WeakMap();
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post" || event.defaultPrevented || form.hasAttribute("hx-post")) return;
    if (sent.has(form)) { event.preventDefault(); return; }
    sent.set(form, setTimeout(() => sent.delete(form), 3000));
  });

  /* Live: one poll per page, silent while nobody looks. The page says what it has seen; 204 means nothing else happened. */
  document.addEventListener("htmx:configRequest", (event) => {
    const live = $("#live");
    if (!live) return;
    event.detail.headers["X-Seen"] = live.dataset.seen;
    if (event.target === live && $(".queue")) event.detail.parameters.rows = rows().map((row) => row.id).join(",");
  });
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.elt.id === "live" && (document.hidden || $("#sign-in > dialog"))) event.preventDefault();
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    const seen = event.detail.xhr?.getResponseHeader("X-Seen"), live = $("#live");
    if (seen && live) { live.dataset.seen = seen; window.htmx.trigger(document.body, "news"); }
    // A refusal (422) counts as successful to htmx: what was typed stays until it was taken.
    if (event.detail.successful && event.detail.xhr.status < 300 && event.detail.elt.matches("form[data-reset]")) event.detail.elt.reset();
  });

  /* Lists are merged by id, so that rows that stay keep focus, selection and place; the browser's scroll anchoring does
     the rest. data-merge="rows" only changes rows that are there: in the queue nothing comes or goes by itself. */
  const plain = (element) => element.outerHTML.replace(/csrfmiddlewaretoken" value="[^"]*"|<time .*?<\/time>| ?htmx-[a-z]+/g, "");
  const known = new WeakMap();
  const merge = (list, fresh) => {
    const only = list.dataset.merge === "rows", now = new Map([...list.children].map((child) => [child.id, child]));
    let after = null;
    for (const child of [...fresh.children]) {
      const old = now.get(child.id), text = plain(child);
      now.delete(child.id);
      if (!old && only) continue;
      let put = old;
      if (!old || (known.get(old) ?? plain(old)) !== text) {
        put = child;
        if (old) {
          const focused = old.contains(document.activeElement);
          keep(old, child);
          old.replaceWith(child);
          if (focused) $(".t a", child)?.focus({ preventScroll: true });
        }
        known.set(child, text);
        window.htmx.process(child);
      }
      if (!only && (put.parentElement !== list || put.previousElementSibling !== after)) list.insertBefore(put, after ? after.nextElementSibling : list.firstElementChild);
      after = put;
    }
    if (!only) for (const gone of now.values()) gone.remove();
  };
  const keep = (old, fresh) => {
    for (const name of ["is-cursor", "is-selected"]) fresh.classList.toggle(name, old.classList.contains(name));
    const box = $("input[type=checkbox]", fresh), was = $("input[type=checkbox]", old);
    if (box && was) box.checked = was.checked;
  };
  const last = new Map();
  document.addEventListener("htmx:oobBeforeSwap", (event) => {
    const target = event.detail.target, fragment = event.detail.fragment;
    const fresh = fragment.firstElementChild?.id === target.id ? fragment.firstElementChild : $(`[id="${target.id}"]`, fragment);
    if (!fresh || target.id === "messages") return;
    if ("merge" in target.dataset) { event.detail.shouldSwap = false; merge(target, fresh); return; }
    if (target.contains(document.activeElement) && document.activeElement.matches("input, textarea, select")) event.detail.shouldSwap = false;
    const text = plain(fresh);
    if (last.get(target.id) === text) event.detail.shouldSwap = false;
    else last.set(target.id, text);
  });

  /* Before #dialog is emptied its dialog is closed, which gives the focus back to where it came from. A failure that
     swaps nothing leaves it open, with what was typed. */
  const closeAll = (where) => { for (const dialog of $$("dialog[open]", where)) dialog.close(); };
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.shouldSwap && event.detail.target?.matches("#dialog, #sign-in")) closeAll(event.detail.target);
  });
  document.addEventListener("htmx:afterSettle", () => {
    showNew();
    for (const note of $$("#messages > .note:not(.is-timed)")) { note.classList.add("is-timed"); leave(note); }
  });

  /* Failures never vanish. */
  document.addEventListener("htmx:responseError", (event) => {
    const status = event.detail.xhr.status;
    if (status === 401 || event.detail.elt.id === "live") return;
    say(status === 404 || status === 403 ? "That is not there for you. Nothing was changed." : `Not saved (${status}). Nothing was changed; try again.`);
  });
  document.addEventListener("htmx:sendError", (event) => {
    if (event.detail.elt.id !== "live") say("No connection. Nothing was sent; what you typed is still here.");
  });
  /* An ended session: one signs in over whatever is there, and what was asked for goes through. */
  let asked = null;
  document.addEventListener("login-required", (event) => {
    if (event.target.matches("form, a, button")) asked = event.target;
    if (!$("#sign-in > dialog")) window.htmx.ajax("GET", `/accounts/login/?next=${encodeURIComponent(location.pathname + location.search)}`, "#sign-in");
  });
  document.addEventListener("signed-in", (event) => {
    document.body.setAttribute("hx-headers", JSON.stringify({ "X-CSRFToken": event.detail.token }));
    for (const field of $$("[name=csrfmiddlewaretoken]")) field.value = event.detail.token;
    closeAll($("#sign-in"));
    if (asked?.isConnected) { if (asked.matches("form")) asked.requestSubmit(); else asked.click(); }
    asked = null;
  });

  /* Ages go on counting while the page stays open. */
  const short = (seconds) => seconds < 60 ? `${seconds}s` : seconds < 3600 ? `${Math.floor(seconds / 60)}m` : seconds < 86400 ? `${Math.floor(seconds / 3600)}h` : `${Math.floor(seconds / 86400)}d`;
  setInterval(() => {
    for (const time of $$("time[data-age]")) {
      const seconds = Math.floor((Date.now() - Date.parse(time.dateTime)) / 1000);
      if (seconds >= 5) time.textContent = time.dataset.age.replace("%s", short(seconds));
    }
  }, 15000);

  /* Queue: cursor and selection live in the DOM, so a merge by id keeps both. */
  const rows = () => $$(".queue tbody tr[id]");
  const cursor = () => $(".queue tr.is-cursor");
  const moveTo = (row) => {
    if (!row) return;
    cursor()?.classList.remove("is-cursor");
    row.classList.add("is-cursor");
    row.scrollIntoView({ block: "nearest" });
    $(".t a", row)?.focus({ preventScroll: true });
  };
  const mark = (box) => box.closest("tr")?.classList.toggle("is-selected", box.checked);
  const count = () => {
    const bulk = $(".bulk"), chosen = $$(".queue tbody :checked").length;
    if (!bulk) return;
    bulk.hidden = chosen === 0;
    $("[data-count]", bulk).textContent = chosen;
  };
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-select-all]")) for (const box of $$(".queue tbody input[type=checkbox]")) { box.checked = event.target.checked; mark(box); }
    else if (event.target.matches(".queue input[type=checkbox]")) mark(event.target);
    else if (event.target.matches("[data-submit]")) { event.target.form.requestSubmit(); return; }
    else return;
    count();
  });

  /* Lists that are filtered while one types, chosen by arrows and Enter: the palette, and incidents to link to. */
  const options = (input) => $$("[role=option]", document.getElementById(input.dataset.filterList)).filter((option) => !option.hidden);
  document.addEventListener("input", (event) => {
    if (!event.target.matches("[data-filter-list]") || event.target.hasAttribute("hx-get")) return;
    const wanted = event.target.value.toLowerCase().split(/\s+/);
    const all = $$("[role=option]", document.getElementById(event.target.dataset.filterList));
    for (const option of all) {
      option.hidden = !("always" in option.dataset) && !wanted.every((word) => option.textContent.toLowerCase().includes(word));
      option.ariaSelected = "false";
    }
    const first = all.find((option) => !option.hidden);
    if (first) first.ariaSelected = "true";
  });
  const step = (input, by) => {
    const all = options(input), at = all.findIndex((option) => option.ariaSelected === "true");
    const next = all[(at + by + all.length) % all.length];
    if (!next) return;
    if (all[at]) all[at].ariaSelected = "false";
    next.ariaSelected = "true";
    input.setAttribute("aria-activedescendant", next.id);
    next.scrollIntoView({ block: "nearest" });
  };

  /* Keys. Single letters do nothing while typing, in dialogs or with a modifier (WCAG 2.1.4). */
  const VERBS = { c: "claim", a: "assign", r: "resolve", e: "escalate", l: "link", m: "comment", n: "handoff", p: "run" };
  const PLACES = { q: 1, i: 2, p: 3, r: 4 };
  let going = 0;
  const list = (event) => {
    const input = event.target;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") { event.preventDefault(); step(input, event.key === "ArrowDown" ? 1 : -1); }
    else if (event.key === "Enter") {
      const chosen = options(input).find((option) => option.ariaSelected === "true");
      if (chosen) { event.preventDefault(); chosen.click(); }
    }
  };
  const letter = (event) => {
    const all = rows(), at = all.indexOf(cursor());
    if (event.timeStamp - going < 1000 && PLACES[event.key]) { $(`#pal-${PLACES[event.key]}`).click(); return; }
    if (event.key === "g") going = event.timeStamp;
    else if (event.key === "/") { event.preventDefault(); $("[data-search]")?.select(); }
    else if (event.key === "?") open("keys");
    else if (event.key === ".") $(".newbar")?.click();
    else if (all.length && event.key === "j") moveTo(all[at + 1]);
    else if (all.length && event.key === "k") moveTo(all[Math.max(at - 1, 0)]);
    else if (all.length && event.key === "x") $("input[type=checkbox]", cursor() || all[0])?.click();
    else if (all.length && event.key === "o") $(".t a", cursor() || all[0]).click();
    else if ((event.key === "j" || event.key === "k") && place) neighbour(event.key === "j" ? 1 : -1);
    else if (event.key === "Escape") { for (const box of $$(".queue :checked")) { box.checked = false; mark(box); } count(); }
    else if (VERBS[event.key]) verb(event, VERBS[event.key]);
  };
  /* In the queue a verb is for the selection; where nothing is selected, for the row under the cursor, which it does
     not select: the box is ticked only while the request is put together. */
  const verb = (event, name) => {
    const asked = $(`[data-verb=${name}]`);
    if (!asked) return;
    event.preventDefault();
    const box = $(".queue") && !$(".queue tbody :checked") && $("input[type=checkbox]", cursor() || rows()[0]);
    if (box) box.checked = true;
    if (asked.matches("textarea, input")) asked.focus(); else asked.click();
    if (box) box.checked = false;
  };

  /* The alert page knows its place in the queue that one came from: j and k go to its neighbours. */
  const QUEUE = "queue";
  const place = (() => {
    const own = rows().map((row) => $(".t a", row).getAttribute("href"));
    if (own.length) { sessionStorage.setItem(QUEUE, JSON.stringify(own)); return null; }
    const known = JSON.parse(sessionStorage.getItem(QUEUE) || "[]"), at = known.indexOf(location.pathname);
    return at < 0 ? null : { known, at };
  })();
  const neighbour = (by) => { const to = place.known[place.at + by]; if (to) location.assign(to); };
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") { event.preventDefault(); open("palette"); return; }
    if (event.key === "Escape") for (const drop of $$("details.drop[open]")) { drop.open = false; $("summary", drop).focus(); }
    if (event.key === "ArrowDown" && event.target.matches("dialog [data-options], .verb [data-options]")) {
      const option = $(`#${event.target.dataset.options} input`);
      if (option) { event.preventDefault(); option.focus(); option.checked = true; }
      return;
    }
    if ((event.ctrlKey || event.metaKey) && event.key === "Enter") { event.target.form?.requestSubmit(); return; }
    if (event.target.matches("[data-filter-list]")) { list(event); return; }
    const typing = event.target.matches("input:not([type=checkbox]), textarea, select, [contenteditable]");
    if (!(event.ctrlKey || event.metaKey || event.altKey || typing || $("dialog[open]"))) letter(event);
  });

  document.addEventListener("click", (event) => {
    const step = event.target.closest(".wf a[hx-get]");
    if (step) for (const link of $$(".wf a")) link.toggleAttribute("aria-current", link === step);
  });
  document.addEventListener("DOMContentLoaded", () => {
    const shown = $("[data-place]");
    if (shown && place) shown.textContent = `${place.at + 1} / ${place.known.length}`;
  });
  document.addEventListener("DOMContentLoaded", () => { showNew(); count(); for (const note of $$("#messages > .note.good")) leave(note); });
  window.addEventListener("pageshow", (event) => { if (event.persisted) window.location.reload(); });
})();
