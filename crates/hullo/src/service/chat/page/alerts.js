// What tells somebody who is elsewhere that something was said: the title, a notification, a voice.

import { announce, find, toast } from "./dom.js";
import { forever } from "./store.js";

export class Alerts {
  #session;
  #button = find("#notify");
  #isWanted = forever.get("notify", false);

  constructor(session) {
    this.#session = session;
    for (const kind of ["rooms", "shown"]) session.on(kind, () => this.#title());
    session.on("said", (said) => this.#said(said));
    this.#button.addEventListener("click", () => this.#toggle());
    this.#show();
    this.#title();
  }

  #title() {
    const { rooms, current } = this.#session;
    const unread = [...rooms.values()].reduce((sum, room) => sum + room.unread, 0);
    document.title = `${unread ? `(${unread}) ` : ""}${current.title} · Chat`;
  }

  #said({ room, item, mentions }) {
    const where = room === this.#session.current ? "" : ` in ${room.title}`;
    if (room === this.#session.current || mentions) announce(`${item.from}${where}: ${item.text}`);
    if (!mentions || !document.hidden || !this.#isOn) return;
    const title = room.isPrivate ? item.from : `${item.from}${where}`;
    const notification = new Notification(title, { body: item.text.slice(0, 300), tag: room.name, icon: "icon.svg" });
    notification.onclick = () => {
      window.focus();
      this.#session.show(room);
      notification.close();
    };
  }

  get #isOn() {
    return this.#isWanted && "Notification" in window && Notification.permission === "granted";
  }

  /** Asked for by a button only, as nobody says yes to a page that asks by itself. */
  async #toggle() {
    const wants = !this.#isOn;
    if (wants && (await Notification.requestPermission()) !== "granted") {
      return toast("The browser does not let this page notify you. Its settings for this site change that.");
    }
    this.#isWanted = wants;
    forever.put("notify", wants);
    this.#show();
    toast(wants ? "You are notified of mentions and private messages while this page is hidden." : "You are no longer notified.");
  }

  #show() {
    // Browsers notify only for pages that came over a secure connection or from this machine.
    this.#button.hidden = !("Notification" in window) || !isSecureContext;
    const label = this.#isOn ? "Stop notifications" : "Notify me of mentions";
    this.#button.setAttribute("aria-pressed", `${this.#isOn}`);
    this.#button.setAttribute("aria-label", label);
    this.#button.title = label;
  }
}
