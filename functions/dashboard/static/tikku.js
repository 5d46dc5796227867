// What the dashboard does beyond links and forms: quiet polling, relative times, selection, dialogs, keys, copying, theme.
// Every page works without it. htmx fetches and swaps; nothing here builds HTML but the colours of JSON.
"use strict";
(() => {
  const html = document.documentElement;
  const $ = (selector, from = document) => from.querySelector(selector);
  const $$ = (selector, from = document) => [...from.querySelectorAll(selector)];
  const say = (text) => { $("#say").textContent = text; };
  html.classList.add("js-on");

  // ---- Sign-in by link: /dashboard/sign-in#tk_... The key leaves the address bar before it is posted, and never reaches a log.
  const form = $("form[data-sign-in]");
  if (form && location.hash.startsWith("#tk_")) {
    const key = decodeURIComponent(location.hash.slice(1));
    history.replaceState(null, "", location.pathname + location.search);
    form.key.value = key;
    form.submit();
  }

  // ---- Times: "12 s ago", "in 3 min", counted on from the server's moment; the absolute one stays in the title.
  const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const ahead = Date.parse(document.body.dataset.now) - Date.now() || 0; // how far the server's clock is ahead of this one
  function relative(iso) {
    const seconds = (Date.parse(iso) - Date.now() - ahead) / 1000;
    const size = Math.abs(seconds);
    if (Number.isNaN(size)) return null;
    if (size < 1) return "now";
    if (size > 30 * 86400) return iso.slice(0, 10);
    const [unit, name] = UNITS.find(([u]) => size >= u);
    const text = `${Math.floor(size / unit)} ${name}`;
    return seconds < 0 ? `${text} ago` : `in ${text}`;
  }
  function times(from = document) {
    for (const t of $$("time[datetime]", from)) {
      const text = relative(t.dateTime);
      if (text !== null && text !== t.textContent) t.textContent = text;
    }
  }

  // ---- JSON in colour.
  const TOKEN = /("(?:\\.|[^"\\])*")(\s*:)?|\b(true|false|null)\b|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)/g;
  function colour(from = document) {
    for (const pre of $$("pre.json", from)) {
      if (pre.childElementCount || pre.textContent.length > 65536) continue;
      const text = pre.textContent;
      const out = document.createDocumentFragment();
      let at = 0;
      for (const m of text.matchAll(TOKEN)) {
        out.append(text.slice(at, m.index));
        const span = document.createElement("span");
        span.className = m[1] ? (m[2] ? "j-k" : "j-s") : m[3] ? "j-b" : "j-n";
        span.textContent = m[1] ?? m[0];
        out.append(span, m[2] ?? "");
        at = m.index + m[0].length;
      }
      out.append(text.slice(at));
      pre.replaceChildren(out);
    }
  }

  // ---- Polling. `tikku:tick` comes every 2 s while somebody can see it and nobody is in the middle of something.
  const PERIOD = 2000;
  const snapshots = new WeakMap(); // live element -> its HTML as the server sent it, without the texts of times
  function plain(source) {
    const template = document.createElement("template");
    template.innerHTML = source;
    for (const t of $$("time[datetime]", template.content)) t.textContent = "";
    return template.innerHTML.trim();
  }
  function busy() {
    if (document.hidden || $("dialog[open]") || $("nav:popover-open")) return true;
    const live = $$("[data-live]");
    const inside = (node) => node && live.some((l) => l.contains(node));
    const active = document.activeElement;
    if (inside(active) && active.matches("input:not([type=checkbox]), textarea, select")) return true;
    if (live.some((l) => $$("textarea, input[type=text], input:not([type])", l).some((f) => f.value !== f.defaultValue))) return true;
    const selection = getSelection();
    return !selection.isCollapsed && inside(selection.anchorNode);
  }
  setInterval(() => { if (!busy()) document.body.dispatchEvent(new CustomEvent("tikku:tick")); }, PERIOD);
  document.addEventListener("visibilitychange", () => { if (!busy()) document.body.dispatchEvent(new CustomEvent("tikku:tick")); });

  const versions = new WeakMap(); // live element -> ETag of what it shows
  document.addEventListener("htmx:configRequest", (event) => {
    const version = versions.get(event.detail.elt);
    if (version) event.detail.headers["If-None-Match"] = version;
  });

  let kept = null;
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { target, xhr } = event.detail;
    if (xhr.status === 401) { location.reload(); return; } // the session is over: the server shows the sign-in page
    if (!target.matches("[data-live]")) return;
    if (xhr.status !== 200) { event.detail.shouldSwap = false; return; }
    const next = plain(event.detail.serverResponse);
    if (busy()) { event.detail.shouldSwap = false; return; }
    const version = xhr.getResponseHeader("ETag");
    if (version) versions.set(target, version);
    if (snapshots.get(target) === next) { event.detail.shouldSwap = false; return; }
    snapshots.set(target, next);
    kept = {
      checked: $$("input[data-check]:checked", target).map((c) => c.id),
      details: $$("details[id]", target).map((d) => [d.id, d.open]),
      scrolls: $$("[id]", target).filter((e) => e.scrollTop || e.scrollLeft).map((e) => [e.id, e.scrollTop, e.scrollLeft]),
      focus: target.contains(document.activeElement) ? document.activeElement.id || document.activeElement.getAttribute("href") : null,
      row: $("[data-row].on .main", target)?.getAttribute("href"),
    };
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    const target = event.detail.target;
    times(target);
    colour(target);
    if (!kept || !target.matches("[data-live]")) return;
    for (const id of kept.checked) { const c = document.getElementById(id); if (c) c.checked = true; }
    for (const [id, open] of kept.details) { const d = document.getElementById(id); if (d) d.open = open; }
    for (const [id, top, left] of kept.scrolls) { const e = document.getElementById(id); if (e) { e.scrollTop = top; e.scrollLeft = left; } }
    if (kept.focus) (document.getElementById(kept.focus) ?? $(`a[href="${CSS.escape(kept.focus)}"]`, target))?.focus({ preventScroll: true });
    if (kept.row) $$("[data-row] .main", target).find((a) => a.getAttribute("href") === kept.row)?.closest("[data-row]").classList.add("on");
    kept = null;
    bulk();
  });

  // ---- Selection.
  function bulk() {
    for (const form of $$("form[data-bulk]")) {
      const boxes = $$("input[data-check]", form), on = boxes.filter((b) => b.checked);
      const bar = $("[data-bulk-bar]", form), every = $("[data-bulk-all]", form), head = $("[data-check-all]", form);
      if (head) { head.checked = on.length > 0 && on.length === boxes.length; head.indeterminate = on.length > 0 && on.length < boxes.length; }
      if (!bar) continue;
      if (on.length === 0 && every?.checked) every.checked = false;
      bar.classList.toggle("has", on.length > 0);
      const compare = $("[data-compare]", bar);
      if (compare) compare.disabled = on.length !== 2;
      $("[data-bulk-count]", bar).textContent = every?.checked ? "All" : String(on.length);
    }
  }
  document.addEventListener("change", (event) => {
    const box = event.target;
    if (box.matches("[data-check-all]")) for (const b of $$("input[data-check]", box.form)) b.checked = box.checked;
    if (box.matches("[data-submit]")) box.form.requestSubmit();
    if (box.matches("[data-show]")) show(box);
    if (box.closest("form[data-bulk]")) bulk();
  });
  // A choice that shows the fields of its own: data-show="group", and data-of="group value" on those fields.
  function show(box) {
    const group = box.dataset.show;
    for (const part of $$(`[data-of^="${group} "]`)) {
      const on = part.dataset.of.split(" ").slice(1).includes(box.value);
      part.hidden = !on;
      for (const field of $$("input, select, textarea", part)) field.disabled = !on;
    }
  }
  for (const box of $$("[data-show]")) if (box.checked || box.tagName === "SELECT") show(box);

  // ---- Dialogs: a link or form with data-dialog shows `#confirm` of the page it leads to.
  const dialog = $("#dialog");
  function open(verb, path, values) {
    if (!window.htmx) return false;
    htmx.ajax(verb, path, { target: "#dialog-body", select: "#confirm", swap: "innerHTML", values })
      .then(() => {
        if (!$("#confirm", dialog)) { location.assign(verb === "GET" ? path : location.href); return; }
        dialog.setAttribute("aria-labelledby", "confirm-title");
        dialog.showModal();
      });
    return true;
  }
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.matches("form[data-dialog]")) {
      const data = new FormData(form, event.submitter), values = {};
      for (const name of new Set(data.keys())) { const all = data.getAll(name); values[name] = all.length > 1 ? all : all[0]; }
      if (open("POST", event.submitter?.getAttribute("formaction") ?? form.getAttribute("action"), values)) event.preventDefault();
    } else if (form.matches("[data-once]")) {
      setTimeout(() => { for (const b of $$("button", form)) b.disabled = true; });
    }
  });

  document.addEventListener("click", (event) => {
    const at = (selector) => event.target.closest(selector);
    const plainClick = !event.metaKey && !event.ctrlKey && !event.shiftKey && event.button === 0;
    const link = at("a[data-dialog]");
    if (link && plainClick) { if (open("GET", link.getAttribute("href"))) event.preventDefault(); return; }
    const close = at("[data-close]");
    if (close?.closest("dialog")) { event.preventDefault(); close.closest("dialog").close(); return; }
    if (event.target.matches?.("dialog")) { event.target.close(); return; }
    const copy = at("[data-copy], [data-copy-from]");
    if (copy) { event.preventDefault(); copyOf(copy); return; }
    if (at("[data-dismiss]")) { at(".flash").remove(); return; }
    if (at("[data-help]")) { $("#help").showModal(); return; }
    const compare = at("[data-compare]");
    if (compare) {
      const [b, a] = $$("input[data-check]:checked", compare.form).map((c) => encodeURIComponent(c.value)); // newest first: A is the older one
      location.assign(`${compare.dataset.compare}?a=${a}&b=${b}`);
      return;
    }
    const theme = at("[data-theme-switch]");
    if (theme) { event.preventDefault(); switchTheme(theme); }
  });

  async function copyOf(button) {
    const text = button.dataset.copy ?? document.getElementById(button.dataset.copyFrom)?.textContent ?? "";
    try { await navigator.clipboard.writeText(text); } catch { return; }
    button.classList.add("copied");
    say("Copied");
    setTimeout(() => button.classList.remove("copied"), 1500);
  }

  function switchTheme(button) {
    const dark = html.dataset.theme ? html.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    html.dataset.theme = dark ? "light" : "dark";
    button.value = dark ? "dark" : "light";
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `tikku_theme=${html.dataset.theme}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
  }

  // ---- Large batches: the form of the next chunk posts itself.
  function goOn() { const next = $("form[data-continue]"); if (next && window.htmx) htmx.trigger(next, "tikku:continue"); }
  document.addEventListener("htmx:afterSettle", goOn);

  // ---- Keys.
  const GO = { o: "", m: "/messages", d: "/dlq", f: "/fanouts", s: "/schedules", r: "/runs", a: "/approvals", w: "/workflows", e: "/events", k: "/keys" };
  let gone = 0;
  function move(step) {
    const rows = $$("[data-row]");
    if (!rows.length) return;
    const at = rows.findIndex((r) => r.classList.contains("on"));
    const to = rows[Math.min(rows.length - 1, Math.max(0, at < 0 ? 0 : at + step))];
    for (const r of rows) r.classList.toggle("on", r === to);
    $(".main, summary, a", to)?.focus({ preventScroll: true });
    to.scrollIntoView({ block: "nearest" });
  }
  document.addEventListener("keydown", (event) => {
    if (event.metaKey || event.ctrlKey || event.altKey || event.isComposing) return;
    const typing = event.target.matches("input:not([type=checkbox], [type=radio]), textarea, select");
    if (event.key === "Escape") { if (typing) event.target.blur(); else for (const r of $$("[data-row].on")) r.classList.remove("on"); return; }
    if (typing || $("dialog[open]")) return;
    const row = $("[data-row].on");
    const went = Date.now() - gone < 1200;
    gone = 0;
    if (went && event.key in GO) { location.assign("/dashboard" + GO[event.key]); return; }
    const act = {
      j: () => move(1), k: () => move(-1), g: () => { gone = Date.now(); }, c: () => location.assign("/dashboard/send"),
      x: () => { const box = row && $("input[data-check]", row); if (box) { box.checked = !box.checked; bulk(); } },
      "/": () => $("[data-search]")?.focus(), "?": () => $("#help").showModal(),
    }[event.key];
    if (act) { event.preventDefault(); act(); }
  });

  // ---- Start.
  for (const live of $$("[data-live]")) snapshots.set(live, plain(live.innerHTML));
  if (location.hash) { const d = document.getElementById(decodeURIComponent(location.hash.slice(1))); if (d?.matches("details")) { d.open = true; d.scrollIntoView({ block: "center" }); } }
  times();
  colour();
  bulk();
  setInterval(() => { if (!document.hidden) times(); }, 1000);
  if (document.readyState === "complete") goOn(); else addEventListener("load", goOn);
})();
