
"use strict";

const WHOLE = 1 << 20;          // up to this many bytes a file is sent by one request
const PIECE = 32 << 20;         // larger ones in pieces, since some proxies take no larger ones
const AT_ONCE = 3;              // files that are sent at a time
const TRIES = 8;                // attempts that get nowhere before a file is given up
const SHOWN = 60;               // files that are done and still shown
const REMEMBERED = 100;         // interrupted uploads that are remembered for a later visit

const find = selector => document.querySelector(selector);
const say = text => { find("#announce").textContent = text; };

// Makes an element. Strings become text, never markup: names are not trusted.
function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (bytes >= 1024 && at + 1 < units.length) { bytes /= 1024; at++; }
  return `${at && bytes < 100 ? bytes.toFixed(1) : Math.round(bytes)} ${units[at]}`;
}

// The list ------------------------------------------------------------------------------------------------------------

// Times are sent in UTC, and shown in the reader's own zone.
function localTimes() {
  const two = n => String(n).padStart(2, "0");
  for (const time of document.querySelectorAll("time")) {
    const at = new Date(time.dateTime);
    time.textContent = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}`;
    time.title = at.toString();
  }
}

// Hides the rows without the words while they are typed. Enter lets the server search all folders below.
function filter() {
  const words = find("[name=q]").value.toLowerCase().split(/\s+/).filter(Boolean);
  const asked = new URLSearchParams(location.search).get("q") || "";
  const rows = [...document.querySelectorAll("tbody tr")];
  const same = find("[name=q]").value.trim() === asked.trim();
  let left = 0;
  for (const row of rows) {
    const text = row.cells[0].textContent.toLowerCase();
    row.hidden = !same && !words.every(word => text.includes(word));
    left += !row.hidden;
  }
  const none = find("#none");
  none.dataset.text ??= none.textContent;
  none.hidden = left > 0;
  none.textContent = rows.length ? "Nothing here has that in its name. Enter searches the folders below too." : none.dataset.text;
  if (!same) say(`${left} of ${rows.length}`);
}

function prepare() {
  localTimes();
  filter();
}

// Reads the list anew, and leaves the rest of the page as it is.
async function refresh() {
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const id of ["#list", "#count"]) find(id).replaceWith(page.querySelector(id));
    prepare();
  } catch { /* The list is as old as it was; the next one may be newer. */ }
}

find("[name=q]").addEventListener("input", filter);
document.addEventListener("keydown", event => {
  const typing = event.target.closest("input, textarea");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    find("[name=q]").focus();
  } else if (event.key === "Escape" && typing === find("[name=q]")) {
    typing.value = "";
    filter();
  }
});
prepare();

// Uploads -------------------------------------------------------------------------------------------------------------

const HERE = location.pathname;
const queue = [];
const active = new Set();
const total = { files: 0, bytes: 0, done: 0, failed: 0, sent: 0 };

// Why a request failed: the server's own words, and whether another attempt may do better.
class Failure extends Error {
  constructor(why, status = 0) {
    super(why);
    this.status = status;
    this.again = status === 0 || (status >= 500 && status !== 507);
  }
}

class Stopped extends Error {}

// One request, with its progress. It may be stopped through `item`.
function request(item, method, url, headers = {}, body = null, progress = () => {}) {
  return new Promise((resolve, reject) => {
    if (item.stopped) { reject(new Stopped()); return; }
    const call = new XMLHttpRequest();
    item.call = call;
    call.open(method, url);
    for (const [name, value] of Object.entries(headers)) call.setRequestHeader(name, value);
    call.upload.onprogress = event => progress(event.loaded);
    call.onload = () => resolve(call);
    call.onerror = () => reject(new Failure("the connection was lost"));
    call.onabort = () => reject(item.stopped ? new Stopped() : new Failure("the connection was lost"));
    call.send(body);
  });
}

function good(call) {
  if (call.status >= 200 && call.status < 300) return call;
  const told = call.status === 412 ? "a file of that name is there already" : (call.responseText || "").trim().split("\n")[0];
  throw new Failure(told || `the server answered ${call.status}`, call.status);
}

const offsetOf = call => {
  const text = call.getResponseHeader("Upload-Offset");
  return text === null || text === "" ? null : Number(text);
};

// The places of interrupted uploads, for the next visit.
const places = {
  key: item => JSON.stringify([item.url, item.file.size, item.file.lastModified]),
  all() { try { return JSON.parse(localStorage.getItem("uploads")) || []; } catch { return []; } },
  get(item) { return this.all().find(([key]) => key === this.key(item))?.[1]; },
  set(item, place) {
    const others = this.all().filter(([key]) => key !== this.key(item));
    if (place) others.push([this.key(item), place]);
    try { localStorage.setItem("uploads", JSON.stringify(others.slice(-REMEMBERED))); } catch { /* Then it is not remembered. */ }
  },
};

async function send(item) {
  // Without this the server would be free to replace a file that is there.
  const guard = item.replaces ? {} : { "If-None-Match": "*" };
  if (item.file.size <= WHOLE) {
    const progress = sent => item.progress(Math.min(sent, item.file.size));
    await retried(item, async () => good(await request(item, "PUT", item.url, { ...guard, "Content-Type": "application/octet-stream" }, item.file, progress)));
    return;
  }
  let place = places.get(item);
  let offset = null;
  if (place) {
    const held = await retried(item, () => request(item, "HEAD", place));
    // What the server has given up, or another file had, is begun anew.
    offset = held.status < 300 ? offsetOf(held) : null;
    if (offset !== null && offset > item.file.size) offset = null;
  }
  if (offset === null) {
    const headers = { ...guard, "Upload-Complete": "?0", "Upload-Length": String(item.file.size) };
    const made = await retried(item, async () => good(await request(item, "PUT", item.url, headers)));
    place = new URL(made.getResponseHeader("Location"), new URL(item.url, location.href)).href;
    places.set(item, place);
    offset = 0;
  } else {
    item.resumed = offset;
  }
  item.place = place;
  await sendPieces(item, guard, place, offset);
  places.set(item, null);
}

async function sendPieces(item, guard, place, offset) {
  let done = false;
  while (!done) {
    const end = Math.min(offset + PIECE, item.file.size);
    const from = offset;
    const last = end === item.file.size;
    const headers = {
      ...guard,
      "Upload-Complete": last ? "?1" : "?0",
      "Upload-Offset": String(from),
      "Content-Type": "application/partial-upload",
    };
    item.progress(from);
    try {
      const call = await request(item, "PATCH", place, headers, item.file.slice(from, end), sent => item.progress(Math.min(from + sent, end)));
      if (call.status === 409 && offsetOf(call) !== null) offset = offsetOf(call);
      else { good(call); offset = end; done = last; }
      if (offset > from) item.tries = 0;
      else await pause(item, new Failure("the server and this page do not agree on what is there", 500));
    } catch (error) {
      await pause(item, error);
      const held = good(await retried(item, () => request(item, "HEAD", place)));
      // Its last answer may have been lost on the way.
      done = held.getResponseHeader("Upload-Complete") === "?1";
      offset = offsetOf(held) ?? offset;
      if (offset > from) item.tries = 0;
    }
  }
}

async function retried(item, attempt) {
  for (;;) {
    try { return await attempt(); } catch (error) { await pause(item, error); }
  }
}

// Waits before another attempt, longer each time; or fails for good.
async function pause(item, error) {
  if (!error.again || item.stopped || ++item.tries >= TRIES) throw error;
  const seconds = Math.min(2 ** item.tries / 2, 30);
  item.show("waits", `${error.message}; another attempt in ${Math.ceil(seconds)} s`);
  await new Promise(resolve => { item.wake = resolve; setTimeout(resolve, seconds * 1000); });
  if (item.stopped) throw new Stopped();
}

class Item {
  constructor(file, path) {
    Object.assign(this, { file, path, sent: 0, tries: 0, stopped: false, replaces: false });
    this.url = HERE + path.split("/").map(encodeURIComponent).join("/");
  }

  // Its row is made when it begins: there may be many thousand files.
  open() {
    this.bar = make("progress", { max: Math.max(this.file.size, 1), value: 0, "aria-label": this.path });
    this.does = make("span", { class: "does" });
    this.state = make("p", { class: "state" });
    this.row ??= make("li");
    this.row.replaceChildren(make("span", { class: "name" }, this.path), this.does, this.bar, this.state);
    if (!this.row.isConnected) find("#sending ul").prepend(this.row);
    this.begun = performance.now();
    this.offer("Cancel", () => this.stop());
    this.show("active", "begins");
  }

  offer(...pairs) {
    const buttons = [];
    for (let at = 0; at < pairs.length; at += 2) {
      const button = make("button", { type: "button", "aria-label": `${pairs[at]} ${this.path}` }, pairs[at]);
      button.onclick = pairs[at + 1];
      buttons.push(button);
    }
    this.does.replaceChildren(...buttons);
  }

  show(state, text) {
    this.row.className = state;
    this.state.textContent = text;
  }

  progress(sent) {
    total.sent += sent - this.sent;
    this.first ??= sent;
    this.sent = sent;
    this.bar.value = this.file.size ? sent : 1;
    const rate = (sent - this.first) / Math.max((performance.now() - this.begun) / 1000, 0.2);
    const left = rate > 0 ? `, ${size(rate)}/s, ${time((this.file.size - sent) / rate)} left` : "";
    const from = this.resumed ? `, went on at ${size(this.resumed)}` : "";
    this.show("active", `${size(sent)} of ${size(this.file.size)}${left}${from}`);
    summary();
  }

  stop() {
    this.stopped = true;
    this.call?.abort();
    this.wake?.();
  }

  async run() {
    this.open();
    active.add(this);
    try {
      await send(this);
      this.progress(this.file.size);
      total.done++;
      this.show("done", `${size(this.file.size)}, done`);
      this.bar.remove();
      this.does.replaceChildren();
    } catch (error) {
      this.failed(error);
    }
    active.delete(this);
    pump();
  }

  failed(error) {
    this.bar.remove();
    total.failed++;
    total.sent -= this.sent;
    this.sent = 0;
    if (error instanceof Stopped) {
      this.show("failed", "cancelled");
      // What has come of it is not kept for somebody who does not want it.
      if (this.place) fetch(this.place, { method: "DELETE" }).catch(() => {});
      places.set(this, null);
    } else {
      this.show("failed", error.message);
      say(`${this.path}: ${error.message}`);
    }
    const again = replaces => () => {
      // An upload that must not replace anything remembers that: another one may.
      if (replaces !== this.replaces) places.set(this, null);
      Object.assign(this, { stopped: false, tries: 0, replaces, first: undefined, resumed: undefined });
      total.failed--;
      this.show("waits", "waits");
      queue.push(this);
      pump();
    };
    if (error.status === 412 && find("#upload").dataset.overwrite) this.offer("Replace", again(true));
    else this.offer(error instanceof Stopped ? "Send again" : "Retry", again(this.replaces));
  }
}

function time(seconds) {
  const s = Math.ceil(seconds);
  if (s < 100) return `${s} s`;
  return s < 6000 ? `${Math.round(s / 60)} min` : `${Math.round(s / 3600)} h`;
}

function pump() {
  while (active.size < AT_ONCE && queue.length) queue.shift().run();
  const done = document.querySelectorAll("#sending li.done");
  for (const row of [...done].slice(SHOWN)) row.remove();
  summary();
  if (!active.size && total.files) {
    say(total.failed ? `${total.failed} files were not sent` : `all files were sent`);
    refresh();
  }
}

function summary() {
  find("#sending").hidden = !total.files;
  const failed = total.failed ? `, ${total.failed} not sent` : "";
  find("#sum").textContent = `${total.done} of ${total.files} ${total.files === 1 ? "file" : "files"} sent${failed}, ${size(total.sent)} of ${size(total.bytes)}`;
  find("#stop").hidden = !active.size && !queue.length;
}

function add(file, path) {
  total.files++;
  total.bytes += file.size;
  queue.push(new Item(file, path));
}

// What is dropped: files, and folders with all that is in them. An empty folder is made too.
async function dropped(entries) {
  for (const entry of entries) {
    try { await walk(entry, ""); } catch (error) { say(`${entry.name}: ${error.message}`); }
  }
  pump();
}

async function walk(entry, folder) {
  const path = folder + entry.name;
  if (entry.isFile) {
    add(await new Promise((resolve, reject) => entry.file(resolve, reject)), path);
    return;
  }
  const reader = entry.createReader();
  let empty = true;
  for (;;) {
    // A reader gives a hundred at a time, and nothing at the end.
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) break;
    empty = false;
    for (const inner of some) await walk(inner, `${path}/`);
    pump();
  }
  if (empty) await fetch(HERE + path.split("/").map(encodeURIComponent).join("/"), { method: "MKCOL" });
}

function choose(text, attributes, main) {
  const input = make("input", { type: "file", multiple: "", ...attributes });
  input.onchange = () => {
    for (const file of input.files) add(file, file.webkitRelativePath || file.name);
    // The same files may be chosen again.
    input.value = "";
    pump();
  };
  return make("label", { class: main ? "button main" : "button" }, text, input);
}

function uploads(section) {
  section.classList.add("live");
  const files = choose("Upload files", { id: "choose" }, true);
  const folder = choose("Upload a folder", { webkitdirectory: "" }, false);
  section.querySelector("form.files").replaceChildren(files, folder, make("span", { class: "drop" }, "or drop them anywhere"));
  find("#stop").onclick = () => {
    for (const item of queue.splice(0)) { item.stopped = true; item.open(); item.failed(new Stopped()); }
    for (const item of [...active]) item.stop();
    summary();
  };
  const carries = event => event.dataTransfer?.types.includes("Files");
  let over = null;
  const leave = () => { over?.remove(); over = null; };
  addEventListener("dragover", event => {
    if (!carries(event)) return;
    event.preventDefault();
    over ??= document.body.appendChild(make("div", { id: "over" }, "Drop to upload"));
  });
  addEventListener("dragleave", event => { if (!event.relatedTarget) leave(); });
  addEventListener("drop", event => {
    leave();
    if (!carries(event)) return;
    event.preventDefault();
    dropped([...event.dataTransfer.items].map(item => item.webkitGetAsEntry()).filter(Boolean));
  });
  addEventListener("beforeunload", event => { if (active.size) event.preventDefault(); });
}

if (find("#upload")) uploads(find("#upload"));
