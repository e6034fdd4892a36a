// Looking for what was said in a room: what is found is listed, and leads to where it was said.

import { announce, element, find } from "./dom.js";
import { timeOf } from "./message.js";

const WAIT = 250;
const PAGE = 50;

export class Search {
  #session;
  #log;
  #panel = find("#search");
  #input = find("#search input");
  #results = find("#results");
  #opener = find("#open-search");
  #timer = 0;
  #asked = "";
  #before;

  constructor(session, log) {
    this.#session = session;
    this.#log = log;
    this.#opener.addEventListener("click", () => (this.#panel.hidden ? this.open() : this.close()));
    find("button", this.#panel).addEventListener("click", () => this.close());
    this.#panel.addEventListener("keydown", ({ key }) => key === "Escape" && this.close());
    find("form", this.#panel).addEventListener("submit", (event) => {
      event.preventDefault();
      this.#ask();
    });
    this.#input.addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#ask(), WAIT);
    });
    find("#find-more").addEventListener("click", () => this.#more());
    session.on("shown", () => this.#panel.hidden || this.#ask());
  }

  open(words = this.#input.value) {
    this.#panel.hidden = false;
    this.#opener.setAttribute("aria-expanded", "true");
    this.#input.value = words;
    this.#input.focus();
    this.#input.select();
    this.#ask();
  }

  close() {
    this.#panel.hidden = true;
    this.#opener.setAttribute("aria-expanded", "false");
    this.#opener.focus();
  }

  #ask() {
    clearTimeout(this.#timer);
    this.#before = undefined;
    this.#asked = this.#input.value.trim();
    this.#results.replaceChildren();
    find("#found").textContent = "";
    find("#find-more").hidden = true;
    return this.#asked && this.#more();
  }

  async #more() {
    const [words, room] = [this.#asked, this.#session.current];
    const request = { do: "search", room: this.#session.address(room), text: words, before: this.#before, limit: PAGE };
    try {
      const { messages, more } = await this.#session.ask(request);
      if (words !== this.#asked || room !== this.#session.current) return; // Something else is looked for by now.
      this.#before = messages[0]?.id;
      // The newest are the most likely to be meant.
      this.#results.append(...messages.reverse().map((item) => this.#result(room, item)));
      find("#find-more").hidden = !more;
      const count = this.#results.childElementCount;
      find("#found").textContent = count === 0 ? "Nothing was found." : `${count}${more ? " or more" : ""} found`;
    } catch (error) {
      find("#found").textContent = error.message;
    }
  }

  #result(room, item) {
    const jump = async () => {
      const isShown = await this.#log.jump(item.id, item.uid);
      if (!isShown) announce("That message is too far back to be shown.");
      find("#found").textContent = isShown ? "" : "That message is too far back to be shown.";
    };
    return element("li", {}, element("button", { type: "button", onclick: jump },
      element("span", { className: "head" }, element("bdi", {}, item.from), element("time", {}, timeOf(item))),
      element("span", { className: "text", dir: "auto" }, item.text),
    ));
  }
}
