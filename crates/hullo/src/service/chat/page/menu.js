// A menu that opens at a button: the arrows go through it, Escape closes it, and the focus goes back to where it was.

import { element, find } from "./dom.js";

const menu = find("#menu");
let opener = null;

menu.addEventListener("keydown", (event) => {
  const items = [...menu.querySelectorAll("button")];
  const at = items.indexOf(document.activeElement);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
  if (event.key === "Tab") menu.hidePopover();
  if (to === undefined) return;
  event.preventDefault();
  items[(to + items.length) % items.length].focus();
});

menu.addEventListener("toggle", ({ newState }) => {
  if (newState !== "closed") return;
  if (menu.contains(document.activeElement) || document.activeElement === document.body) opener?.focus();
});

/** Opens it with those lines: `{ label, act, isGrave, isOffered }`. */
export function openMenu(at, title, lines) {
  opener = at;
  const items = lines
    .filter(({ isOffered = true }) => isOffered)
    .map(({ label, act, isGrave }) =>
      element("button", { type: "button", role: "menuitem", tabIndex: -1, className: isGrave ? "grave" : "", onclick: () => chosen(act) }, label),
    );
  menu.setAttribute("aria-label", title);
  menu.replaceChildren(element("p", { "aria-hidden": "true", dir: "auto" }, title), ...items);
  menu.showPopover();
  place(at);
  items[0]?.focus();
}

function chosen(act) {
  menu.hidePopover();
  act();
}

function place(at) {
  const [box, own] = [at.getBoundingClientRect(), menu.getBoundingClientRect()];
  const [width, height] = [document.documentElement.clientWidth, document.documentElement.clientHeight];
  const below = box.bottom + 4;
  menu.style.left = `${Math.max(8, Math.min(box.left, width - own.width - 8))}px`;
  menu.style.top = `${below + own.height + 8 < height ? below : Math.max(8, box.top - own.height - 4)}px`;
}
