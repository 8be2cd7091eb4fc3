// What is wrong with the page that is shown, after WCAG 2.2 AA: a list of sentences. Argument: the width it was given.
const width = Number(arguments[0]);
const wrong = [];
const all = (css, root = document) => Array.from(root.querySelectorAll(css));
const say = (element, what) => wrong.push(`${named(element)}: ${what}`);

function named(element) {
  if (!(element instanceof Element)) return "page";
  const id = element.id ? `#${element.id}` : "";
  const classes = element.classList.length ? `.${Array.from(element.classList).join(".")}` : "";
  const words = (element.textContent || "").trim().replace(/\s+/g, " ").slice(0, 30);
  return `<${element.localName}${id}${classes}> "${words}"`;
}

/** Whether sighted people get to see it. */
function isSeen(element) {
  if (!element.checkVisibility({ visibilityProperty: true, opacityProperty: false })) return false;
  for (let e = element; e; e = e.parentElement) {
    if (getComputedStyle(e).clipPath === "inset(50%)") return false;
  }
  const box = element.getBoundingClientRect();
  return box.width > 0 && box.height > 0 && box.bottom + scrollY > 0;
}

/** Whether assistive technology gets to know it. */
const isTold = (element) => element.checkVisibility({ visibilityProperty: true }) && !element.closest("[aria-hidden=true]");

/** The words that assistive technology reads; what it is not told is not among them. */
function spoken(element) {
  let text = "";
  for (const node of element.childNodes) {
    if (node.nodeType === Node.TEXT_NODE) text += node.textContent;
    else if (node instanceof Element && node.getAttribute("aria-hidden") !== "true") text += nameOf(node) || spoken(node);
  }
  return text.trim();
}

function nameOf(element) {
  const by = (element.getAttribute("aria-labelledby") || "").split(/\s+/).filter(Boolean);
  const text = by.map((id) => document.getElementById(id)?.textContent || "").join(" ");
  const title = element instanceof SVGElement ? element.querySelector(":scope > title")?.textContent : element.getAttribute("title");
  return (text || element.getAttribute("aria-label") || element.getAttribute("alt") || title || "").trim();
}

// --- Structure -------------------------------------------------------------------------------------------------------

if (!document.documentElement.lang) say(null, "it has no language");
if (!document.title.trim()) say(null, "it has no title");
if (/user-scalable\s*=\s*no|maximum-scale/.test(document.querySelector("meta[name=viewport]")?.content || "")) say(null, "it cannot be zoomed");
if (all("main").length !== 1) say(null, `${all("main").length} elements are main`);
const headings = all("h1, h2, h3, h4, h5, h6").filter(isTold);
if (headings.filter((h) => h.localName === "h1").length !== 1) say(null, "not one h1");
let level = 0;
for (const heading of headings) {
  const next = Number(heading.localName[1]);
  if (next > level + 1) say(heading, `follows a heading of level ${level}`);
  if (!spoken(heading)) say(heading, "is empty");
  level = next;
}
const ids = new Set();
for (const element of all("[id]")) {
  if (ids.has(element.id)) say(element, "its id is there twice");
  ids.add(element.id);
}
for (const attribute of ["aria-describedby", "aria-labelledby", "aria-controls", "aria-owns", "for", "list", "headers"]) {
  for (const element of all(`[${attribute}]`)) {
    for (const id of element.getAttribute(attribute).split(/\s+/)) {
      if (!document.getElementById(id)) say(element, `${attribute} names ${id}, which is not there`);
    }
  }
}
for (const link of all("a[href^='#']")) {
  const target = document.getElementById(link.getAttribute("href").slice(1));
  if (!target) say(link, "leads nowhere");
}
for (const element of all("[tabindex]")) if (element.tabIndex > 0) say(element, "has a place of its own in the order of Tab");
for (const list of all("ul, ol")) for (const item of list.children) if (item.localName !== "li") say(item, "is in a list and no item");

// --- Names -----------------------------------------------------------------------------------------------------------

for (const field of all("input:not([type=hidden]), select, textarea").filter(isTold)) {
  const labels = Array.from(field.labels || []).map((label) => label.textContent.trim()).join("");
  if (!labels && !nameOf(field)) say(field, "has no label");
}
for (const element of all("a[href], button, summary, [role=button], [role=link]").filter(isTold)) {
  if (!spoken(element) && !nameOf(element)) say(element, "has no name");
}
for (const image of all("img, svg, canvas").filter((image) => !image.closest("[aria-hidden=true]") && !image.parentElement.closest("svg"))) {
  if (!nameOf(image)) say(image, "is neither named nor hidden");
  else if (image.localName === "svg" && image.getAttribute("role") !== "img") say(image, "has a name and not the role img");
}
for (const element of all("[aria-label], [aria-labelledby]").filter(isTold)) {
  const generic = ["span", "div", "p", "small", "b", "i", "em", "strong", "code", "pre", "abbr"].includes(element.localName);
  if (generic && !element.hasAttribute("role")) say(element, "may not be named: it has no role");
}
for (const region of all("section[role=region], [role=region], nav, form[role=search]")) {
  if (region.getAttribute("role") === "region" && !nameOf(region)) say(region, "is a region without a name");
}
if (all("nav").length > 1) for (const nav of all("nav")) if (!nameOf(nav)) say(nav, "is one of several and has no name");
for (const table of all("table")) {
  for (const cell of all("th", table)) if (!["col", "row", "colgroup", "rowgroup"].includes(cell.getAttribute("scope"))) say(cell, "heads a table without scope");
  if (!all("th", table).length) say(table, "has no headings");
}
for (const frame of all("*").filter((e) => e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1)) {
  const style = getComputedStyle(frame);
  if (frame === document.documentElement || !/auto|scroll/.test(style.overflowX + style.overflowY)) continue;
  if (frame.matches("input, textarea, select") || !isSeen(frame)) continue;
  if (frame.tabIndex < 0 && !frame.querySelector("a[href], button, input, select, textarea")) say(frame, "scrolls, and not by keyboard");
}

// --- Colours ---------------------------------------------------------------------------------------------------------

function judge(element, colour, ground, needed, what) {
  const [r, g, b, a] = rgba(colour);
  const ratio = contrast(over([r, g, b, a * opacity(element)], ground), ground);
  if (ratio < needed) say(element, `${what} has a contrast of ${ratio.toFixed(2)}, not ${needed}`);
}

const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const judged = new Set();
while (texts.nextNode()) {
  const element = texts.currentNode.parentElement;
  if (!texts.currentNode.textContent.trim() || judged.has(element) || !isSeen(element)) continue;
  judged.add(element);
  if (element.closest("option, script, style, title, :disabled, [aria-disabled=true]")) continue;
  const style = getComputedStyle(element);
  const size = parseFloat(style.fontSize);
  const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  const colour = element instanceof SVGElement ? style.fill : style.color;
  judge(element, colour, behind(element), isLarge ? 3 : 4.5, "its text");
}
for (const field of all("input:not([type=hidden]), select, textarea").filter(isSeen)) {
  judge(field, getComputedStyle(field).color, behind(field), 4.5, "its text");
  if (field.placeholder) judge(field, getComputedStyle(field, "::placeholder").color, behind(field), 4.5, "its placeholder");
  const style = getComputedStyle(field);
  const isDrawn = parseFloat(style.borderTopWidth) > 0 && !["checkbox", "radio"].includes(field.type);
  if (isDrawn) judge(field, style.borderTopColor, behind(field.parentElement), 3, "its border");
}
for (const path of all("svg [class], .chip svg path").filter((path) => isSeen(path.ownerSVGElement || path))) {
  const style = getComputedStyle(path);
  if (path.closest(".axis, .grid, defs, text") || style.stroke === "none") continue;
  judge(path, style.stroke, behind(path.ownerSVGElement), 3, "its line");
}

// --- Space -----------------------------------------------------------------------------------------------------------

if (document.documentElement.scrollWidth > width) {
  const wide = all("body *").filter((e) => isSeen(e) && e.getBoundingClientRect().right > width + 1 && !e.closest(".scroll, pre"));
  say(wide[0], `the page is ${document.documentElement.scrollWidth} px wide, not ${width}`);
}
// A small target will do where no other lies within a circle of 24 px around it (2.5.8, spacing).
const targets = all("a[href], button, input:not([type=hidden]), select, textarea, summary").filter(isSeen);
const areas = targets.map((target) => {
  const area = target.labels?.length && ["checkbox", "radio"].includes(target.type) ? target.labels[0] : target;
  return area.getBoundingClientRect();
});
const isSmall = (box) => box.width < 24 || box.height < 24;
const middle = (box) => [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
function isCrowded(box) {
  const [x, y] = middle(box);
  return areas.some((other) => {
    if (other === box) return false;
    const [ox, oy] = middle(other);
    if (isSmall(other)) return Math.hypot(x - ox, y - oy) < 24;
    return Math.hypot(Math.max(other.left - x, 0, x - other.right), Math.max(other.top - y, 0, y - other.bottom)) < 12;
  });
}
for (const [place, target] of targets.entries()) {
  const box = areas[place];
  const siblings = Array.from(target.parentElement.childNodes).some((n) => n.nodeType === Node.TEXT_NODE && n.textContent.trim());
  const isInText = getComputedStyle(target).display === "inline" && siblings;
  if (!isInText && isSmall(box) && isCrowded(box)) {
    say(target, `is ${Math.round(box.width)} × ${Math.round(box.height)} px, too small for a finger`);
  }
}
return wrong;
