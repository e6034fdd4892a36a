// What begins with a slash: the same commands as at every other door. Each line of the table is what is typed, what it
// does, and how. `word` is the first word after the command, `rest` what follows it, and `all` both.

export const COMMANDS = [
  ["/nick", "NAME", "take another name", ({ all, session }) => session.rename(need(all))],
  ["/join", "ROOM [TOKEN]", "enter a room, which is made if there is none", ({ word, rest, session }) => session.join(bare(need(word)), rest || undefined)],
  ["/leave", "[ROOM]", "leave this room", ({ all, session, room }) => session.leave(all ? session.called(all) : room)],
  ["/rooms", "", "show which rooms there are", ({ page }) => page.rooms()],
  ["/who", "", "show who is here", ({ page }) => page.who()],
  ["/me", "TEXT", "say what you do", ({ all, session, room }) => session.say(room, need(all), true)],
  ["/msg", "NAME TEXT", "say something to one person alone", ({ word, rest, session }) => session.whisper(need(word), rest)],
  ["/topic", "[TEXT]", "set the topic of this room", ({ all, ...at }) => asked(at, { do: "topic", text: all })],
  ["/history", "", "show what was said before", ({ session, room }) => session.earlier(room)],
  ["/search", "WORDS", "look for messages in this room", ({ all, page }) => page.search(all)],
  ["/edit", "[TEXT]", "change your last message", ({ all, page }) => page.editLast(all)],
  ["/delete", "", "take your last message back", ({ page }) => page.deleteLast()],
  ["/kick", "NAME [REASON]", "put somebody out of this room", person("kick")],
  ["/ban", "NAME [MINUTES] [REASON]", "put somebody out for good, or for a time", person("ban")],
  ["/unban", "NAME", "lift a ban", person("unban")],
  ["/mute", "NAME [MINUTES] [REASON]", "let somebody listen only", person("mute")],
  ["/unmute", "NAME", "let somebody speak again", person("unmute")],
  ["/op", "NAME", "make somebody an operator", person("op")],
  ["/deop", "NAME", "take that back", person("deop")],
  ["/invite", "", "get a link that opens this room, and close it to others", ({ page }) => page.invite()],
  ["/open", "", "open this room to everybody", (at) => asked(at, { do: "rule", act: "open" })],
  ["/close", "", "close this room to all but the invited", (at) => asked(at, { do: "rule", act: "close" })],
  ["/register", "", "make your name an account", ({ page }) => page.register()],
  ["/login", "", "log in to an account", ({ page }) => page.login()],
  ["/help", "", "show these commands", ({ page }) => page.help()],
];

/** Does what was typed. What is no command of ours is refused, and not said to everybody. */
export async function run(typed, context) {
  const [, command, all] = typed.match(/^(\/\S*)\s*([^]*)$/);
  const found = COMMANDS.find(([name]) => name === command.toLowerCase());
  if (!found) throw new Error(`There is no ${command}. /help shows what there is; // says something that begins with a slash.`);
  const [name, usage, , does] = found;
  const [, word, rest] = all.trim().match(/^(\S*)\s*([^]*)$/);
  try {
    await does({ ...context, all: all.trim(), word, rest });
  } catch (error) {
    throw error instanceof Missing ? new Error(`It is written ${name} ${usage}`) : error;
  }
}

class Missing extends Error {}

function need(word) {
  if (!word) throw new Missing();
  return word;
}

/** A room's name as the server has it: people write it with a `#` as well. */
export function bare(name) {
  return name.replace(/^#/, "");
}

function asked({ session, room }, request) {
  return session.ask({ room: session.address(room), ...request });
}

/** An act of an operator, to a person, for a time if a number says so. */
function person(act) {
  return ({ word, rest, ...at }) => {
    const [, minutes, reason] = rest.match(/^(?:(\d+)(?:\s+|$))?([^]*)$/);
    const seconds = minutes && Number(minutes) * 60;
    return asked(at, { do: "rule", act, name: need(word).replace(/^@/, ""), reason: reason || undefined, seconds: seconds || undefined });
  };
}
