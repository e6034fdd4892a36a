// The dialog in which something is asked: one for all questions, since there is one at a time.

import { element, find } from "./dom.js";

const dialog = find("#ask");
const form = find("form", dialog);
const error = find(".error", dialog);

/**
 * Asks, and calls `does` with what was entered; if that fails, its reason is shown and the dialog stays.
 *
 * `fields` are inputs as `{ name, label, …properties }`, or `{ name, label, options: [[value, text]] }`; `others` are
 * further buttons, `{ label, act }`. Where `mustAnswer`, there is no way around it.
 */
export function ask({ title, about = "", fields = [], button, isGrave, others = [], mustAnswer = false, refusal, does }) {
  find("#ask-title").textContent = title;
  find(".about", dialog).textContent = about;
  find(".fields", dialog).replaceChildren(...fields.map(field));
  const main = button && element("button", { className: isGrave ? "grave main" : "main" }, button);
  const rest = others.map(({ label, act }) => element("button", { type: "button", onclick: () => act(dialog) }, label));
  const cancel = !mustAnswer && element("button", { type: "button", onclick: () => dialog.close() }, button ? "Cancel" : "Close");
  find(".others", dialog).replaceChildren(...rest);
  find(".buttons", dialog).replaceChildren(...[cancel, main].filter(Boolean));
  shows(refusal);
  dialog.oncancel = (event) => {
    if (mustAnswer) event.preventDefault();
  };
  form.onsubmit = (event) => {
    event.preventDefault();
    if (main) submit(main, does);
  };
  if (!dialog.open) dialog.showModal();
  const first = find("input, select", form) ?? main ?? find("button", form);
  first.focus();
  first.select?.();
}

export function close() {
  dialog.close();
}

async function submit(button, does) {
  shows();
  button.disabled = true;
  const title = find("#ask-title").textContent;
  try {
    await does(Object.fromEntries(new FormData(form)));
    // What it does may be to ask the next thing.
    if (find("#ask-title").textContent === title) dialog.close();
  } catch (reason) {
    shows(reason.message);
  } finally {
    button.disabled = false;
  }
}

function shows(text = "") {
  error.textContent = text;
  error.hidden = !text;
}

function field({ name, label, options, hint, ...properties }) {
  const input = options
    ? element("select", { name }, ...options.map(([value, text]) => element("option", { value }, text)))
    : element("input", { name, type: "text", dir: "auto", ...properties });
  return element("label", {}, element("span", {}, label), input, hint && element("small", {}, hint));
}

/** A list to choose from, below the fields. */
export function offer(lines) {
  find(".fields", dialog).append(element("ul", { className: "offers" }, ...lines));
}
