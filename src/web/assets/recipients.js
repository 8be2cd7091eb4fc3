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
