// What the page asks people: their name, a password, a room, a reason.

import { ask, close, offer } from "./ask.js";
import { bare, COMMANDS } from "./commands.js";
import { element, find } from "./dom.js";

const NAME = { name: "name", label: "Name", required: true, maxLength: 32, autocomplete: "nickname", spellcheck: false };
const PASSWORD = { name: "password", label: "Password", type: "password", required: true, maxLength: 256 };

export class Questions {
  #session;

  constructor(session) {
    this.#session = session;
    session.on("refused", (refused) => (refused.isAccount ? this.login(true, refused) : this.name(refused)));
    find("#find-rooms").addEventListener("click", () => this.rooms());
  }

  /** Who somebody is who comes for the first time, or whose name was not to be had. */
  name({ name, reason } = {}) {
    const session = this.#session;
    ask({
      title: "What is your name?",
      about: "Others see it beside what you say.",
      fields: [{ ...NAME, value: name ?? session.me.name }],
      button: "Enter",
      others: [{ label: "I have an account", act: () => this.login(true) }],
      mustAnswer: true,
      refusal: reason,
      does: ({ name }) => session.become(name.trim()),
    });
  }

  self() {
    const { me } = this.#session;
    const guests = [
      { label: "Make my name an account", act: () => this.register() },
      { label: "Log in to an account", act: () => this.login() },
    ];
    const others = [...(me.account ? [] : guests), { label: "Leave the chat", act: () => this.quit() }];
    ask({
      title: "You",
      about: me.account ? "You are logged in to your account, whose name stays." : "You are a guest: your name is yours while you are here.",
      fields: [{ ...NAME, value: me.name, readOnly: me.account }],
      button: me.account ? undefined : "Change the name",
      others,
      does: ({ name }) => name.trim() === me.name || this.#session.rename(name.trim()),
    });
  }

  login(isFirst = false, { name, reason } = {}) {
    ask({
      title: "Log in",
      about: reason === "" ? "Your account asks for its password at each visit." : "",
      fields: [{ ...NAME, value: name ?? this.#session.me.name, autocomplete: "username" }, { ...PASSWORD, autocomplete: "current-password" }],
      button: "Log in",
      others: isFirst ? [{ label: "Enter as a guest", act: () => this.name() }] : [],
      mustAnswer: isFirst,
      refusal: reason,
      does: ({ name, password }) => this.#session.become(name.trim(), password),
    });
  }

  /** Goes, and asks who comes next. */
  quit() {
    this.#session.quit();
    location.assign(location.pathname);
  }

  register() {
    const { name } = this.#session.me;
    ask({
      title: "Make an account",
      about: `Then nobody else can be ${name}, and your private conversations are kept.`,
      // For the browser, which remembers a password by the name beside it.
      fields: [
        { ...NAME, value: name, autocomplete: "username", readOnly: true },
        { ...PASSWORD, autocomplete: "new-password" },
      ],
      button: "Make it",
      does: ({ password }) => this.#session.register(password),
    });
  }

  async rooms() {
    const session = this.#session;
    ask({
      title: "Rooms",
      fields: [
        { name: "room", label: "Enter a room, or make one", required: true, maxLength: 64, placeholder: "its name", autocomplete: "off" },
        { name: "token", label: "Word for the invited", placeholder: "if it is closed", autocomplete: "off" },
      ],
      button: "Enter",
      does: ({ room, token }) => session.join(bare(room.trim()), token.trim() || undefined),
    });
    const { rooms } = await session.ask({ do: "rooms" }).catch(() => ({ rooms: [] }));
    offer(rooms.filter(({ room }) => !room.startsWith("@")).map((room) => this.#offered(room)));
  }

  #offered({ room, topic, count }) {
    const enter = () => {
      close();
      this.#session.attempt(this.#session.join(room));
    };
    return element("li", {}, element("button", { type: "button", onclick: enter },
      element("span", { className: "head" }, element("bdi", {}, `#${room}`), element("small", {}, `${count} here`)),
      topic && element("span", { className: "text", dir: "auto" }, topic),
    ));
  }

  topic(room) {
    ask({
      title: "Topic",
      about: room.title,
      fields: [{ name: "text", label: "What this room is about", value: room.topic, maxLength: 400 }],
      button: "Set",
      does: ({ text }) => this.#session.ask({ do: "topic", room: room.name, text: text.trim() }),
    });
  }

  /** A link that lets in whoever has it. What follows the `#` of a link is not sent to any server. */
  async invite(room) {
    const { token } = await this.#session.ask({ do: "invite", room: room.name });
    const link = new URL(location.href);
    link.hash = new URLSearchParams({ room: room.name, token });
    ask({
      title: "Invitation",
      about: "Whoever has this link can enter the room. Nobody else can from now on.",
      fields: [{ name: "link", label: "Link", value: link.href, readOnly: true, dir: "ltr" }],
      button: "Copy",
      does: () => copy(find("#ask input")),
    });
    find("#ask input").select();
  }

  /** What an operator does to somebody, and why. */
  rule(room, act, title, name) {
    const lasts = act === "ban" || act === "mute";
    const times = [["", "until it is taken back"], ["600", "10 minutes"], ["3600", "an hour"], ["86400", "a day"], ["604800", "a week"]];
    ask({
      title: `${title} ${name}?`,
      fields: [
        { name: "reason", label: "Reason", placeholder: "none", maxLength: 400, autocomplete: "off" },
        ...(lasts ? [{ name: "seconds", label: "For how long", options: times }] : []),
      ],
      button: title,
      isGrave: true,
      does: ({ reason, seconds }) =>
        this.#session.ask({ do: "rule", room: room.name, act, name, reason: reason || undefined, seconds: seconds ? Number(seconds) : undefined }),
    });
  }

  remove(room, item) {
    ask({
      title: "Delete this message?",
      about: item.text.slice(0, 200),
      button: "Delete",
      isGrave: true,
      does: () => this.#session.ask({ do: "delete", room: this.#session.address(room), of: item.uid }),
    });
  }

  help() {
    ask({ title: "Commands" });
    offer(COMMANDS.map(({ form, help }) => element("li", {}, element("code", {}, form), element("span", {}, help))));
  }
}

async function copy(input) {
  input.select();
  // Where the page did not come over a secure connection, people copy what is selected themselves.
  if (!navigator.clipboard) throw new Error("The link is selected: copy it with Ctrl+C.");
  await navigator.clipboard.writeText(input.value);
}
