// The recipients' pages: says once what has been done, and leads to what was refused. A probe is followed by probe.js.
"use strict";

// What has been done is said once: a page that is loaded again does not repeat it.
{
  const here = new URL(location.href);
  if (here.searchParams.has("done")) {
    here.searchParams.delete("done");
    history.replaceState(null, "", here);
  }
  // Text that was there from the start is not read out by every reader: it is put in anew.
  const done = document.getElementById("done");
  if (done) {
    const text = done.textContent;
    done.textContent = "";
    setTimeout(() => (done.textContent = text), 150);
  }
  document.getElementById("refused")?.focus();
  document.getElementById("mute-refused")?.focus();
}

/** Puts in what has changed of a recipient's page, but for what is being filled in or looked at with the keyboard. */
async function refreshRecipient() {
  const answer = await fetch(location.pathname, { redirect: "manual" });
  if (answer.type === "opaqueredirect" || answer.status === 404) return location.reload();
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const id of ["heading", "stand", "lives", "last"]) {
    const [old, fresh] = [document.getElementById(id), page.getElementById(id)];
    if (!old || !fresh || old.contains(document.activeElement)) continue;
    // From probe.js: a clock that has gone on is no change.
    if (essence(old) !== essence(fresh)) old.replaceWith(document.adoptNode(fresh));
  }
  tick();
}

if (document.getElementById("lives")) {
  const again = () => document.hidden || refreshRecipient().catch(() => {});
  setInterval(again, 10000);
  const trial = document.getElementById("trial");
  if (trial) new MutationObserver(again).observe(trial, { childList: true });
}
