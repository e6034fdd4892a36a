// The connection to the server: opened, watched, and opened again when it breaks.

const FIRST_WAIT = 500;
const LONGEST_WAIT = 30_000;
/** A connection that lived this long was a good one: the next attempt comes soon. */
const STEADY = 10_000;
/** What says nothing for so long is asked for a sign of life, and given up if none comes. */
const QUIET = 25_000;
const PATIENCE = 10_000;

/** An answer of the server that something is not done. */
export class Refusal extends Error {
  constructor({ error, hint }) {
    super(hint ? `${error} (${hint})` : error);
  }
}

export class Wire {
  #url;
  #told;
  #socket = null;
  #attempts = 0;
  #openedAt = 0;
  #heardAt = 0;
  #retry = 0;
  #watch = 0;
  #tags = 0;
  #asked = new Map();

  /**
   * @param {string} url
   * @param {{opened(): void, heard(event: object): void, changed(state: object): void}} told
   */
  constructor(url, told) {
    this.#url = url;
    this.#told = told;
    addEventListener("online", () => this.#hurry());
    addEventListener("offline", () => this.#check());
    document.addEventListener("visibilitychange", () => document.hidden || this.#hurry());
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Connects now, whatever there was before. */
  open() {
    this.#drop();
    clearTimeout(this.#retry);
    this.#retry = 0;
    this.#told.changed({ is: "connecting" });
    const socket = (this.#socket = new WebSocket(this.#url));
    const late = setTimeout(() => this.#broke(socket), PATIENCE);
    socket.onopen = () => {
      clearTimeout(late);
      this.#openedAt = this.#heardAt = Date.now();
      this.#watch = setInterval(() => this.#check(), QUIET);
      this.#told.opened();
    };
    socket.onmessage = ({ data }) => this.#heard(data);
    socket.onclose = () => {
      clearTimeout(late);
      this.#broke(socket);
    };
  }

  /** Ends the connection, and opens none until that is wanted. */
  close() {
    this.#drop();
    clearTimeout(this.#retry);
    this.#retry = 0;
    this.#told.changed({ is: "closed" });
  }

  /** Sends a request for whose answer nobody waits; tells whether there was a connection to send it on. */
  send(request) {
    if (!this.isOpen) return false;
    this.#socket.send(JSON.stringify(request));
    return true;
  }

  /** Sends a request, and gives the event that answers it. */
  ask(request) {
    const tag = `${++this.#tags}`;
    return new Promise((resolve, reject) => {
      if (!this.send({ ...request, tag })) return reject(new Error("There is no connection at the moment."));
      this.#asked.set(tag, { resolve, reject });
    });
  }

  #heard(data) {
    this.#heardAt = Date.now();
    let event;
    try {
      event = JSON.parse(data);
    } catch {
      return; // What is not ours to understand is passed over, as later versions may say it.
    }
    const asked = this.#asked.get(event.tag);
    if (asked) {
      this.#asked.delete(event.tag);
      if (event.event === "error") asked.reject(new Refusal(event));
      else asked.resolve(event);
    }
    // A refusal is for the one who asked; all else may change what others show, too.
    if (!asked || event.event !== "error") this.#told.heard(event);
  }

  /** Asks for a sign of life, and gives the connection up if there is none. */
  #check() {
    const socket = this.#socket;
    if (!this.isOpen) return;
    const asked = Date.now();
    this.send({ do: "ping" });
    setTimeout(() => this.#heardAt < asked && this.#broke(socket), PATIENCE);
  }

  #hurry() {
    if (this.#retry) this.open();
    else this.#check();
  }

  #broke(socket) {
    if (socket !== this.#socket) return; // It was given up before.
    if (this.#openedAt && Date.now() - this.#openedAt > STEADY) this.#attempts = 0;
    this.#drop();
    // Chance keeps all the pages that one server had from coming back at the same moment.
    const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.#attempts++) * (0.75 + Math.random() / 2);
    this.#retry = setTimeout(() => this.open(), wait);
    this.#told.changed({ is: navigator.onLine ? "waiting" : "offline", until: Date.now() + wait });
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    this.#openedAt = 0;
    clearInterval(this.#watch);
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
    for (const { reject } of this.#asked.values()) reject(new Error("The connection broke before there was an answer."));
    this.#asked.clear();
  }
}
