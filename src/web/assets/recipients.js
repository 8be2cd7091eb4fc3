// The recipients' pages: follows a probe that was asked for. Without it the page loads itself again.
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

const trial = document.getElementById("trial");

/** Puts in what has changed; what has the focus stays where it is. */
function showTrial(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  const fresh = template.content.getElementById("trial");
  if (!fresh) return true;
  const says = document.getElementById("trial-says");
  const said = fresh.querySelector("#trial-says").textContent;
  if (says.textContent !== said) says.textContent = said;
  const rest = document.getElementById("trial-rest");
  if (!rest.contains(document.activeElement)) rest.replaceChildren(...fresh.querySelector("#trial-rest").childNodes);
  tick();
  return fresh.hasAttribute("data-over");
}

/** Asks often while much happens, seldom later. */
async function follow(since) {
  const age = Date.now() - since;
  const pause = age < 30000 ? 500 : age < 300000 ? 2000 : 10000;
  await new Promise((resolve) => setTimeout(resolve, pause));
  if (!document.hidden) {
    try {
      const answer = await fetch(trial.dataset.src, { redirect: "manual" });
      if (answer.type === "opaqueredirect" || answer.status === 404) return location.reload();
      if (answer.ok && showTrial(await answer.text())) return;
    } catch {
      // The next time may be better.
    }
  }
  follow(since);
}

if (trial && !trial.hasAttribute("data-over")) follow(Date.now());
