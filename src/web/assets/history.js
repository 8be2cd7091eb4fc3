// The history of a recipient: times of the axis in the viewer's zone, a read-out of the picture, and new probes as they come.
// Without this script the page is as of its loading, and its times are UTC. The clocks are in clock.js, which is loaded first.
"use strict";

{
  const shown = () => document.getElementById("shown");
  const hint = "Point at the picture or use the arrow keys on it to read it; a click or Enter shows that time alone.";
  const timeOfDay = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
  const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
  const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  let part = -1;

  /** The axis in the viewer's zone: a line for a day moves to where the day begins there. */
  function localise(field) {
    const [from, to] = [Number(field.dataset.from), Number(field.dataset.to)];
    for (const tick of field.querySelectorAll(".tick")) {
      let at = Number(tick.dataset.at);
      if ("day" in tick.dataset && to - from > 86400000) at += new Date(at).getTimezoneOffset() * 60000;
      const share = `${(100 * (at - from)) / (to - from)}%`;
      const [line, text] = [tick.querySelector("line"), tick.querySelector("text")];
      line.setAttribute("x1", share);
      line.setAttribute("x2", share);
      text.setAttribute("x", share);
      const midnight = new Date(at).getHours() === 0 && new Date(at).getMinutes() === 0;
      if (to - from <= 300 * 86400000) text.textContent = (midnight || (to - from > 8 * 86400000) ? day : timeOfDay).format(at);
      if (at < from || at > to) tick.setAttribute("display", "none");
    }
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    document.getElementById("zone").textContent = `Times are of ${zone}.`;
  }

  /** Shows what a part of the strip holds. */
  function read(field, number) {
    const strip = document.getElementById("strip");
    const parts = strip.viewBox.baseVal.width;
    part = Math.max(0, Math.min(parts - 1, number));
    const [from, to] = [Number(field.dataset.from), Number(field.dataset.to)];
    const [start, end] = [part, part + 1].map((at) => from + ((to - from) * at) / parts);
    strip.querySelector(".lit")?.classList.remove("lit");
    const lit = strip.querySelector(`[data-part="${part}"]`);
    lit?.classList.add("lit");
    const title = lit?.querySelector("title").textContent ?? "";
    const words = lit ? title.slice(title.indexOf(": ") + 2) : "no probe";
    document.getElementById("readout").textContent = `${moment.format(start)} to ${moment.format(end)}: ${words}`;
    const cross = document.getElementById("cross");
    cross.removeAttribute("display");
    for (const x of ["x1", "x2"]) cross.setAttribute(x, `${(100 * (part + 0.5)) / parts}%`);
    return { start, end };
  }

  function leave() {
    document.getElementById("cross")?.setAttribute("display", "none");
    document.querySelector("#strip .lit")?.classList.remove("lit");
  }

  function zoom(field) {
    const { start, end } = read(field, part);
    const query = new URLSearchParams(location.search);
    for (const name of ["range", "before", "after"]) query.delete(name);
    query.set("from", `${new Date(start).toISOString().slice(0, 19)}Z`);
    query.set("to", `${new Date(end).toISOString().slice(0, 19)}Z`);
    location.search = query;
  }

  function prepare() {
    const field = document.getElementById("field");
    if (!field) return;
    const strip = document.getElementById("strip");
    localise(field);
    document.getElementById("readout").textContent = hint;
    const parts = strip.viewBox.baseVal.width;
    for (const picture of [field, strip]) {
      const under = (event) => {
        const box = picture.getBoundingClientRect();
        return Math.floor((parts * (event.clientX - box.left)) / box.width);
      };
      picture.addEventListener("pointermove", (event) => read(field, under(event)));
      picture.addEventListener("pointerleave", leave);
      picture.addEventListener("click", (event) => {
        read(field, under(event));
        zoom(field);
      });
    }
    field.setAttribute("tabindex", "0");
    document.getElementById("readout").setAttribute("aria-live", "polite");
    field.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[event.key];
      if (step) read(field, (part < 0 ? parts : part) + step);
      else if (event.key === "Home") read(field, 0);
      else if (event.key === "End") read(field, parts - 1);
      else if (event.key === "Enter" && part >= 0) zoom(field);
      else if (event.key === "Escape") leave();
      else return;
      event.preventDefault();
    });
    field.addEventListener("blur", leave);
  }

  /** Whether somebody is at work on what would be replaced. */
  const isBusy = () =>
    shown().contains(document.activeElement) || shown().matches(":hover") || !(getSelection()?.isCollapsed ?? true);

  let last = 0;
  let waiting = 0;

  /** Fetches the page anew and takes what it shows, if that is something else. */
  async function refresh() {
    waiting = 0;
    last = Date.now();
    try {
      const answer = await fetch(location.href, { redirect: "manual" });
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("shown");
      if (!fresh || fresh.dataset.stamp === shown().dataset.stamp) return;
      if (isBusy()) {
        const again = document.createElement("a");
        again.href = location.href;
        again.textContent = "New probes: show them";
        document.getElementById("mark")?.replaceChildren(again);
        return;
      }
      shown().replaceWith(fresh);
      prepare();
      tick();
    } catch {
      // The next event tries again.
    }
  }

  /** At most every five seconds. */
  function plan() {
    if (waiting || document.hidden) return;
    waiting = setTimeout(refresh, Math.max(500, 5000 - (Date.now() - last)));
  }

  prepare();
  if (shown() && "live" in shown().dataset) {
    let source = null;
    const connect = () => {
      if (source || document.hidden) return;
      source = new EventSource("/events");
      source.addEventListener("changed", plan);
      source.addEventListener("over", () => location.reload());
      source.addEventListener("error", () => {
        if (source && source.readyState === EventSource.CLOSED) source = null;
      });
    };
    connect();
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) {
        source?.close();
        source = null;
      } else {
        connect();
        plan();
      }
    });
  }
}
