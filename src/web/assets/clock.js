// On every page: clocks that run, and times in the viewer's zone. Without it they show UTC, as of the moment of loading.
"use strict";

/** How far the server's clock is ahead of ours, in milliseconds. */
let ahead = Number(document.body.dataset.now) - Date.now();

const now = () => Date.now() + ahead;

/** A duration in its largest unit, as the server writes it. */
function span(seconds) {
  if (seconds < 100) return `${seconds}\u00a0s`;
  if (seconds < 5400) return `${Math.floor((seconds + 30) / 60)}\u00a0min`;
  if (seconds < 129600) return `${Math.floor((seconds + 1800) / 3600)}\u00a0h`;
  return `${Math.floor((seconds + 43200) / 86400)}\u00a0days`;
}

function countdown(seconds) {
  if (seconds < 1) return "now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  return span(seconds);
}

const today = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const anyDay = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** In the viewer's zone; the exact time in UTC stays in the title. */
function clock(at) {
  const near = Math.abs(now() - at) < 12 * 3600 * 1000;
  return (near ? today : anyDay).format(at);
}

function tick() {
  for (const time of document.querySelectorAll("time[datetime]")) {
    const at = Date.parse(time.dateTime);
    let text = null;
    if ("ago" in time.dataset) text = `${span(Math.max(0, Math.floor((now() - at) / 1000)))} ago`;
    else if ("until" in time.dataset) text = countdown(Math.max(0, Math.ceil((at - now()) / 1000)));
    else if ("clock" in time.dataset && !time.dataset.done) {
      text = clock(at);
      time.title = time.dateTime;
      time.dataset.done = "1";
    }
    if (text !== null && time.textContent !== text) time.textContent = text;
  }
}

tick();
setInterval(tick, 1000);
