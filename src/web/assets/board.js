// Clocks that run and times in the viewer's zone, on every page; on the live board also rows that change when the server says
// so. Without this script the pages are whole, and the board loads itself anew now and then.
"use strict";

const board = document.getElementById("board");
const rows = document.getElementById("rows");
const mark = document.getElementById("mark");

/** How far the database's clock is ahead of ours, in milliseconds. */
let ahead = 0;

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

function show(state, text) {
  if (mark.className === `mark ${state}`) return;
  mark.className = `mark ${state}`;
  mark.textContent = text;
}

/** The elements of a piece of HTML. */
function parsed(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

/** Puts the changes in: only rows that differ are touched, so that nothing flickers and a selection stays. */
function apply(answer) {
  ahead = answer.now - Date.now();
  board.dataset.revision = answer.revision;
  const head = document.getElementById("head");
  const fresh = document.createElement("div");
  fresh.append(parsed(answer.head));
  const sentence = head.querySelector("h1");
  // Replaced as a whole it would be read out at each change.
  if (sentence.textContent !== fresh.querySelector("h1").textContent) {
    sentence.replaceChildren(...fresh.querySelector("h1").childNodes);
  }
  const focus = head.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  head.querySelector(".lede").replaceWith(fresh.querySelector(".lede"));
  head.querySelector(".totals").replaceWith(fresh.querySelector(".totals"));
  if (focus) head.querySelector(`a[href="${CSS.escape(focus)}"]`)?.focus();

  for (const [id, html] of Object.entries(answer.rows)) {
    const row = parsed(html).firstElementChild;
    const old = document.getElementById(id);
    if (old) old.replaceWith(row);
    else rows.append(row);
    row.classList.add("fresh");
  }
  let place = rows.firstElementChild;
  for (const id of answer.order) {
    const row = document.getElementById(id);
    if (!row) continue;
    if (row === place) place = place.nextElementSibling;
    else rows.insertBefore(row, place);
  }
  while (place) {
    const next = place.nextElementSibling;
    place.remove();
    place = next;
  }
  document.getElementById("empty").hidden = answer.order.length > 0;
  tick();
}

let fetching = false;
let again = false;

/** Fetches what has changed; what changes meanwhile is fetched after that. */
async function refresh() {
  if (fetching) {
    again = true;
    return;
  }
  fetching = true;
  try {
    const query = new URLSearchParams(location.search);
    query.set("since", board.dataset.revision);
    const answer = await fetch(`/rows?${query}`, { headers: { accept: "application/json" }, redirect: "manual" });
    if (answer.type === "opaqueredirect") {
      location.reload();
      return;
    }
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    apply(await answer.json());
    show("live", "live");
  } catch {
    show("lost", "reconnecting");
    // The next event, the next connection or the poll tries again.
  } finally {
    fetching = false;
    if (again) {
      again = false;
      setTimeout(refresh, 250);
    }
  }
}

let source = null;

function connect() {
  if (source || document.hidden) return;
  source = new EventSource("/events");
  source.addEventListener("changed", (event) => {
    if (event.data === board.dataset.revision) show("live", "live");
    else refresh();
  });
  source.addEventListener("blind", () => show("lost", "database away"));
  source.addEventListener("over", () => location.reload());
  source.addEventListener("error", () => {
    show("lost", "reconnecting");
    // A refusal ends the source for good; the poll then keeps the page current and tries again.
    if (source && source.readyState === EventSource.CLOSED) {
      source = null;
    }
  });
}

tick();
setInterval(tick, 1000);

if (board) {
  ahead = Number(board.dataset.now) - Date.now();
  tick();
  connect();
  // What nobody looks at needs no connection: browsers have few of them for each site.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      source?.close();
      source = null;
    } else {
      connect();
      refresh();
    }
  });
  setInterval(() => {
    if (document.hidden) return;
    if (!source) {
      refresh();
      connect();
    }
  }, 10000);
}
