// A room as this page knows it: who is there, and what was said, in the order in which all see it.

/** How much of a room is kept in memory while nobody scrolls back in it. The server has the rest. */
const KEPT = 3000;
const DROPPED = 1000;

export class Room {
  topic = "";
  people = new Map();
  count = 0;
  operator = false;
  closed = false;
  /** What is shown, oldest first: messages and notes, and at the end what is not on its way yet. */
  items = [];
  /** Whether the server has earlier messages than the first of these. */
  more = true;
  /** The last entry that came, by which the server knows where to go on. */
  last = null;
  /** What has come since we asked to be let in: history, until the server says that we are there. */
  arriving = null;
  unread = 0;
  mentions = 0;
  /** The first message that was not seen, which a line is drawn over. */
  firstUnread = null;
  typing = new Map();
  /** The page of history that is on its way. */
  loading = null;
  draft = "";
  #known = new Map();

  /** @param me our own name, which stands in that of a private conversation */
  constructor(name, me) {
    this.name = name;
    this.isPrivate = name.startsWith("@");
    this.partner = this.isPrivate ? partner(name.slice(1), me) : null;
  }

  get title() {
    return this.partner ?? `#${this.name}`;
  }

  find(uid) {
    return this.#known.get(uid);
  }

  /** The messages that have not reached the server for all we know, oldest first. */
  get unsent() {
    return this.items.filter((item) => item.state === "sending");
  }

  /** Puts a message where its id belongs. One that is known is not doubled: it takes what the server says of it now. */
  put(said) {
    const known = this.#known.get(said.uid);
    if (known) return this.#again(known, said);
    const item = { kind: "message", state: null, ...said };
    this.#known.set(item.uid, item);
    this.#place(item);
    return item;
  }

  /** Puts a line that is no message: a new topic, or what an operator did. */
  note(line) {
    if (this.#known.has(line.uid)) return;
    const item = { kind: "note", ...line };
    this.#known.set(item.uid, item);
    this.#place(item);
  }

  /** Changes a message; there may be none, as it may be further back than we have read. */
  change(uid, change) {
    const item = this.#known.get(uid);
    if (item) Object.assign(item, change).shape = null;
    return item;
  }

  take(item) {
    this.#known.delete(item.uid);
    this.items = this.items.filter((other) => other !== item);
  }

  /** Puts a page of history in front. */
  prepend(messages, more) {
    const fresh = messages.filter(({ uid }) => !this.#known.has(uid));
    // A page of nothing new would be asked for again and again.
    this.more = more && fresh.length > 0;
    const items = fresh.map((said) => ({ kind: "message", state: null, ...said }));
    for (const item of items) this.#known.set(item.uid, item);
    this.items = [...items, ...this.items];
  }

  /** Takes the last messages from the server anew, as after a change of its log: only they and what came since stay. */
  replace(messages, more, log) {
    const end = messages.at(-1)?.id ?? 0;
    const later = this.items.filter((item) => item.kind === "message" && item.log === log && item.id > end);
    this.forget();
    for (const item of [...messages, ...later]) this.put(item);
    this.more = more;
  }

  /** Forgets what was said, but not what we still want to say. */
  forget() {
    this.items = this.items.filter((item) => item.state);
    for (const item of this.items) item.id = undefined;
    this.#known = new Map(this.items.map((item) => [item.uid, item]));
    this.more = true;
    this.firstUnread = null;
  }

  /** Lets go of the oldest, which can be asked for again. */
  prune() {
    if (this.items.length < KEPT) return;
    for (const item of this.items.splice(0, DROPPED)) this.#known.delete(item.uid);
    this.more = true;
  }

  /** The last message that somebody has said, and not taken back. */
  lastOf(name) {
    return this.items.findLast((item) => item.kind === "message" && item.from === name && !item.deleted && !item.state);
  }

  /** The id before which history is to be asked for. */
  get oldest() {
    return this.items.find((item) => item.kind === "message" && !item.state)?.id;
  }

  #again(known, said) {
    const moved = said.id !== undefined && said.id !== known.id;
    const state = known.state === "failed" ? null : known.state;
    Object.assign(known, said, { state, shape: null });
    if (moved) {
      this.items.splice(this.items.indexOf(known), 1);
      this.#place(known);
    }
    return known;
  }

  #place(item) {
    let at = this.items.length;
    while (at > 0 && rank(this.items[at - 1]) > rank(item)) at--;
    this.items.splice(at, 0, item);
  }
}

/** The other one of `ann+bob`; names have no plus sign. */
function partner(both, me) {
  const [one, other = one] = both.split("+");
  return one.toLowerCase() === me.toLowerCase() ? other : one;
}

/** What has no id yet comes after all that has one. */
function rank(item) {
  return item.id ?? Infinity;
}
