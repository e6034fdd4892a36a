// Small helpers to make elements. Texts become text nodes and never markup, whatever they say.

export const find = (selector, within = document) => within.querySelector(selector);

/** An element with properties (those with a dash are attributes) and children, which are nodes or texts. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name.includes("-") || name === "role") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

/** One of the drawings that the page defines. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

/** A button that shows a drawing, and has a name for those who do not see it. */
export function iconButton(name, label, onclick) {
  return element("button", { type: "button", className: "icon", title: label, "aria-label": label, onclick }, icon(name));
}

/** Somebody's mark: the first letter of the name, in a colour that stays theirs. */
export function face(name) {
  return paint(element("span", { className: "face", "aria-hidden": "true" }), name);
}

export function paint(span, name) {
  const letters = [...name.replace(/^[^\p{L}\p{N}]+/u, "")];
  span.textContent = (letters[0] ?? "?").toLocaleUpperCase();
  span.dataset.hue = hue(name);
  return span;
}

/** One of twelve colours; chat.css says which. */
function hue(name) {
  let sum = 0;
  for (const letter of name.toLowerCase()) sum = (sum * 31 + letter.codePointAt(0)) >>> 0;
  return sum % 12;
}

/** Says something to those who listen to the page instead of looking at it. */
export function announce(text) {
  const place = find("#announce");
  // Only the last few: somebody who comes back does not want to hear an hour of talk.
  if (place.childElementCount > 4) place.firstChild.remove();
  place.append(element("span", {}, `${text}\n`));
}

const TOAST = 8_000;

/** Shows a sentence for a while. */
export function toast(text, kind = "") {
  const place = find("#toasts");
  const shown = element("p", { className: kind, dir: "auto" }, text);
  if (place.childElementCount > 3) place.firstChild.remove();
  place.append(shown);
  setTimeout(() => shown.remove(), TOAST);
}
