// What begins with a slash: the same commands as at every other door. What there is, and what each takes, the server
// says in table.js; what it does in this page stands here.

import { TABLE } from "./table.js";

/** Given `all` that was typed after the command, its first `word` and the `rest`; and where it was typed. */
const ACTIONS = {
  nick: ({ all, session }) => session.rename(need(all)),
  join: ({ word, rest, session }) => session.join(bare(need(word)), rest || undefined),
  leave: ({ all, session, room }) => session.leave(all ? session.called(all) : room),
  rooms: ({ page }) => page.rooms(),
  who: ({ all, session, room, page }) => page.who(all ? session.called(all) : room),
  me: ({ all, session, room }) => session.say(room, need(all), true),
  msg: ({ word, rest, session }) => session.whisper(need(word), need(rest)),
  topic: ({ all, ...at }) => asked(at, { do: "topic", text: need(all) === "-" ? "" : all }),
  history: ({ word, session, room }) => session.earlier(room, Number(word) || undefined),
  search: ({ all, page }) => page.search(need(all)),
  edit: ({ all, page }) => page.editLast(all),
  delete: ({ page }) => page.deleteLast(),
  op: person("op"),
  deop: person("deop"),
  kick: person("kick"),
  ban: person("ban"),
  unban: person("unban"),
  mute: person("mute"),
  unmute: person("unmute"),
  open: (at) => asked(at, { do: "rule", act: "open" }),
  close: (at) => asked(at, { do: "rule", act: "close" }),
  invite: ({ page }) => page.invite(),
  register: ({ all, session, page }) => (all ? session.register(all) : page.register()),
  login: ({ word, rest, session, page }) => (rest ? session.become(word, rest) : page.login()),
  help: ({ page }) => page.help(),
  quit: ({ page }) => page.quit(),
};

/** The commands, as `{ name, aliases, form, help }`. */
export const COMMANDS = TABLE.map(({ takes, ...command }) => ({ ...command, form: `/${command.name} ${takes}`.trim() }));

/** Does what was typed. What is no command of ours is refused, and not said to everybody. */
export async function run(typed, context) {
  const [, called, after] = typed.match(/^\/(\S*)\s*([^]*)$/);
  const command = COMMANDS.find(({ name, aliases }) => [name, ...aliases].includes(called.toLowerCase()));
  if (!command) throw new Error(`No command is called /${called}: /help says what there is, and // begins a message with /.`);
  const all = after.trim();
  const [, word, rest] = all.match(/^(\S*)\s*([^]*)$/);
  try {
    await ACTIONS[command.name]({ ...context, all, word, rest });
  } catch (error) {
    throw error instanceof Missing ? new Error(`That is not what /${command.name} takes: ${command.form}`) : error;
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

const SECONDS = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };

/** An act of an operator to a person: for a time, where one is said as in `10m`, and for a reason. */
function person(act) {
  return ({ word, rest, ...at }) => {
    const [, number, unit, reason] = rest.match(/^(?:(\d+)([smhdw])(?:\s+|$))?([^]*)$/);
    const seconds = number && Number(number) * SECONDS[unit];
    return asked(at, { do: "rule", act, name: need(word).replace(/^@/, ""), reason: reason || undefined, seconds });
  };
}
