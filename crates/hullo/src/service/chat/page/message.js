// One line of the log as elements: a message with its day, its author, its text and its state, or a note.

import { element, face } from "./dom.js";

/** What the same person says within this time stands under one name. */
const TOGETHER = 5 * 60_000;

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const dayOfYear = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long", year: "numeric" });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

/** How the item is to be shown after the one before it; another shape is another element. */
export function shape(item, before, isFirstUnread) {
  const isNewDay = !before || dateOf(before) !== dateOf(item);
  const isFirst =
    isNewDay || isFirstUnread || before.kind !== item.kind || before.from !== item.from || item.time - before.time > TOGETHER;
  return { isNewDay, isFirst, isFirstUnread, key: `${isNewDay}${isFirst}${isFirstUnread}` };
}

export function line(item, { isNewDay, isFirst, isFirstUnread }, session) {
  const made = element("li", { tabIndex: -1 });
  if (isNewDay) made.append(element("p", { className: "day" }, element("time", { dateTime: iso(item) }, dayName(item.time))));
  if (isFirstUnread) made.append(element("p", { className: "news" }, element("span", {}, "New messages")));
  made.append(element("div", { className: "line" }, ...(item.kind === "note" ? note(item) : message(item, isFirst, session))));
  made.className = classes(item, isFirst, session);
  return made;
}

function classes(item, isFirst, session) {
  const is = {
    [item.kind]: true,
    first: isFirst,
    own: item.from === session.me.name,
    [item.state]: item.state,
    mentions: item.kind === "message" && item.from !== session.me.name && session.mentions(item.text),
  };
  return Object.keys(is).filter((name) => is[name]).join(" ");
}

function note(item) {
  return [element("p", { className: "text", dir: "auto", title: exact.format(item.time) }, item.text)];
}

function message(item, isFirst, session) {
  const parts = [];
  // With each message, so that those who listen know who speaks; chat.css hides it where a name stands above.
  const who = element("button", { type: "button", className: "from", tabIndex: -1 }, element("bdi", {}, item.from));
  const time = element("time", { dateTime: iso(item), title: exact.format(item.time) }, isFirst ? clock.format(item.time) : brief(item.time));
  if (isFirst) parts.push(face(item.from));
  parts.push(element("p", { className: "head" }, who, time));
  parts.push(element("div", { className: "text", dir: "auto" }, ...body(item, session)));
  if (item.state === "sending") parts.push(element("span", { className: "sign", title: "Sending" }, "sending…"));
  if (item.state === "failed") parts.push(element("p", { className: "failure" }, `Not sent. ${item.error}`));
  return parts;
}

function body(item, session) {
  if (item.deleted) return [element("em", {}, "This message was taken back.")];
  const parts = item.me ? [element("em", {}, element("bdi", {}, item.from), " ", ...linked(item.text, session))] : linked(item.text, session);
  if (item.edited) parts.push(element("small", { title: exact.format(item.edited) }, " (edited)"));
  return parts;
}

const LINK = /https?:\/\/[^\s<>"'`]+/giu;
/** What ends a sentence does not end a link, nor does a bracket that was opened before it. */
const AFTER = /[.,:;!?…\])}]+$/u;

/** The text with its links: those to the web only, and named as they are written. */
function linked(text, session) {
  const parts = [];
  let from = 0;
  for (const { 0: found, index } of text.matchAll(LINK)) {
    const written = withoutEnd(found);
    const url = safe(written);
    if (!url) continue;
    parts.push(...marked(text.slice(from, index), session), link(url, written));
    from = index + written.length;
  }
  parts.push(...marked(text.slice(from), session));
  return parts;
}

function withoutEnd(found) {
  const end = found.match(AFTER)?.[0] ?? "";
  // A closing bracket stays where the link has an opening one, as in those of Wikipedia.
  const keeps = end.startsWith(")") && found.slice(0, -end.length).includes("(");
  return found.slice(0, found.length - end.length + (keeps ? 1 : 0));
}

function safe(written) {
  try {
    const url = new URL(written);
    return /^https?:$/.test(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

function link(href, written) {
  return element("a", { href, target: "_blank", rel: "noopener noreferrer nofollow", dir: "ltr" }, written);
}

const MENTION = /@[\p{L}\p{N}_][\p{L}\p{N}_.-]*/gu;

/** The text with the names that it speaks to. */
function marked(text, session) {
  const people = session.current?.people ?? new Map();
  const parts = [];
  let from = 0;
  for (const { 0: found, index } of text.matchAll(MENTION)) {
    const name = found.slice(1).replace(/[.-]+$/, "");
    const isMe = name.toLowerCase() === session.me.name.toLowerCase();
    if (!isMe && !people.has(name)) continue;
    parts.push(text.slice(from, index), element("mark", { className: isMe ? "me" : "" }, `@${name}`));
    from = index + name.length + 1;
  }
  parts.push(text.slice(from));
  return parts.filter((part) => part !== "");
}

/** The time without a.m. and p.m., for which there is no room beside a message. */
function brief(time) {
  const parts = clock.formatToParts(time).filter(({ type }) => type !== "dayPeriod");
  return parts.map(({ value }) => value).join("").trim();
}

function iso({ time }) {
  return new Date(time).toISOString();
}

function dateOf({ time }) {
  return new Date(time).toDateString();
}

function dayName(time) {
  const [then, today] = [new Date(time), new Date()];
  const yesterday = new Date(today.getFullYear(), today.getMonth(), today.getDate() - 1);
  if (then.toDateString() === today.toDateString()) return "Today";
  if (then.toDateString() === yesterday.toDateString()) return "Yesterday";
  return (then.getFullYear() === today.getFullYear() ? day : dayOfYear).format(then);
}

export function timeOf(item) {
  return dateOf(item) === new Date().toDateString() ? clock.format(item.time) : `${dayName(item.time)}, ${clock.format(item.time)}`;
}
