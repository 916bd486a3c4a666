// What is live about a page: its socket, the pill that says how fresh it is, and what the log shows while it grows.
//
// One websocket for the page: it comes back by itself, goes on after the last event it saw, and always says how fresh
// the page is. Where no websocket gets through, it reads the committed events every few seconds instead.

import { renew } from "shell";

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;
const CHECK_EVERY_MS = 5_000;
const PING_EVERY_MS = 20_000;
const ANSWER_WITHIN_MS = 10_000;
const PAUSE_WHEN_HIDDEN_MS = 60_000;
const SIGNED_OUT = 4401;
const GONE = 4404;
const LIMITED = 4429;

export class Disconnected extends Error {}

export class Refused extends Error {
  constructor(error) {
    super(error.detail);
    this.code = error.code;
    this.requestId = error.request_id;
    this.faults = error.errors ?? []; // where in what was sent, and why
  }
}

export async function fetchJson(address, options = {}) {
  const answer = await fetch(address, { ...options, headers: { accept: "application/json", ...options.headers } });
  const document = await answer.json().catch(() => ({ detail: `The server answered ${answer.status}.` }));
  // Without a login the console leads to the login page.
  if (answer.redirected) throw new Refused({ detail: "You are signed out. Sign in in a new tab, then try again." });
  if (!answer.ok) throw new Refused(document);
  return document;
}

function position(id) {
  const [number, seq] = id.split("-").map(Number);
  return { number, seq };
}

function isNewer(id, than) {
  const a = position(id);
  const b = position(than);
  return a.number > b.number || (a.number === b.number && a.seq > b.seq);
}

export class Live {
  // `onEvent(event)` hears every event once, in order; `onState(name, {since})` what the pill says; `onRefused(code)`
  // that the server does not want this page any more; `check(after)` reads committed events without a websocket.
  constructor({ address, after, onEvent, onState, onRefused, check }) {
    Object.assign(this, { address, after, onEvent, onState, onRefused, check });
    this.waiting = new Map();
    this.ref = 0;
    this.failures = 1; // two failed connects at the start are as telling as two after a lost connection
    this.heard = Date.now();
    this.ended = false;
    addEventListener("online", () => this.retryNow());
    addEventListener("offline", () => this.drop());
    addEventListener("pagehide", () => this.close());
    addEventListener("pageshow", (event) => event.persisted && this.retryNow());
    document.addEventListener("visibilitychange", () => this.visibilityChanged());
    setInterval(() => this.ping(), PING_EVERY_MS);
    this.connect();
  }

  get isOpen() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  // Carry out an action of the session's protocol; gives its `data`. Throws Refused, or Disconnected where nobody
  // knows whether the server heard it.
  request(action, fields = {}) {
    if (!this.isOpen) return Promise.reject(new Disconnected());
    const ref = String(++this.ref);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.drop(), ANSWER_WITHIN_MS);
      this.waiting.set(ref, { resolve, reject, timer });
      this.socket.send(JSON.stringify({ action, ref, ...fields }));
    });
  }

  connect() {
    clearTimeout(this.timer);
    if (this.ended || this.socket) return;
    if (!navigator.onLine) {
      this.say("offline");
      return;
    }
    const url = new URL(this.address, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    url.searchParams.set("after", this.after);
    const socket = new WebSocket(url, "agent-server.v1");
    this.socket = socket;
    socket.onopen = () => {
      this.openedAt = Date.now();
      this.heard = Date.now();
      this.say("live");
    };
    socket.onmessage = ({ data }) => this.hear(JSON.parse(data));
    socket.onclose = ({ code }) => socket === this.socket && this.closed(code);
  }

  hear(frame) {
    this.heard = Date.now();
    if ("ref" in frame) {
      const asked = this.waiting.get(frame.ref);
      this.waiting.delete(frame.ref);
      clearTimeout(asked?.timer);
      if (frame.ok) asked?.resolve(frame.data);
      else asked?.reject(new Refused(frame.error));
      return;
    }
    this.failures = 0;
    this.take(frame);
  }

  take(event) {
    if (!isNewer(event.id, this.after)) return;
    this.after = event.id;
    this.onEvent(event);
  }

  closed(code) {
    this.socket = null;
    for (const { reject, timer } of this.waiting.values()) {
      clearTimeout(timer);
      reject(new Disconnected());
    }
    this.waiting.clear();
    if (this.ended) return;
    if (code === SIGNED_OUT || code === GONE) {
      this.ended = true;
      this.say("offline");
      this.onRefused(code);
      return;
    }
    // A connection that held for a while was a good one: begin to count anew.
    this.failures = Date.now() - (this.openedAt ?? 0) > ANSWER_WITHIN_MS && this.openedAt ? 1 : this.failures + 1;
    this.openedAt = null;
    if (!navigator.onLine) this.say("offline");
    else if (this.failures > 2) this.startChecking();
    else this.say("reconnecting");
    const pause = Math.min(FIRST_PAUSE_MS * 2 ** (this.failures - 1), LONGEST_PAUSE_MS);
    const wait = code === LIMITED ? 30_000 : pause * (0.75 + Math.random() / 2);
    this.timer = setTimeout(() => this.connect(), wait);
  }

  // Give the connection up as it is, and try again.
  drop() {
    const socket = this.socket;
    if (!socket) return;
    socket.onclose = null;
    socket.onmessage = null;
    socket.close();
    this.closed(1006);
  }

  retryNow() {
    if (this.ended) return;
    this.paused = false;
    this.connect();
  }

  close() {
    clearTimeout(this.timer);
    clearTimeout(this.checking);
    const socket = this.socket;
    this.socket = null;
    if (socket) socket.onclose = null;
    socket?.close();
  }

  visibilityChanged() {
    clearTimeout(this.hideTimer);
    if (document.hidden) {
      this.hideTimer = setTimeout(() => {
        this.close();
        this.paused = true;
        this.say("paused");
      }, PAUSE_WHEN_HIDDEN_MS);
    } else if (this.paused || !this.socket) {
      this.retryNow();
    }
  }

  // Browsers do not tell that the other side is gone.
  ping() {
    if (this.isOpen && Date.now() - this.heard > PING_EVERY_MS) this.request("ping").catch(() => {});
  }

  startChecking() {
    this.say("checking");
    clearTimeout(this.checking);
    const once = async () => {
      if (this.isOpen || this.ended || this.paused) return;
      try {
        const events = await this.check(this.after);
        this.heard = Date.now();
        this.say("checking");
        events.forEach((event) => this.take(event));
      } catch {
        this.say("reconnecting");
      }
      this.checking = setTimeout(once, CHECK_EVERY_MS);
    };
    once();
  }

  say(state) {
    this.state = state;
    this.onState(state, this.heard);
  }
}

// What stands beside the turns, and is fetched again when an event says that it changed: what a person is asked, and what
// is to be done.
export class Beside {
  // `page` is what the card needs (asked.js), and `notice(text)`.
  constructor(region, todos, page) {
    Object.assign(this, { region, todos, page });
    if (region.firstElementChild) this.load();
  }

  get asks() {
    return this.region.querySelector(".asked") !== null;
  }

  hear({ event, run_id, data }) {
    const isOver = this.asked?.run === run_id && (event === "status" || event === "end");
    if (event === "interrupt" || isOver) this.renewAsked();
    else if (event === "metadata" || event === "end") this.asked?.forget(run_id);
    // The list is the session's once the step is stored that wrote it.
    this.todosChanged ||= event === "custom" && data.name === "todos";
    if (this.todosChanged && (event === "checkpoint" || event === "end")) {
      this.todosChanged = false;
      renew(this.todos);
    }
  }

  async load() {
    const { Asked } = await import("asked");
    this.asked ??= new Asked(this.region, this.page);
  }

  async renewAsked() {
    try {
      await this.load();
      await this.asked.renew();
    } catch {
      this.page.notice("What the assistant asks could not be read. Reload the page.");
    }
  }
}

const WORDS = {
  live: () => "Live",
  paused: () => "Paused",
  reconnecting: (seconds) => `Reconnecting, last update ${seconds} s ago`,
  checking: () => "Checking every 5 s",
  offline: () => "Offline",
};

// Keep a pill saying how fresh the page is; gives the `onState` for it.
export function pillOf(node) {
  const label = node.querySelector(".label");
  let state = null;
  let heard = Date.now();
  const write = () => {
    if (state) label.textContent = WORDS[state](Math.round((Date.now() - heard) / 1000));
  };
  setInterval(() => state === "reconnecting" && write(), 1000);
  return (name, at) => {
    [state, heard] = [name, at];
    node.dataset.state = name;
    write();
  };
}

// The log is followed only until the answer's first line reaches the top; then the reader reads. Any upward scroll stops
// the following. Nothing moves smoothly.
const NEAR = 24;

export class Follow {
  constructor(log, button) {
    this.log = log;
    this.button = button;
    this.anchor = null; // what must not leave at the top
    this.following = false;
    this.top = log.scrollTop;
    log.addEventListener("scroll", () => this.scrolled(), { passive: true });
    for (const name of ["wheel", "touchmove"]) log.addEventListener(name, () => this.scrolled(), { passive: true });
    button.addEventListener("click", () => this.toEnd());
    new ResizeObserver(() => this.update()).observe(log);
  }

  get distance() {
    return this.log.scrollHeight - this.log.clientHeight - this.log.scrollTop;
  }

  scrolled() {
    if (this.log.scrollTop < this.top - 1) this.following = false;
    this.top = this.log.scrollTop;
    this.showButton();
  }

  // Show what was just sent and follow the answer to it, up to its first line at the top.
  toMessage() {
    this.following = true;
    this.anchor = null;
    this.set(this.log.scrollHeight);
  }

  toEnd() {
    this.following = true;
    this.anchor = null;
    this.unbounded = true;
    this.set(this.log.scrollHeight);
    this.showButton();
  }

  answerBegins(article) {
    if (this.following && !this.anchor && !this.unbounded) this.anchor = article;
  }

  // Call after the log has grown.
  update() {
    if (this.following) {
      const end = this.log.scrollHeight - this.log.clientHeight;
      const limit = this.anchor?.isConnected ? this.offset(this.anchor) - 8 : Infinity;
      if (Math.min(end, limit) > this.log.scrollTop) this.set(Math.min(end, limit));
    }
    this.showButton();
  }

  answerEnded() {
    if (this.anchor) this.following = false;
    this.anchor = null;
    this.unbounded = false;
  }

  // Put what was said earlier above what is there, in place of the button that asked for it: the reader stays where
  // they are.
  prepend(fragment, button, dress) {
    const fromEnd = this.log.scrollHeight - this.log.scrollTop;
    const first = this.log.querySelector(".turn");
    const last = fragment.querySelector(".turn:last-of-type");
    button.remove();
    if (last?.dataset.run && last.dataset.run === first?.dataset.run) {
      // A run whose messages were split between the two: how it ended is shown below already.
      last.querySelectorAll(":scope > :is(footer, .failure)").forEach((node) => node.remove());
      first.prepend(...last.children);
      last.remove();
    }
    this.log.prepend(fragment);
    dress();
    this.set(this.log.scrollHeight - fromEnd);
  }

  // Bring what somebody is to answer into view, its beginning at least.
  show(node) {
    if (!this.following) return;
    this.anchor = node;
    this.update();
  }

  offset(node) {
    return node.getBoundingClientRect().top - this.log.getBoundingClientRect().top + this.log.scrollTop;
  }

  set(top) {
    this.log.scrollTop = top;
    this.top = this.log.scrollTop;
  }

  showButton() {
    this.button.hidden = this.distance < NEAR;
  }
}
