"use strict";
/* What the page does by itself: it notices when updates stop, greys what it shows and says how old
   it is, comes back alone, counts ages on, and keeps the confirmation usable by keyboard. */
(() => {
  const LATE = 5000;         // ms without a pulse until the page counts as lost
  const RELOAD = 9000;       // ms after which a server that answers is asked for a fresh page
  const NEVER = 60000;       // ms that a start may take before it is tried again
  const opened = performance.now();
  let pulse = null, pulsed = 0, skew = 0, asking = false, shown = false, opener = null;
  const by = (selector, root) => (root || document).querySelector(selector);

  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  function length(seconds) {
    const left = Math.max(0, Math.floor(seconds));
    if (left >= 2 * 365 * 86400) return `${Math.floor(left / (365 * 86400))} y`;
    for (let at = 0; at < units.length; at++) {
      const [name, size] = units[at];
      if (left < size) continue;
      const whole = Math.floor(left / size), rest = left % size, after = units[at + 1];
      if (!after || whole >= 3 || rest < after[1]) return `${whole} ${name}`;
      return `${whole} ${name} ${Math.floor(rest / after[1])} ${after[0]}`;
    }
    return "0 s";
  }

  /* The server's clock, not the reader's, says how old a fact is. */
  const now = () => Date.now() + skew;

  function ages() {
    for (const time of document.querySelectorAll("time[data-age]")) {
      const text = length((now() - Date.parse(time.dateTime)) / 1000);
      if (time.textContent !== text) time.textContent = text;
    }
  }

  function beat() {
    const found = by("[data-beat]");
    if (!found || found.dataset.beat === pulse) return;
    pulse = found.dataset.beat;
    pulsed = performance.now();
    skew = Date.parse(found.dataset.at) - Date.now();
    document.documentElement.classList.add("ready");
  }

  function lost(why) {
    const line = by("#lost"), text = why || "";
    document.documentElement.classList.toggle("lost", Boolean(why));
    by("main").inert = Boolean(why);  // what can't be sent isn't offered
    if (line.hidden !== !why) line.hidden = !why;
    if (line.textContent !== text) line.textContent = text;
  }

  async function afresh() {
    if (asking) return;
    asking = true;
    try {
      const answer = await fetch(document.body.dataset.alive, {method: "HEAD", cache: "no-store"});
      if (answer.ok) location.reload();
    } catch {
      // Not reachable yet: the next tick asks again.
    }
    asking = false;
  }

  function tick() {
    beat();
    ages();
    confirmation();
    const ready = pulse !== null;
    const silent = performance.now() - (ready ? pulsed : opened);
    if (by(".broken")) return document.documentElement.classList.add("ready");
    if (!navigator.onLine) lost(`No network. Shown as it was ${length(silent / 1000)} ago.`);
    else if (ready && silent > LATE)
      lost(`No connection. Shown as it was ${length(silent / 1000)} ago; connecting again.`);
    else lost("");
    if (navigator.onLine && silent > (ready ? RELOAD : NEVER)) afresh();
  }

  /* The confirmation takes the keyboard while it is open, and gives it back. */
  function confirmation() {
    const dialog = by(".hb-dialog"), main = by(".hb-main");
    if (!dialog || !main) return;
    const said = by(".hb-said");
    if (said && !said.hasAttribute("role")) {
      said.setAttribute("role", "status");
      dialog.setAttribute("role", "dialog");
      dialog.setAttribute("aria-modal", "true");
      dialog.setAttribute("aria-labelledby", "hb-question");
    }
    const open = dialog.style.display !== "none";
    if (open === shown) return;
    shown = open;
    main.inert = open;
    if (open) {
      const fields = [...dialog.querySelectorAll("select, input")];
      (fields.find((field) => field.offsetParent) || dialog).focus();
    } else if (opener && opener.isConnected) {
      opener.focus();
    }
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest && event.target.closest(".hb-main button");
    if (button) opener = button;
  }, true);

  document.addEventListener("keydown", (event) => {
    const dialog = by(".hb-dialog");
    if (!shown || !dialog) return;
    if (event.key === "Escape") {
      event.preventDefault();
      by(".hb-no", dialog).click();
    } else if (event.key === "Tab") {
      const stops = [...dialog.querySelectorAll("select, input, button")].filter((x) => x.offsetParent && !x.disabled);
      const edge = event.shiftKey ? stops[0] : stops[stops.length - 1];
      if (document.activeElement === edge) {
        event.preventDefault();
        stops[event.shiftKey ? stops.length - 1 : 0].focus();
      }
    }
  }, true);

  /* Voila calls these; the page shows itself when its first pulse is there. */
  window.voila_heartbeat = window.voila_process = window.voila_finish = window.display_cells = () => {};
  window.addEventListener("online", tick);
  window.addEventListener("offline", tick);
  document.addEventListener("DOMContentLoaded", () => {
    new MutationObserver(confirmation).observe(document.body, {attributes: true, attributeFilter: ["style"], subtree: true, childList: true});
    setInterval(tick, 500);
  });
})();
