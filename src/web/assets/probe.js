// Pieces of a page that keep themselves current: each says where its next state is and after how many milliseconds.
// The clocks are in clock.js, which is loaded first.
"use strict";

/** The piece without its clocks, to see whether it has changed. */
function essence(piece) {
  const copy = piece.cloneNode(true);
  for (const time of copy.querySelectorAll("time")) time.replaceWith(time.dateTime);
  for (const details of copy.querySelectorAll("details")) details.removeAttribute("open");
  for (const other of copy.querySelectorAll("noscript")) other.remove();
  return copy.outerHTML;
}

/** Reads out what has become of the probe: text that is replaced as a whole is not read out everywhere. */
const voice = document.createElement("p");
voice.className = "unseen";
voice.setAttribute("role", "status");
document.body.append(voice);

/** Puts the new state in the place of the old one; what is unfolded stays so, and what has the focus keeps it. */
function put(piece, next) {
  for (const details of piece.querySelectorAll("details[id]")) {
    const same = next.querySelector(`#${CSS.escape(details.id)}`);
    if (same) same.open = details.open;
  }
  const [said, says] = [piece, next].map((of) => of.querySelector("[data-said]")?.textContent);
  const focus = piece.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  piece.replaceWith(next);
  tick();
  if (focus) next.querySelector(`a[href="${CSS.escape(focus)}"]`)?.focus();
  if (says !== said) voice.textContent = says;
  return next;
}

/** Follows one piece until it says that there will be no news. */
function follow(piece, failures = 0) {
  const again = Number(piece.dataset.again);
  if (!again) return;
  setTimeout(async () => {
    if (!piece.isConnected) return;
    if (document.hidden) {
      document.addEventListener("visibilitychange", () => follow(piece), { once: true });
      return;
    }
    try {
      const answer = await fetch(piece.dataset.fetch, { redirect: "manual" });
      // Logged out, or gone: the page itself says so.
      if (answer.type === "opaqueredirect" || answer.status === 404) {
        location.reload();
        return;
      }
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      const template = document.createElement("template");
      template.innerHTML = await answer.text();
      const next = template.content.querySelector("[data-fetch]");
      if (!next) throw new Error("no piece");
      if (essence(next) !== essence(piece)) piece = put(piece, next);
      follow(piece);
    } catch {
      follow(piece, failures + 1);
    }
  }, again * 2 ** Math.min(failures, 4));
}

for (const piece of document.querySelectorAll("[data-fetch]")) follow(piece);
