// The live board: rows that change when the server says so. Without this script the board loads itself anew now and then.
// The clocks are in clock.js, which is loaded first.
"use strict";

const board = document.getElementById("board");
const rows = document.getElementById("rows");
const mark = document.getElementById("mark");

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
