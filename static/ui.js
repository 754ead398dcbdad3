/* What the pages gain from JavaScript; nothing needs it. */
(() => {
  "use strict";
  const say = (text) => { const line = document.getElementById("say"); line.textContent = ""; requestAnimationFrame(() => { line.textContent = text; }); };
  const words = document.documentElement.dataset;

  document.addEventListener("click", async (event) => {
    const copy = event.target.closest("[data-copy]"), dismiss = event.target.closest("[data-dismiss]");
    if (copy) {
      const text = document.getElementById(copy.dataset.copy).textContent.trim();
      const done = await navigator.clipboard.writeText(text).then(() => true, () => false);
      copy.classList.toggle("is-done", done);
      copy.querySelector("use")?.setAttribute("href", copy.querySelector("use").getAttribute("href").replace(/#.*/, done ? "#check" : "#copy"));
      say(done ? words.copied || "Copied" : words.notCopied || "Could not copy: select the text instead");
    }
    if (dismiss) dismiss.closest(".ph-toast, .ph-note").remove();
    for (const menu of document.querySelectorAll("details.ph-menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  });

  // An address is drawn in two parts, so that its domain stays readable; it is copied as one.
  document.addEventListener("copy", (event) => {
    const text = getSelection().toString();
    if (!/\S\n@\S/.test(text)) return;
    event.clipboardData.setData("text/plain", text.replace(/(\S)\n(@\S)/g, "$1$2"));
    event.preventDefault();
  });

  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey && !event.target.closest("input, textarea, select, [contenteditable]")) {
      event.preventDefault(); document.getElementById("find")?.focus();
    }
    if (event.key === "Escape") for (const menu of document.querySelectorAll("details.ph-menu[open]")) { menu.open = false; menu.querySelector("summary").focus(); }
  });

  // The box in a table's head ticks all rows of the page; the bar below says how many are ticked.
  const count = (form) => {
    const boxes = [...form.querySelectorAll("input[name=id]")], ticked = boxes.filter((box) => box.checked).length, all = form.querySelector("[data-pick-all]");
    if (all) { all.checked = ticked > 0 && ticked === boxes.length; all.indeterminate = ticked > 0 && ticked < boxes.length; }
    for (const line of form.querySelectorAll("[data-picked]")) line.textContent = ticked || "";
  };
  document.addEventListener("change", (event) => {
    const form = event.target.closest(".ph-bulk");
    if (form) {
      if (event.target.matches("[data-pick-all]")) for (const box of form.querySelectorAll("input[name=id]")) box.checked = event.target.checked;
      count(form);
    }
    const tick = event.target.closest(".ph-filters details.ph-menu");
    if (tick) {
      const names = [...tick.querySelectorAll(":checked")].map((box) => box.closest("label").textContent.trim());
      const shown = tick.querySelector("summary span");
      shown.dataset.any ??= shown.textContent;
      shown.textContent = names.length === 0 ? words.any || "Any" : names.length === 1 ? names[0] : `${names.length} ${words.chosen || "chosen"}`;
    }
    const file = event.target.closest("[data-drop] input[type=file]");
    if (file) weigh(file);
  });

  // Files may be dropped on the chooser; one that is too large is refused before it is sent.
  const weigh = (input) => {
    const limit = Number(input.closest("[data-drop]").dataset.maxBytes), file = input.files[0];
    input.setCustomValidity(file && limit && file.size > limit ? `${file.name}: ${(file.size / 2 ** 20).toFixed(1)} MB` : "");
    if (!input.checkValidity()) input.reportValidity();
  };
  for (const kind of ["dragover", "dragleave", "drop"]) document.addEventListener(kind, (event) => {
    const zone = event.target.closest?.("[data-drop]");
    if (!zone) return;
    event.preventDefault();
    zone.classList.toggle("is-over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files.length) {
      const input = zone.querySelector("input[type=file]");
      input.files = event.dataTransfer.files;
      input.dispatchEvent(new Event("change", { bubbles: true }));
    }
  });

  // A form is sent once, however often its button is pressed.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post") return;
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "1";
  });
  addEventListener("pageshow", () => { for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent; });

  // What refreshes by itself rests while nobody sees it, and while somebody is in it: no focus lost, no menu closed, no tick undone, no
  // figures of a chart taken from under the pointer.
  const inUse = (part) => (part.contains(document.activeElement) && document.activeElement !== document.body) || part.querySelector("details[open], input[name=id]:checked, canvas:hover");
  const rests = (part) => {
    if (!part?.matches?.("[hx-trigger^='every']")) return false;
    const others = part.getAttribute("hx-select-oob")?.split(",").map((name) => document.querySelector(name.split(":")[0].trim())) || [];
    return document.hidden || [part, ...others].some((one) => one && inUse(one));
  };
  document.addEventListener("htmx:beforeRequest", (event) => { if (rests(event.target)) event.preventDefault(); });
  // Whoever came into it while the answer was on its way stays there, too.
  document.addEventListener("htmx:beforeSwap", (event) => { if (rests(event.detail.requestConfig?.elt)) event.detail.shouldSwap = false; });
  document.addEventListener("DOMContentLoaded", () => { document.getElementById("errors")?.focus(); });
})();
