// What stands around the messages: the rooms, the people, the head of the room, and the state of the connection.

import { element, face, find, icon, paint } from "./dom.js";

/** Where there is room for the people beside the messages, as chat.css has it. */
const WIDE = matchMedia("(min-width: 64rem)");

/** Most connections are there before anybody could read that they are being made. */
const LATE = 500;
const DRAWERS = ["rooms", "people"];

export class Sides {
  #session;
  #does;
  #frame = 0;
  #count = 0;
  #late = 0;

  /** @param does {{person(name, element), self(), room(element)}} */
  constructor(session, does) {
    this.#session = session;
    this.#does = does;
    for (const kind of ["rooms", "shown", "room", "me", "typing"]) session.on(kind, () => this.#soon());
    session.on("state", (state) => this.#state(state));
    find("#self").addEventListener("click", () => does.self());
    find("#open-room").addEventListener("click", ({ currentTarget }) => does.room(currentTarget));
    find("#state button").addEventListener("click", () => session.connect());
    DRAWERS.forEach(drawer);
    WIDE.addEventListener("change", widened);
    widened();
    session.on("shown", () => shut("rooms"));
    this.#render();
  }

  #soon() {
    this.#frame ||= requestAnimationFrame(() => this.#render());
  }

  #render() {
    this.#frame = 0;
    const { current: room, me } = this.#session;
    this.#rooms();
    this.#people(room);
    find("#title").textContent = room.title;
    find("#topic").textContent = room.topic;
    find("#topic").title = room.topic;
    find("#closed").toggleAttribute("hidden", !room.closed);
    find("#count").textContent = room.count || "";
    find("#open-people").setAttribute("aria-label", `People: ${room.count}`);
    find("#text").placeholder = `Message ${room.title}`;
    find("#self .name").textContent = me.name || "…";
    find("#self small").textContent = me.account ? "account" : "guest";
    paint(find("#self .face"), me.name);
    this.#typing(room);
  }

  #rooms() {
    const all = [...this.#session.rooms.values()];
    const lines = (isPrivate) => all.filter((room) => room.isPrivate === isPrivate).map((room) => this.#room(room));
    const [open, conversations] = [lines(false), lines(true)];
    update(find("#room-list"), open);
    update(find("#private-list"), conversations);
    find("#private-title").hidden = conversations.length === 0;
    const unread = all.reduce((sum, room) => sum + (room === this.#session.current ? 0 : room.unread), 0);
    const badge = find("#open-rooms .badge");
    badge.hidden = unread === 0;
    badge.classList.toggle("mentioned", all.some((room) => room.mentions > 0));
    find("#open-rooms").setAttribute("aria-label", unread ? `Rooms, ${unread} unread messages` : "Rooms");
  }

  #room(room) {
    const { title } = room;
    const isShown = room === this.#session.current;
    const name = room.isPrivate ? title : room.name;
    const label = room.unread ? `${title}, ${room.unread} unread${room.mentions ? ", you are mentioned" : ""}` : title;
    const count = room.unread > 999 ? "999+" : `${room.unread}`;
    return {
      key: JSON.stringify([room.name, label, isShown, room.closed]),
      focus: room.name,
      make: () =>
        element("li", {}, element("button",
          { type: "button", "aria-label": label, "aria-current": isShown ? "true" : null, onclick: () => this.#session.show(room) },
          room.isPrivate ? face(title) : element("span", { className: "hash", "aria-hidden": "true" }, "#"),
          element("bdi", {}, name),
          room.closed && icon("lock"),
          room.unread > 0 && element("span", { className: room.mentions ? "badge mentioned" : "badge" }, `${room.mentions && !room.isPrivate ? "@ " : ""}${count}`),
        )),
    };
  }

  #people(room) {
    const people = [...room.people.values()].sort(
      (a, b) => Number(b.operator ?? false) - Number(a.operator ?? false) || a.name.localeCompare(b.name),
    );
    const lines = people.map((person) => this.#person(person));
    const more = room.count - people.length;
    if (more > 0) lines.push({ key: `more ${more}`, make: () => element("li", { className: "rest" }, `and ${more} more`) });
    update(find("#people-list"), lines);
  }

  #person({ name, operator = false, account = false }) {
    const isMe = name === this.#session.me.name;
    const marks = [isMe && "you", operator && "operator"].filter(Boolean).join(", ");
    return {
      key: JSON.stringify([name, marks, account]),
      focus: name,
      make: () =>
        element("li", {}, element("button",
          { type: "button", "aria-haspopup": "menu", onclick: ({ currentTarget }) => this.#does.person(name, currentTarget) },
          face(name),
          element("bdi", {}, name),
          marks && element("small", {}, marks),
        )),
    };
  }

  #typing(room) {
    const names = [...room.typing.keys()];
    const place = find("#typing");
    if (names.length === 0) return place.replaceChildren();
    if (names.length > 2) return place.replaceChildren("Several people are writing…");
    const parts = names.flatMap((name, at) => [at ? " and " : "", element("bdi", {}, name)]);
    place.replaceChildren(...parts, names.length === 1 ? " is writing…" : " are writing…");
  }

  /** Says what is the matter with the connection, and counts down to the next attempt. */
  #state(state) {
    clearInterval(this.#count);
    clearTimeout(this.#late);
    const place = find("#state");
    const shows = () => (place.hidden = false);
    if (state.is === "connecting") this.#late = setTimeout(shows, LATE);
    else place.hidden = !state.until;
    find("button", place).hidden = !state.until;
    const text = find("span", place);
    text.textContent = "Connecting…";
    if (!state.until) return;
    const lost = state.is === "offline" ? "You are offline" : "The connection is lost";
    const tick = () => {
      const seconds = Math.max(1, Math.ceil((state.until - Date.now()) / 1000));
      text.textContent = `${lost}. Reconnecting in ${seconds} s.`;
    };
    tick();
    this.#count = setInterval(tick, 1000);
  }
}

/** Brings a list into line: what has the same key stays the element that it is, and keeps the focus. */
function update(list, lines) {
  const there = new Map([...list.children].map((child) => [child.dataset.key, child]));
  const focus = list.contains(document.activeElement) ? document.activeElement.closest("li").dataset.focus : null;
  const wanted = lines.map(({ key, focus, make }) => {
    const child = there.get(key) ?? make();
    child.dataset.key = key;
    if (focus !== undefined) child.dataset.focus = focus;
    return child;
  });
  if (wanted.length === list.children.length && wanted.every((child, at) => child === list.children[at])) return;
  list.replaceChildren(...wanted);
  if (focus !== null) wanted.find((child) => child.dataset.focus === focus)?.firstChild.focus();
}

function widened() {
  document.body.classList.toggle("shows-people", WIDE.matches);
  document.body.classList.remove("shows-rooms");
  find("#open-people").setAttribute("aria-expanded", `${WIDE.matches}`);
  find("#shade").hidden = true;
  find("#main").inert = false;
}

/** A side that is a drawer where the window is narrow: in front, and all else out of reach until it is shut. */
function drawer(name) {
  const opener = find(`#open-${name}`);
  opener.addEventListener("click", () => {
    for (const other of DRAWERS) if (other !== name) shut(other);
    const isOpen = document.body.classList.toggle(`shows-${name}`);
    opener.setAttribute("aria-expanded", `${isOpen}`);
    find("#shade").hidden = !isOpen;
    find("#main").inert = isOpen && isDrawer(name);
    if (isDrawer(name) && isOpen) find(`#${name} button`).focus();
  });
  const close = () => {
    if (!document.body.classList.contains(`shows-${name}`) || !isDrawer(name)) return;
    shut(name);
    opener.focus();
  };
  find(`[data-closes=${name}]`).addEventListener("click", close);
  find("#shade").addEventListener("click", close);
  document.addEventListener("keydown", ({ key }) => key === "Escape" && !find("dialog[open]") && close());
}

function isDrawer(name) {
  return getComputedStyle(find(`#${name}`)).position === "fixed";
}

function shut(name) {
  if (!isDrawer(name)) return;
  document.body.classList.remove(`shows-${name}`);
  find(`#open-${name}`).setAttribute("aria-expanded", "false");
  find("#shade").hidden = true;
  find("#main").inert = false;
}
