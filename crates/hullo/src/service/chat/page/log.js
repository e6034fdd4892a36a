// The messages of the room that is shown: a window of lines onto what we have of it. However long a room is, the page
// has no more than these elements; they change at most once a frame, and not at all while nobody sees them.

import { element, find, iconButton } from "./dom.js";
import { line, shape } from "./message.js";

const LINES = 240;
const STEP = 80;
/** So near to an end, in pixels, more is put there. */
const NEAR = 600;
const AT_END = 48;

export class Log {
  #session;
  #does;
  #scroller = find("#scroller");
  #list = find("#log");
  #toEnd = find("#to-end");
  #tools = element("span", { className: "tools" });
  /** The first and the last item of the window; null is the end of the log. */
  #head = null;
  #tail = null;
  #isAtEnd = true;
  #room = null;
  #lines = new WeakMap();
  #items = new WeakMap();
  #frame = 0;

  /** @param does {{edit(item), delete(item), again(item), menu(name, element)}} */
  constructor(session, does) {
    this.#session = session;
    this.#does = does;
    session.on("log", (room) => room === this.#room && this.#soon());
    session.on("shown", (room) => this.#show(room));
    session.on("me", () => this.#afresh());
    this.#scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => this.#isAtEnd && this.#scrollToEnd()).observe(this.#scroller);
    document.addEventListener("visibilitychange", () => this.#soon());
    addEventListener("focus", () => this.#soon());
    this.#toEnd.addEventListener("click", () => this.toEnd());
    this.#scroller.addEventListener("keydown", (event) => this.#pressed(event));
    for (const kind of ["pointerover", "focusin"]) this.#list.addEventListener(kind, ({ target }) => this.#offer(target));
    this.#list.addEventListener("click", ({ target }) => {
      const from = target.closest(".from");
      if (from) this.#does.menu(from.textContent, from);
    });
    this.#show(session.current);
  }

  /** Whether the person sees what is said in the room as it is said. */
  watches(room) {
    return room === this.#room && this.#isAtEnd && this.#tail === null && !document.hidden && document.hasFocus();
  }

  toEnd() {
    this.#head = this.#tail = null;
    this.#isAtEnd = true;
    this.#render();
    this.#scrollToEnd();
  }

  /** Shows a message, after those between were asked for. Tells whether it could be found. */
  async jump(id, uid) {
    const room = this.#room;
    // As many pages as one may wait for: 20,000 messages.
    for (let page = 0; page < 40 && room.more && !(room.oldest <= id); page++) await this.#session.earlier(room, 500);
    const item = room.find(uid);
    if (!item || room !== this.#room) return false;
    this.#around(item);
    const shown = this.#lines.get(item);
    shown.scrollIntoView({ block: "center" });
    shown.focus({ preventScroll: true });
    shown.classList.add("found");
    shown.addEventListener("animationend", () => shown.classList.remove("found"), { once: true });
    return true;
  }

  #show(room) {
    this.#room = room;
    this.#lines = new WeakMap();
    this.#list.replaceChildren();
    this.#head = this.#tail = null;
    this.#isAtEnd = true;
    if (room.unread && room.items.includes(room.firstUnread)) {
      this.#around(room.firstUnread);
      this.#lines.get(room.firstUnread).scrollIntoView({ block: "start" });
      this.#scrolled();
    } else {
      room.firstUnread = null;
      this.toEnd();
    }
  }

  #around(item) {
    const { items } = this.#room;
    const at = items.indexOf(item);
    this.#head = items[Math.max(0, at - LINES / 2)];
    this.#tail = items[at + LINES / 2] ?? null;
    this.#isAtEnd = false;
    this.#render();
  }

  #afresh() {
    this.#lines = new WeakMap();
    this.#soon();
  }

  /** There are no frames in a page that is hidden: what comes meanwhile is put there at once when it is shown. */
  #soon() {
    this.#frame ||= requestAnimationFrame(() => this.#render());
  }

  #window() {
    const { items } = this.#room;
    let to = this.#tail ? items.lastIndexOf(this.#tail) + 1 : items.length;
    let from = this.#head ? items.indexOf(this.#head) : to - LINES;
    // What was in the window may have been let go.
    if (to === 0 || from < 0) [from, to] = [items.length - LINES, items.length];
    if (this.#isAtEnd) [from, to] = [Math.max(from, items.length - LINES), items.length];
    // A reader in the middle keeps the place, however much is said below.
    return [Math.max(0, from), Math.min(to, Math.max(0, from) + LINES + STEP)];
  }

  #render() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const room = this.#room;
    if (this.#isAtEnd) room.prune();
    const { items } = room;
    const [from, to] = this.#window();
    this.#head = items[from] ?? null;
    this.#tail = to < items.length ? items[to - 1] : null;
    const keep = this.#isAtEnd ? null : this.#anchor();
    this.#fill(from, to);
    if (keep) this.#scroller.scrollTop += keep.made.getBoundingClientRect().top - keep.top;
    else this.#scrollToEnd();
    this.#after();
  }

  /** Brings the elements into line with the window. Those that are right already are not touched. */
  #fill(from, to) {
    const { items, firstUnread } = this.#room;
    let at = this.#list.firstChild;
    for (let index = from; index < to; index++) {
      const made = this.#line(items[index], items[index - 1], items[index] === firstUnread);
      if (made === at) at = at.nextSibling;
      else this.#list.insertBefore(made, at);
    }
    while (at) {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    }
  }

  #line(item, before, isFirstUnread) {
    const wanted = shape(item, before, isFirstUnread);
    const there = this.#lines.get(item);
    if (there && item.shape === wanted.key) return there;
    const made = line(item, wanted, this.#session);
    // The old element goes when the window is filled, but the focus should not go with it.
    if (there?.contains(document.activeElement)) queueMicrotask(() => made.focus({ preventScroll: true }));
    item.shape = wanted.key;
    this.#lines.set(item, made);
    this.#items.set(made, item);
    return made;
  }

  /** The first line that is to be seen, and where it is. */
  #anchor() {
    const top = this.#scroller.getBoundingClientRect().top;
    for (const made of this.#list.children) {
      const box = made.getBoundingClientRect();
      if (box.bottom > top) return { made, top: box.top };
    }
    return null;
  }

  #scrollToEnd() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  #scrolled() {
    this.#isAtEnd = this.#tail === null && this.#below() < AT_END;
    this.#after();
  }

  #below() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    return scrollHeight - clientHeight - scrollTop;
  }

  #moreAbove() {
    const { items } = this.#room;
    const from = items.indexOf(this.#head);
    if (from <= 0) return void this.#session.earlier(this.#room);
    this.#head = items[Math.max(0, from - STEP)];
    this.#tail = items[Math.max(0, from - STEP) + LINES] ?? null;
    this.#soon();
  }

  #moreBelow() {
    const { items } = this.#room;
    const to = Math.min(items.length, items.lastIndexOf(this.#tail) + 1 + STEP);
    this.#head = items[Math.max(0, to - LINES)];
    this.#tail = to < items.length ? items[to - 1] : null;
    this.#soon();
  }

  #after() {
    const room = this.#room;
    const { scrollTop, clientHeight } = this.#scroller;
    const below = this.#below();
    if (this.watches(room) && room.last) this.#session.read(room);
    this.#toEnd.hidden = this.#tail === null && below < clientHeight / 2;
    find("span", this.#toEnd).textContent = room.unread ? `${room.unread} new` : "Newest";
    // Not only when one scrolls: what is shorter than the window cannot be scrolled.
    const isAtStart = room.items.indexOf(this.#head) <= 0;
    if (scrollTop < NEAR && (isAtStart || !this.#isAtEnd)) this.#moreAbove();
    if (below < NEAR && this.#tail) this.#moreBelow();
  }

  /** The arrows go from message to message, and Tab then to what can be done with it. */
  #pressed(event) {
    const at = event.target.closest("li");
    const steps = { ArrowUp: "previousElementSibling", ArrowDown: "nextElementSibling" };
    if (event.key === "Escape") return find("#text").focus();
    if (event.key === "End" || event.key === "Home") return this.#edge(event);
    if (!steps[event.key] || event.target.closest(".tools")) return;
    event.preventDefault();
    (at ? at[steps[event.key]] : this.#list.lastElementChild)?.focus();
  }

  #edge(event) {
    event.preventDefault();
    if (event.key === "End") this.toEnd();
    (event.key === "End" ? this.#list.lastElementChild : this.#list.firstElementChild)?.focus();
  }

  /** There is one set of buttons, which comes to the message that one points at. */
  #offer(target) {
    const made = target.closest("li");
    const item = made && this.#items.get(made);
    if (!item || made.contains(this.#tools)) return;
    const buttons = this.#buttons(item);
    this.#tools.replaceChildren(...buttons);
    if (buttons.length) made.lastChild.append(this.#tools);
    else this.#tools.remove();
  }

  #buttons(item) {
    if (item.kind !== "message" || item.deleted) return [];
    const isOwn = item.from === this.#session.me.name;
    const does = this.#does;
    const all = [
      [item.state === "failed", "retry", "Send again", () => does.again(item)],
      [isOwn && !item.state, "edit", "Edit", () => does.edit(item)],
      [item.state === "failed" || ((isOwn || this.#room.operator) && !item.state), "delete", "Delete", () => does.delete(item)],
    ];
    return all.filter(([offered]) => offered).map(([, name, label, act]) => iconButton(name, label, act));
  }
}
