// What each event of the server does to what the page knows. docs/chat.md of the project has them all.

const TYPING = 6_000;

/** Takes an event in. What belongs to a room that we are still entering waits until we are there. */
export function receive(session, event) {
  const entry = ENTRIES[event.event];
  if (!entry) return EFFECTS[event.event]?.(session, event, session.rooms.get(event.room));
  const room = session.enter(event.room);
  if (room.arriving) return void room.arriving.push(event);
  const isNews = isLater(session, room, event) && !room.find(event.uid) && event.from !== session.me.name;
  const item = write(session, room, event);
  // The one that is shown is pruned when nobody reads in its past.
  if (room !== session.current) room.prune();
  session.tell("log", room);
  if (event.event === "message" && isNews) heard(session, room, item);
}

/** Ids say so within one log; in another one, all that comes is later. */
function isLater(session, room, { id }) {
  return room.last?.log !== session.log || id > room.last.id;
}

/** Enters an event into what we have of the room's log. */
function write(session, room, event) {
  if (isLater(session, room, event)) room.last = { id: event.id, uid: event.uid, log: session.log };
  return ENTRIES[event.event](room, event, session);
}

/** The events that stand in a room's log: each has an id and a uid. */
const ENTRIES = {
  message(room, { id, uid, from, time, text, me, edited, deleted }, { log }) {
    clearTimeout(room.typing.get(from));
    room.typing.delete(from);
    return room.put({ id, uid, log, from, time, text, me, edited, deleted });
  },

  edited: (room, { of, text, time }) => room.change(of, { text, edited: time }),

  deleted: (room, { of }) => room.change(of, { text: "", deleted: true }),

  topic(room, { uid, id, time, from, text }, session) {
    room.topic = text;
    room.note({ uid, id, time, text: text ? `${from} set the topic: ${text}` : `${from} took the topic away` });
    session.tell("room", room);
  },

  ruled(room, { uid, id, time, from, act, name, reason }, session) {
    const what = act === "op" && name === from ? "is the operator of this room" : (ACTS[act]?.(name) ?? act);
    room.note({ uid, id, time, text: `${from} ${what}${reason ? `: ${reason}` : ""}` });
    if (act === "open" || act === "close") room.closed = act === "close";
    if (act === "op" || act === "deop") {
      if (name === session.me.name) room.operator = act === "op";
      const person = room.people.get(name);
      if (person) person.operator = act === "op";
    }
    session.tell("room", room);
  },
};

/** What an operator did, as the line in the log says it. */
const ACTS = {
  op: (name) => `made ${name} an operator`,
  deop: (name) => `made ${name} an operator no more`,
  kick: (name) => `kicked ${name}`,
  ban: (name) => `banned ${name}`,
  unban: (name) => `unbanned ${name}`,
  mute: (name) => `muted ${name}`,
  unmute: (name) => `unmuted ${name}`,
  open: () => "opened the room to everybody",
  close: () => "closed the room to all but the invited",
};

/** Somebody else has said something just now. */
function heard(session, room, item) {
  const mentions = room.isPrivate || session.mentions(item.text);
  if (session.watches(room)) {
    session.read(room);
  } else {
    unseen(room, item, mentions);
    session.tell("rooms");
  }
  session.tell("said", { room, item, mentions });
}

function unseen(room, item, mentions) {
  if (!room.unread++) room.firstUnread = item;
  if (mentions) room.mentions++;
}

const EFFECTS = {
  joined,

  left(session, { reason }, room) {
    if (!room) return;
    session.gone(room);
    if (reason) session.tell("notice", `You are no longer in ${room.title}: ${reason}`);
  },

  kept(session, { uid, id }, room) {
    if (!room?.find(uid)) return;
    room.put({ uid, id });
    room.change(uid, { state: null, error: null });
    session.remember();
    session.tell("log", room);
  },

  presence(session, { name, is, new: now, count }, room) {
    if (!room) return;
    const person = room.people.get(name) ?? { name };
    if (is !== "here") room.people.delete(name);
    if (is === "here") room.people.set(name, person);
    if (is === "now") renamed(session, room, person, now);
    room.count = count;
    room.typing.delete(name);
    session.tell("room", room);
  },

  typing(session, { name }, room) {
    if (!room || name === session.me.name) return;
    clearTimeout(room.typing.get(name));
    const over = () => room.typing.delete(name) && session.tell("typing", room);
    room.typing.set(name, setTimeout(over, TYPING));
    session.tell("typing", room);
  },

  who(session, { people, count }, room) {
    if (!room) return;
    room.people = new Map(people.map((person) => [person.name, person]));
    room.count = count;
    session.tell("room", room);
  },

  // While we say who we are, there is nothing to tell that would be news to us.
  notice: (session, { text }) => session.ready && session.tell("notice", text),

  bye: (session, { reason }) => session.tell("notice", `The server ended the connection: ${reason}`),

  error(session, { error, hint, uid }) {
    const text = hint ? `${error} (${hint})` : error;
    for (const room of session.rooms.values()) {
      if (!uid || !room.find(uid)) continue;
      // It keeps its place among what was said then.
      room.change(uid, { state: "failed", error: text, id: room.last?.id });
      session.remember();
      return session.tell("log", room);
    }
    session.tell("notice", text);
  },
};

function renamed(session, room, person, now) {
  const was = person.name;
  room.people.set(now, { ...person, name: now });
  room.note({ uid: `${was} ${now} ${Date.now()}`, id: room.last?.id ?? 0, time: Date.now(), text: `${was} is now called ${now}` });
  if (was === room.partner) room.partner = now;
  if (was === session.me.name) {
    session.me.name = now;
    session.tell("me");
  }
  session.tell("log", room);
}

/** We are in: what has come until now was history. */
function joined(session, event) {
  const room = session.enter(event.room);
  const [before, arrived] = [room.last, room.arriving ?? []];
  // Ids count in one log. When another server has taken over, what we have is not numbered as what will come.
  const moved = before !== null && before.log !== session.log;
  if (event.recovered === false) room.forget();
  room.arriving = null;
  for (const entry of arrived) write(session, room, entry);
  if (event.last > (room.last?.id ?? 0)) room.last = { id: event.last, log: session.log };
  countUnread(session, room, moved ? null : (before?.id ?? session.readTo(room)));
  Object.assign(room, {
    topic: event.topic ?? "",
    people: new Map(event.people.map((name) => [name, room.people.get(name) ?? { name }])),
    count: event.count,
    operator: event.operator ?? false,
    closed: event.closed ?? false,
  });
  if (moved && event.recovered) renumber(session, room);
  session.resend(room);
  session.remember();
  for (const kind of ["rooms", "log", "room"]) session.tell(kind, room);
  session.arrived(room);
}

/** Counts what was said while we were away. */
function countUnread(session, room, readTo) {
  if (readTo === null) return;
  for (const item of room.items) {
    if (item.kind !== "message" || !(item.id > readTo) || item.from === session.me.name) continue;
    unseen(room, item, room.isPrivate || session.mentions(item.text));
  }
}

/** Gives the messages that we have the ids of another log. */
async function renumber(session, room) {
  const { log } = session;
  try {
    const page = await session.ask({ do: "history", room: session.address(room), limit: 500 });
    room.replace(page.messages, page.more, log);
    session.tell("log", room);
  } catch {
    // The next connection begins this anew.
  }
}
