// Where messages are written: sending, changing, completing names and commands, and telling that one is writing.

import { COMMANDS } from "./commands.js";
import { element, find } from "./dom.js";

/** The most that the server takes, in bytes. */
const LONGEST = 4096;
const TYPING_EVERY = 3_000;
const OFFERS = 8;

export class Composer {
  #session;
  #does;
  #text = find("#text");
  #list = find("#completions");
  #room;
  #edited = null;
  #offers = [];
  #chosen = 0;
  #toldTyping = 0;

  /** @param does {{said(text), changed(item, text), failed(error)}} */
  constructor(session, does) {
    this.#session = session;
    this.#does = does;
    this.#room = session.current;
    session.on("shown", (room) => this.#show(room));
    find("#composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    find("#editing button").addEventListener("click", () => this.#stopEditing());
    this.#text.addEventListener("input", () => this.#written());
    this.#text.addEventListener("keydown", (event) => this.#pressed(event));
    this.#text.addEventListener("blur", () => this.#offer([]));
    this.#list.addEventListener("pointerdown", (event) => {
      event.preventDefault(); // The text keeps the focus.
      const at = [...this.#list.children].indexOf(event.target.closest("li"));
      if (at >= 0) this.#complete(at);
    });
  }

  focus() {
    this.#text.focus();
  }

  /** Puts a text where the cursor is. */
  insert(text) {
    this.#text.setRangeText(text, this.#text.selectionStart, this.#text.selectionEnd, "end");
    this.#written();
    this.focus();
  }

  edit(item) {
    if (!this.#edited) this.#room.draft = this.#text.value;
    this.#edited = item;
    find("#editing").hidden = false;
    this.#set(item.text);
    this.focus();
  }

  #stopEditing() {
    this.#edited = null;
    find("#editing").hidden = true;
    this.#set(this.#room.draft);
    this.focus();
  }

  /** Each room has its own draft. */
  #show(room) {
    if (this.#edited) this.#stopEditing();
    this.#room.draft = this.#text.value;
    this.#room = room;
    this.#set(room.draft);
  }

  #set(text) {
    this.#text.value = text;
    this.#offer([]);
    this.#grow();
  }

  async #submit() {
    const text = this.#text.value.trim();
    if (!text) return this.#edited && this.#stopEditing();
    const bytes = new TextEncoder().encode(text).length;
    if (bytes > LONGEST) return this.#does.failed(new Error(`A message has at most ${LONGEST} bytes, and this one has ${bytes}.`));
    const item = this.#edited;
    this.#room.draft = "";
    if (item) this.#stopEditing();
    else this.#set("");
    try {
      await (item ? this.#does.changed(item, text) : this.#does.said(text));
    } catch (error) {
      this.#does.failed(error);
      // What could not be done is given back, unless the next thing is being written.
      if (!this.#text.value) this.#set(text);
    }
  }

  #written() {
    this.#grow();
    this.#offer(this.#found());
    const text = this.#text.value;
    const isSaid = text && !text.startsWith("/") && !this.#edited;
    if (!isSaid || !this.#session.isIn(this.#room) || Date.now() - this.#toldTyping < TYPING_EVERY) return;
    this.#toldTyping = Date.now();
    this.#session.send({ do: "typing", room: this.#session.address(this.#room) });
  }

  /** As high as its text, up to what chat.css allows. */
  #grow() {
    this.#text.style.height = "auto";
    this.#text.style.height = `${this.#text.scrollHeight + 2}px`;
  }

  #pressed(event) {
    if (event.isComposing) return;
    if (this.#offers.length && this.#moved(event)) return event.preventDefault();
    if (event.key === "Tab" && !event.shiftKey && this.#tab()) return event.preventDefault();
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      this.#submit();
    }
    if (event.key === "Escape" && this.#edited) this.#stopEditing();
    if (event.key === "ArrowUp" && !this.#text.value && !this.#edited) {
      const last = this.#room.lastOf(this.#session.me.name);
      if (last) {
        event.preventDefault();
        this.edit(last);
      }
    }
  }

  #moved({ key, shiftKey }) {
    const count = this.#offers.length;
    if (key === "ArrowDown" || key === "ArrowUp") {
      this.#chosen = (this.#chosen + (key === "ArrowDown" ? 1 : count - 1)) % count;
      this.#mark();
    } else if (key === "Enter" && this.#offers[this.#chosen].text.trim() === this.#word()) {
      // It is written out already: Enter is for the message.
      return false;
    } else if ((key === "Enter" || key === "Tab") && !shiftKey) {
      this.#complete(this.#chosen);
    } else if (key === "Escape") {
      this.#offer([]);
    } else {
      return false;
    }
    return true;
  }

  /** Tab completes a name without its `@` as well. */
  #tab() {
    const found = this.#names(this.#word().replace(/^@/, ""), this.#word());
    if (!this.#word() || found.length === 0) return false;
    this.#offer(found);
    if (found.length === 1) this.#complete(0);
    return true;
  }

  /** What stands before the cursor, back to the last space. */
  #word() {
    return this.#text.value.slice(0, this.#text.selectionStart).match(/\S*$/)[0];
  }

  #found() {
    const [text, word] = [this.#text.value, this.#word()];
    if (text.startsWith("/") && word === text) {
      const found = COMMANDS.filter(({ name }) => name.startsWith(word.slice(1).toLowerCase()));
      return found.map(({ name, form, help }) => ({ text: `/${name} `, shown: form, about: help, length: word.length }));
    }
    return word.startsWith("@") ? this.#names(word.slice(1), word) : [];
  }

  #names(begin, word) {
    const names = [...this.#room.people.keys()].filter((name) => name.toLowerCase().startsWith(begin.toLowerCase()));
    const [isFirst, isMentioned] = [word === this.#text.value, word.startsWith("@")];
    const written = (name) => (isMentioned ? `@${name} ` : `${name}${isFirst ? ": " : " "}`);
    return names
      .filter((name) => name !== this.#session.me.name)
      .sort((a, b) => a.localeCompare(b))
      .slice(0, OFFERS)
      .map((name) => ({ text: written(name), shown: name, about: "", length: word.length }));
  }

  #offer(offers) {
    this.#offers = offers;
    this.#chosen = 0;
    this.#list.hidden = offers.length === 0;
    this.#text.setAttribute("aria-expanded", `${offers.length > 0}`);
    this.#list.replaceChildren(
      ...offers.map(({ shown, about }, at) =>
        element("li", { id: `completion-${at}`, role: "option" }, element("bdi", {}, shown), about && element("small", {}, about)),
      ),
    );
    this.#mark();
  }

  #mark() {
    [...this.#list.children].forEach((line, at) => line.setAttribute("aria-selected", `${at === this.#chosen}`));
    const line = this.#list.children[this.#chosen];
    line?.scrollIntoView({ block: "nearest" });
    if (line) this.#text.setAttribute("aria-activedescendant", line.id);
    else this.#text.removeAttribute("aria-activedescendant");
  }

  #complete(at) {
    const { text, length } = this.#offers[at];
    const to = this.#text.selectionStart;
    this.#text.setRangeText(text, to - length, to, "end");
    this.#written();
  }
}
