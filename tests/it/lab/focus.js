// The element that has the focus: which it is, and what is wrong with how it shows that. Argument: none.
const element = document.activeElement;
if (!element || element === document.body || element === document.documentElement) return null;
const box = element.getBoundingClientRect();
const style = getComputedStyle(element);
const words = (element.innerText || element.name || "").trim().replace(/\s+/g, " ").slice(0, 40);
const name = element.id ? `${element.localName}#${element.id}` : `${element.localName} "${words}"`;
let wrong = "";
// A field for a date shows in its own parts where the focus is.
if (/^(date|time|month|week)/.test(element.type || "")) wrong = "";
else if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 2) wrong = `outline: ${style.outline}`;
else if (box.width < 1 || box.height < 1) wrong = "it cannot be seen";
else if (box.bottom < 0 || box.top > innerHeight || box.right < 0 || box.left > innerWidth) wrong = "it is out of sight";
else {
  const ratio = contrast(rgba(style.outlineColor), behind(element.parentElement));
  if (ratio < 3) wrong = `its outline has a contrast of ${ratio.toFixed(2)}`;
}
return [name, wrong];
