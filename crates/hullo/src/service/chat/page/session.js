// Who we are, the rooms we are in, and what we ask of the server. It knows nothing of the page's elements:
// whoever shows something listens to `on`.

import { receive } from "./events.js";
import { Room } from "./room.js";
import { forever, tab } from "./store.js";
import { Refusal, Wire } from "./wire.js";

export const LOBBY = "lobby";
const FIRST_PAGE = 100;

export class Session {
  me = { name: tab.get("name", null) ?? forever.get("name", ""), account: false };
  rooms = new Map();
  current = null;
  state = { is: "connecting" };
  /** The server's log, in which its ids count. */
  log = null;
  ready = false;
  #wire;
  #listeners = new Map();
  /** A name that was just chosen, or that of an account with its password, which nothing else keeps. */
  #credentials = null;
  #welcomes = 0;
  /** The room that we asked to be let into, and are not in yet. */
  #wanted = null;
  /** How far each room was read, by its name. */
  #read = forever.get("read", {});
  #writing = 0;

  constructor(url) {
    this.#wire = new Wire(url, {
      opened: () => this.#greet(),
      heard: (event) => this.#heard(event),
      changed: (state) => this.#changed(state),
    });
    this.enter(LOBBY);
    for (const name of [...forever.get("rooms", []), ...tab.get("private", [])]) this.enter(name);
    for (const { room, ...said } of tab.get("unsent", [])) this.enter(room).put({ ...said, state: "sending" });
    this.current = this.rooms.get(LOBBY);
    addEventListener("pagehide", () => this.#write());
  }

  /** Calls the function whenever something of that kind happens: see `tell` for which there are. */
  on(kind, listener) {
    if (!this.#listeners.has(kind)) this.#listeners.set(kind, []);
    this.#listeners.get(kind).push(listener);
  }

  /**
   * What there is: state (of the connection), welcome, refused (our name), me, rooms, shown (another room), room (its
   * people, its topic), log (its messages), typing, said (something just now), notice, failed (what we asked for).
   */
  tell(kind, detail) {
    for (const listener of this.#listeners.get(kind) ?? []) listener(detail);
  }

  connect() {
    this.#wire.open();
  }

  /** Begins anew as somebody: a guest, or an account with its password. */
  become(name, password) {
    this.#credentials = { name, password };
    tab.put("token", null);
    this.connect();
  }

  /** Ends the conversation, and forgets who we were. */
  quit() {
    this.#wire.close();
    tab.put("token", null);
    for (const room of [...this.rooms.values()]) if (room.isPrivate) this.gone(room);
    this.#called("");
  }

  /** The room of that name; it is made known to the page if it is not. */
  enter(name) {
    let room = this.rooms.get(name);
    if (!room) {
      room = new Room(name, this.me.name);
      this.rooms.set(name, room);
      if (!this.ready || (this.#wanted && isCalled(room, this.#wanted))) room.arriving = [];
      this.tell("rooms");
    }
    return room;
  }

  show(room) {
    if (this.current === room) return;
    this.current = room;
    this.look(room);
    this.tell("shown", room);
    this.tell("rooms");
  }

  /** Whether the server has us in the room by now. */
  isIn(room) {
    return this.ready && !room.arriving;
  }

  /** Asks who is in the room, and who of them is an operator. */
  look(room) {
    if (this.isIn(room)) this.send({ do: "who", room: this.address(room) });
  }

  /** What we call the room when we ask for something in it. */
  address(room) {
    return room.isPrivate ? `@${room.partner}` : room.name;
  }

  ask(request) {
    return this.#wire.ask(request);
  }

  send(request) {
    return this.#wire.send(request);
  }

  /** Asks to be let in; `joined` tells when we are. */
  async join(name, token) {
    const there = this.#find(name);
    if (there && !token) return this.show(there);
    this.#wanted = name;
    try {
      await this.ask({ do: "join", room: name, history: FIRST_PAGE, token });
    } catch (error) {
      this.#wanted = null;
      throw error;
    }
  }

  /** We are in a room. If we asked for it just now, it is what we want to see. */
  arrived(room) {
    if (room === this.current) this.look(room);
    if (!this.#wanted || !isCalled(room, this.#wanted)) return;
    this.#wanted = null;
    this.show(room);
  }

  /** The room that somebody means; it has to be one that we are in. */
  called(name) {
    const room = this.#find(name.replace(/^#/, ""));
    if (!room) throw new Error(`You are not in ${name}.`);
    return room;
  }

  #find(name) {
    return [...this.rooms.values()].find((room) => isCalled(room, name));
  }

  async leave(room) {
    // Until the server knows, what is said there would bring the room back. Not to be in it at all is as good.
    if (this.isIn(room)) await this.ask({ do: "leave", room: this.address(room) }).catch(() => {});
    this.gone(room);
  }

  /** Tells people when what they asked for is not done. */
  attempt(promise) {
    promise.catch((error) => this.tell("failed", error));
  }

  async rename(name) {
    await this.ask({ do: "name", name });
    if (this.me.name !== name) this.#called(name, this.me.account);
  }

  async register(password) {
    await this.ask({ do: "register", password });
    this.#credentials = { name: this.me.name, password };
    this.#called(this.me.name, true);
  }

  #called(name, account = false) {
    this.me = { name, account };
    tab.put("name", name);
    forever.put("name", name);
    forever.put("account", account);
    this.tell("me");
  }

  /** Says something to one person alone. Without a text, the conversation is opened and no more. */
  async whisper(name, text) {
    const to = name.replace(/^@/, "");
    if (text) await this.ask({ do: "tell", to, text, uid: uid() });
    await this.join(`@${to}`);
  }

  /** We are not in that room any more. */
  gone(room) {
    if (!this.rooms.delete(room.name)) return;
    if (this.current === room) {
      this.current = null;
      this.show(this.rooms.get(LOBBY) ?? this.rooms.values().next().value ?? this.enter(LOBBY));
    }
    this.remember();
    this.tell("rooms");
  }

  /** Says something. It is shown at once, and stays "sending" until the server has it on disk. */
  say(room, text, me = false) {
    const said = { uid: uid(), from: this.me.name, time: Date.now(), text, me, state: "sending" };
    room.put(said);
    room.firstUnread = null;
    this.#say(room, said);
    this.remember();
    this.tell("log", room);
  }

  /** Tries once more to say what was refused. */
  again(room, item) {
    room.take(item);
    this.#say(room, room.put({ ...item, id: undefined, time: Date.now(), state: "sending", error: null }));
    this.tell("log", room);
  }

  #say(room, { uid, text, me }) {
    // What cannot be sent now is sent when we are in the room again.
    if (!this.isIn(room)) return;
    if (room.isPrivate && !me) return void this.send({ do: "tell", to: room.partner, text, uid });
    this.send({ do: "say", room: this.address(room), text, uid, me: me || undefined });
  }

  /** Sends what nobody has said to be kept. The server knows by the uid what it has already. */
  resend(room) {
    for (const item of room.unsent) this.#say(room, item);
  }

  /** Earlier messages of a room, in front of those that we have. */
  earlier(room, limit = 100) {
    if (!room.more || !this.isIn(room)) return null;
    room.loading ??= this.#earlier(room, limit).finally(() => (room.loading = null));
    return room.loading;
  }

  async #earlier(room, limit) {
    try {
      const before = room.oldest;
      const page = await this.ask({ do: "history", room: this.address(room), before, limit });
      room.prepend(page.messages, page.more);
      this.tell("log", room);
    } catch (error) {
      if (error instanceof Refusal) room.more = false;
    }
  }

  /** Keeps what the next visit needs: the rooms, how far they were read, and what was not sent. */
  remember() {
    this.#writing ||= setTimeout(() => this.#write(), 300);
  }

  #write() {
    this.#writing = 0;
    const rooms = [...this.rooms.values()];
    const unsent = ({ name, unsent }) => unsent.map(({ uid, from, time, text, me }) => ({ room: name, uid, from, time, text, me }));
    const names = (isPrivate) => rooms.filter((room) => room.isPrivate === isPrivate).map((room) => room.name);
    forever.put("rooms", names(false));
    // Those of a guest end with the session, and those of an account the server tells.
    tab.put("private", names(true));
    forever.put("read", this.#read);
    tab.put("unsent", rooms.flatMap(unsent));
  }

  /** All of a room has been seen. */
  read(room) {
    if (room.last) this.#read[room.name] = { log: this.log, id: room.last.id };
    this.remember();
    if (!room.unread) return;
    room.unread = room.mentions = 0;
    this.tell("rooms");
  }

  /** Up to which id a room was seen on an earlier visit. */
  readTo(room) {
    const read = this.#read[room.name];
    return read?.log === this.log ? read.id : null;
  }

  /** Whether somebody looks at the newest messages of the room. The page says so. */
  watches = (room) => room === this.current;

  /** Whether that text speaks to us. */
  mentions(text) {
    const name = this.me.name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    return name !== "" && new RegExp(`(^|[^\\p{L}\\p{N}_])@?${name}($|[^\\p{L}\\p{N}_])`, "iu").test(text);
  }

  #changed(state) {
    if (state.is !== "open") this.ready = false;
    // Whoever is not connected is in no room: what comes first afterwards is what was missed.
    for (const room of this.rooms.values()) room.arriving ??= [];
    this.#state(state);
  }

  #state(state) {
    this.state = state;
    this.tell("state", state);
  }

  /** The first event is a welcome in any case, to a guest. The one that answers our hello is ours. */
  async #greet() {
    this.#welcomes = 2;
    const { name, password } = this.#credentials ?? { name: this.me.name };
    const token = tab.get("token", null) ?? undefined;
    try {
      await this.ask({ do: "hello", name, password, token });
    } catch (error) {
      if (!(error instanceof Refusal)) return;
      this.#credentials = null;
      const isAccount = password !== undefined || forever.get("account", false);
      // That an account needs its password is no mistake of anybody's.
      this.tell("refused", { name, isAccount, reason: isAccount && !password ? "" : error.message });
    }
  }

  #heard(event) {
    if (event.event !== "welcome") return receive(this, event);
    if (--this.#welcomes > 0) return;
    this.#welcomed(event);
  }

  #welcomed({ name, account, token, log, private: conversations = [] }) {
    this.log = log;
    tab.put("token", token);
    this.#called(name, account);
    for (const conversation of conversations) this.enter(conversation);
    this.ready = true;
    for (const room of this.rooms.values()) this.#rejoin(room);
    this.#state({ is: "open" });
    this.tell("welcome");
  }

  #rejoin(room) {
    room.arriving = [];
    const { id: after, uid, log } = room.last ?? {};
    const from = room.last ? { after, uid, log } : { history: FIRST_PAGE };
    this.ask({ do: "join", room: this.address(room), ...from }).catch((error) => {
      if (!(error instanceof Refusal)) return;
      this.#refused(room, error.message);
    });
  }

  /** We were not let into a room again. It goes, unless that would take with it what was not sent, or cannot be read anew. */
  #refused(room, reason) {
    room.arriving = null;
    const { unsent } = room;
    for (const item of unsent) room.change(item.uid, { state: "failed", error: reason, id: room.last?.id });
    this.tell("log", room);
    if (!room.isPrivate) this.tell("notice", reason);
    const hasMore = unsent.length > 0 || (room.isPrivate && room.items.length > 0);
    if (!hasMore && room.name !== LOBBY) this.gone(room);
  }
}

/** Whether that is the room's name, as people write it or as the server does. */
function isCalled(room, name) {
  const known = room.isPrivate ? `@${room.partner}` : room.name;
  return known.toLowerCase() === name.toLowerCase() || room.name === name;
}

/** A random name for a message. It is no UUID of `crypto`, which pages that came over plain http do not have. */
function uid() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
