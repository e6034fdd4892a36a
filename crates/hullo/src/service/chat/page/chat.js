// The page of `hullo serve chat`: brings what it is made of together.

import { Alerts } from "./alerts.js";
import { run } from "./commands.js";
import { Composer } from "./composer.js";
import { announce, find, toast } from "./dom.js";
import { Log } from "./log.js";
import { openMenu } from "./menu.js";
import { Questions } from "./questions.js";
import { Search } from "./search.js";
import { Session } from "./session.js";
import { Sides } from "./sides.js";
import { tab } from "./store.js";

const session = new Session(endpoint());
const questions = new Questions(session);
const log = new Log(session, { edit: (item) => composer.edit(item), delete: remove, again: (item) => session.again(session.current, item), menu: personMenu });
const composer = new Composer(session, { said, changed, failed });
const search = new Search(session, log);
new Sides(session, { person: personMenu, self: () => questions.self(), room: roomMenu });
new Alerts(session);

session.watches = (room) => log.watches(room);
session.on("notice", (text) => toast(text));
session.on("failed", failed);
session.on("shown", shown);
session.on("welcome", invited);
session.on("welcome", () => document.activeElement === document.body && write());
addEventListener("hashchange", invited);

if (session.me.name || tab.get("token", null)) session.connect();
else questions.name();

/** Beside the page, wherever that is: a proxy may show us under another path. */
function endpoint() {
  const url = new URL(".", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  return url.href;
}

function said(text) {
  if (!text.startsWith("/")) return session.say(session.current, text), log.toEnd();
  if (text.startsWith("//")) return session.say(session.current, text.slice(1)), log.toEnd();
  return run(text, { session, room: session.current, page });
}

function changed(item, text) {
  if (text === item.text) return;
  return session.ask({ do: "edit", room: session.address(session.current), of: item.uid, text });
}

function failed(error) {
  toast(error.message, "failure");
}

/** What commands do to the page. */
const page = {
  rooms: () => questions.rooms(),
  search: (words) => search.open(words),
  invite: () => questions.invite(session.current),
  register: () => questions.register(),
  login: () => questions.login(),
  help: () => questions.help(),
  quit: () => questions.quit(),
  who: (room) => toast([...room.people.keys()].join(", ")),
  editLast(text) {
    const last = ownLast();
    return text ? changed(last, text) : composer.edit(last);
  },
  deleteLast: () => questions.remove(session.current, ownLast()),
};

function ownLast() {
  const last = session.current.lastOf(session.me.name);
  if (!last) throw new Error("You have not said anything here yet.");
  return last;
}

function remove(item) {
  if (item.state !== "failed") return questions.remove(session.current, item);
  session.current.take(item);
  session.tell("log", session.current);
}

/** The address leads back to the room that is shown. */
function shown(room) {
  history.replaceState(null, "", `#${new URLSearchParams({ room: session.address(room) })}`);
  announce(room.title);
  write();
}

/** One can write at once, except where the keyboard would then cover half of the screen. */
function write() {
  if (!matchMedia("(pointer: coarse)").matches && !find("dialog[open]")) composer.focus();
}

/** A link names a room, and may have the word that opens it. */
function invited() {
  const { room, token } = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  if (!room) return;
  if (token) history.replaceState(null, "", `#${new URLSearchParams({ room })}`);
  session.attempt(session.join(room, token));
}

function personMenu(name, at) {
  const room = session.current;
  const person = room.people.get(name);
  const isOther = name !== session.me.name;
  const rules = isOther && room.operator;
  const rule = (act) => session.attempt(session.ask({ do: "rule", room: room.name, act, name }));
  openMenu(at, name, [
    { label: "Write to them alone", act: () => session.attempt(session.join(`@${name}`)), isOffered: isOther },
    { label: "Mention", act: () => composer.insert(`@${name} `), isOffered: isOther },
    { label: "You, and your account", act: () => questions.self(), isOffered: !isOther },
    { label: "Make an operator", act: () => rule("op"), isOffered: rules && !person?.operator },
    { label: "Make an operator no more", act: () => rule("deop"), isOffered: rules && person?.operator },
    { label: "Unmute", act: () => rule("unmute"), isOffered: rules },
    { label: "Mute…", act: () => questions.rule(room, "mute", "Mute", name), isGrave: true, isOffered: rules },
    { label: "Kick…", act: () => questions.rule(room, "kick", "Kick", name), isGrave: true, isOffered: rules },
    { label: "Ban…", act: () => questions.rule(room, "ban", "Ban", name), isGrave: true, isOffered: rules },
  ]);
}

function roomMenu(at) {
  const room = session.current;
  const rule = (act) => session.attempt(session.ask({ do: "rule", room: room.name, act }));
  const rules = room.operator && !room.isPrivate;
  openMenu(at, room.title, [
    { label: "Set the topic…", act: () => questions.topic(room), isOffered: !room.isPrivate },
    { label: "Invite…", act: () => session.attempt(questions.invite(room)), isOffered: rules },
    { label: "Close to all but the invited", act: () => rule("close"), isOffered: rules && !room.closed },
    { label: "Open to everybody", act: () => rule("open"), isOffered: rules && room.closed },
    { label: "Commands", act: () => questions.help() },
    { label: "Leave", act: () => session.leave(room), isGrave: true },
  ]);
}
