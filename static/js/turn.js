// One run on the page: what was said in it, its tool calls, what it is doing now and how it ended. It is drawn from the
// server's HTML or from nothing, and then changed by the run's events alone. Hearing an event twice changes nothing.

import { Stream, draw, sourceOf } from "markdown";
import { brief, clock, duration, fromTemplate, setBadge } from "shell";

const TERMINAL = new Set(["success", "error", "timeout", "cancelled"]);
const STATUS_OF_CALL = { ok: "success", rejected: "cancelled", waiting: "interrupted" };
const DECIDED = { edit: "edited", respond: "answered" };
const OPEN = '.badge:is([data-st="running"], [data-st="interrupted"])';

export class Turn {
  // `page` hears `changed(turn)` after every change, `answerBegins(article)`, `ended(turn, status)`, and gives `now()`.
  constructor(section, page) {
    this.section = section;
    this.page = page;
    this.streams = new Map();
    this.reasoning = new Map();
    this.phase = null;
    this.stoppedHere = false;
    if (this.isActive) this.continueFromHtml();
  }

  static create(page, runId) {
    const section = document.createElement("section");
    section.className = "turn";
    section.dataset.live = "";
    section.dataset.status = "pending";
    if (runId) section.dataset.run = runId;
    return new Turn(section, page);
  }

  get id() {
    return this.section.dataset.run ?? null;
  }

  get status() {
    return this.section.dataset.status;
  }

  get isActive() {
    return !TERMINAL.has(this.status);
  }

  get hasBegun() {
    return "started" in this.section.dataset;
  }

  continueFromHtml() {
    const { dataset } = this.section;
    dataset.live = "";
    if (!dataset.run) return;
    const since = Date.parse(dataset.started ?? dataset.since ?? "") || this.page.now();
    const calling = this.section.querySelector('.badge[data-st="running"]');
    if (this.status === "interrupted") return; // what it asks stands below
    if (dataset.started) this.doing(calling ? "Running tools" : "Asking the model", since);
    else if ("head" in dataset) this.waitForWorker(since);
    else this.queue();
  }

  // -- what the person said ------------------------------------------------------------------------------------------

  say(text) {
    const article = fromTemplate("user");
    article.querySelector(".bubble").textContent = text;
    this.stamp(article, new Date());
    this.add(article);
    return article;
  }

  // -- waiting -------------------------------------------------------------------------------------------------------

  queue() {
    this.note(fromTemplate("queued"));
  }

  waitForWorker(since = this.page.now()) {
    this.note(null);
    this.doing("Waiting for a worker", since);
  }

  note(node) {
    this.section.querySelector(".queued")?.remove();
    this.section.querySelector(".user")?.classList.toggle("waiting", node !== null);
    if (node) {
      this.doing(null);
      this.add(node);
    }
  }

  // -- events --------------------------------------------------------------------------------------------------------

  hear({ event, seq, ts, data }) {
    const handler = this[`on_${event}`];
    if (!handler) return;
    handler.call(this, data, { seq, ts });
    this.page.changed(this);
  }

  on_metadata(data, { ts }) {
    if (!this.isActive) return;
    this.section.dataset.status = "running";
    this.section.dataset.started ??= ts;
    this.section.dataset.version = data.assistant_version;
    this.note(null);
    this.doing("Asking the model", Date.parse(ts));
  }

  on_status(data, { ts }) {
    if (!this.isActive) return;
    this.section.dataset.status = data.status;
    if (data.status !== "pending") return;
    this.markOpen("running");
    const due = data.next_attempt_at && Date.parse(data.next_attempt_at);
    const waitsFor = this.section.querySelector(`.call:has(.child) ${OPEN}`) ? "sub-agents" : "a worker";
    const words = this.failure ? `${this.failure}; trying again` : `Waiting for ${waitsFor}`;
    this.doing(due ? `${words} in ${duration(Math.max(0, (due - Date.parse(ts)) / 1000))}` : words, Date.parse(ts));
  }

  on_token({ message_id, text, kind }, { seq, ts }) {
    if (kind === "reasoning") {
      this.think(message_id, text, seq);
      return;
    }
    const stream = this.stream(message_id, ts);
    if (!stream) return;
    stream.append(seq, text);
    if (this.phase !== "Writing") this.doing("Writing", Date.parse(ts));
  }

  stream(messageId, ts) {
    const known = this.streams.get(messageId);
    if (known) return known;
    if (this.article(messageId)) return null; // whole already
    const article = fromTemplate("assistant");
    article.dataset.id = messageId;
    this.stamp(article, new Date(ts));
    const stream = new Stream(article);
    this.streams.set(messageId, stream);
    this.add(article);
    this.page.answerBegins(article);
    return stream;
  }

  think(messageId, text, seq) {
    let thought = this.reasoning.get(messageId);
    if (!thought) {
      const node = document.createElement("details");
      node.className = "reasoning";
      node.innerHTML = "<summary>Reasoning</summary><div></div>";
      thought = { node, pieces: [] };
      this.reasoning.set(messageId, thought);
      this.add(node);
      this.page.answerBegins(node);
    }
    thought.pieces.push({ seq, text });
    thought.node.lastElementChild.textContent = thought.pieces.map((piece) => piece.text).join("");
    if (this.phase !== "Reasoning") this.doing("Reasoning", this.page.now());
  }

  on_message(message, { seq, ts }) {
    if (message.metadata.asked_again) this.heardNote(message);
    else if (message.role === "user") this.heardUser(message);
    else if (message.role === "assistant") this.heardAssistant(message, seq, ts);
    else if (message.role === "tool") this.settle(message.tool_call_id, message);
  }

  heardUser(message) {
    if (this.article(message.id)) return;
    const provisional = this.section.querySelector(".user:not([data-id])") ?? this.say("");
    provisional.dataset.id = message.id;
    const bubble = provisional.querySelector(".bubble");
    if (!bubble.textContent) bubble.textContent = textOf(message.content);
  }

  /** What the agent itself wrote to its model, in the user's place. */
  heardNote(message) {
    if (this.article(message.id)) return;
    const note = fromTemplate("note");
    note.dataset.id = message.id;
    note.querySelector("p").textContent = textOf(message.content);
    this.add(note);
  }

  heardAssistant(message, seq, ts) {
    const text = textOf(message.content);
    const stream = this.streams.get(message.id);
    if (stream) {
      stream.finish(text);
      stream.article.dataset.said = seq;
      this.streams.delete(message.id);
      if (!text) stream.article.remove();
    } else if (text && !this.article(message.id)) {
      const article = fromTemplate("assistant");
      article.dataset.id = message.id;
      article.dataset.said = seq;
      this.stamp(article, new Date(ts));
      draw(article.querySelector(".md"), text);
      this.add(article);
      this.page.answerBegins(article);
    }
    for (const call of message.tool_calls) this.call(call).dataset.said ??= seq;
    if (message.tool_calls.length) {
      this.doing(`Running ${[...new Set(message.tool_calls.map(({ name }) => name))].join(", ")}`, Date.parse(ts));
    }
  }

  on_tool_call(call) {
    this.call(call);
  }

  on_tool_result(result, { seq, ts }) {
    const line = this.call({ ...result, args: result.args ?? null });
    line.dataset.seq = seq;
    const { status, decision } = result;
    this.mark(line, status, result.duration_ms, status === "ok" ? DECIDED[decision] : null);
    line.payload = { ...line.payload, status, result: result.result, error: result.error };
    if (decision === "edit") {
      line.payload.args = result.args;
      line.querySelector(".args").textContent = brief(result.args);
    }
    if (!this.section.querySelector('.call .badge[data-st="running"]')) this.doing("Asking the model", Date.parse(ts));
  }

  on_custom({ name, value }) {
    if (name !== "subagent_started") return;
    const line = this.section.querySelector(`.call[data-call="${CSS.escape(value.tool_call_id)}"]`);
    if (!line || line.querySelector(".child")) return;
    const link = document.createElement("a");
    link.className = "child";
    link.href = value.session_id; // beside this conversation's own address
    link.textContent = value.subagent || "sub-agent";
    line.querySelector(".name").after(link);
  }

  on_superseded({ from_seq, to_seq }) {
    for (const [id, stream] of this.streams) {
      stream.drop(from_seq, to_seq);
      if (stream.pieces.length) continue;
      stream.article.remove();
      this.streams.delete(id);
    }
    for (const [id, thought] of this.reasoning) {
      thought.pieces = thought.pieces.filter(({ seq }) => seq < from_seq || seq > to_seq);
      thought.node.lastElementChild.textContent = thought.pieces.map((piece) => piece.text).join("");
      if (thought.pieces.length) continue;
      thought.node.remove();
      this.reasoning.delete(id);
    }
    // A run that is stored at its end only has told whole steps that nothing kept.
    for (const node of this.section.querySelectorAll("[data-said]")) {
      if (node.dataset.said >= from_seq && node.dataset.said <= to_seq) node.remove();
    }
    for (const line of this.section.querySelectorAll(".call[data-seq]")) {
      if (line.dataset.seq >= from_seq && line.dataset.seq <= to_seq) this.mark(line, "running", null);
    }
  }

  on_error(error) {
    this.failure = firstLine(error.message);
    this.failureCode = error.code;
  }

  on_interrupt() {
    this.section.dataset.status = "interrupted";
    this.doing(null);
    this.markOpen("waiting");
  }

  on_end({ status, error, usage }, { ts }) {
    const { dataset } = this.section;
    dataset.status = status;
    this.note(null);
    this.doing(null);
    for (const stream of this.streams.values()) stream.finish(stream.text);
    this.streams.clear();
    this.markOpen("cancelled");
    this.section.querySelectorAll(":scope > :is(.failure, footer)").forEach((node) => node.remove());
    if (status === "error" || status === "timeout") this.section.append(this.failureCard(status, error));
    this.section.append(this.footer(status, usage, ts, error?.code));
    this.page.ended(this, status);
  }

  failureCard(status, error) {
    const card = fromTemplate("failure");
    setBadge(card.querySelector(".badge"), status, status);
    card.querySelector(".reason").textContent = firstLine(error?.message ?? this.failure ?? "The run failed.");
    card.querySelector(".class").textContent = error?.code ?? this.failureCode ?? "";
    return card;
  }

  footer(status, usage, ts, code) {
    const { started, version } = this.section.dataset;
    const node = fromTemplate("footer");
    const took = started ? (Date.parse(ts) - Date.parse(started)) / 1000 : null;
    const first = node.querySelector("[data-took]");
    first.textContent = duration(took);
    first.title = "Duration";
    if (status === "cancelled") {
      first.className = "stopped";
      const by = this.stoppedHere ? " by you" : "";
      first.textContent = code === "interrupt_expired" ? "Nobody answered in time" : took === null ? "Cancelled before it began" : `Stopped${by} after ${duration(took)}`;
    }
    node.querySelector("[data-tokens]").textContent =
      `${(usage?.input_tokens ?? 0).toLocaleString("en")} in · ${(usage?.output_tokens ?? 0).toLocaleString("en")} out`;
    node.querySelector("[data-version]").textContent = version ? `v${version}` : "";
    if (status !== "success") node.querySelector("button").remove();
    if (took === null) node.querySelectorAll("[data-tokens], [data-version]").forEach((part) => part.remove());
    return node;
  }

  // -- tool calls ----------------------------------------------------------------------------------------------------

  call({ id, name, args }) {
    const known = this.section.querySelector(`.call[data-call="${CSS.escape(id)}"]`);
    if (known) return known;
    const line = fromTemplate("call");
    line.dataset.call = id;
    line.querySelector(".name").textContent = name;
    line.querySelector(".args").textContent = args ? brief(args) : "";
    line.payload = { args };
    setBadge(line.querySelector(".badge"), "running", "running");
    this.add(line);
    this.page.answerBegins(line);
    return line;
  }

  // A tool's message came without a result of its own: the call was cancelled.
  settle(callId, message) {
    const line = this.section.querySelector(`.call[data-call="${CSS.escape(callId ?? "")}"]`);
    if (!line?.querySelector(OPEN)) return;
    this.mark(line, "cancelled", null);
    line.payload = { ...line.payload, result: textOf(message.content) };
  }

  // The calls that have no result yet.
  markOpen(status) {
    for (const badge of this.section.querySelectorAll(`.call ${OPEN}`)) this.mark(badge.closest(".call"), status, null);
  }

  mark(line, status, milliseconds, word) {
    setBadge(line.querySelector(".badge"), STATUS_OF_CALL[status] ?? status, word ?? status);
    line.querySelector(".took").textContent = milliseconds == null ? "" : duration(milliseconds / 1000);
  }

  // -- what it is doing ----------------------------------------------------------------------------------------------

  doing(what, since) {
    this.phase = what;
    this.since = since;
    if (!what) {
      this.activity?.remove();
      this.activity = null;
      return;
    }
    if (!this.activity) {
      this.activity = fromTemplate("activity");
      this.section.append(this.activity);
    }
    this.activity.querySelector(".what").textContent = what;
    this.tick();
  }

  tick() {
    if (!this.activity) return;
    const seconds = Math.max(0, Math.floor((this.page.now() - this.since) / 1000));
    this.activity.querySelector(".since").textContent = seconds < 60 ? `${seconds} s` : duration(seconds);
  }

  // -- drawing -------------------------------------------------------------------------------------------------------

  show() {
    for (const stream of this.streams.values()) stream.show();
  }

  add(node) {
    const end = [...this.section.children].find((child) => child.matches(".activity, .failure, footer, .queued"));
    this.section.insertBefore(node, end ?? null);
  }

  article(messageId) {
    return this.section.querySelector(`article[data-id="${CSS.escape(messageId)}"]`);
  }

  stamp(article, date) {
    const name = article.classList.contains("user") ? "You" : "Assistant";
    article.setAttribute("aria-label", `${name}, ${clock(date)}`);
    if (name !== "You") return;
    const time = document.createElement("time");
    time.className = "at";
    time.dateTime = date.toISOString();
    time.textContent = clock(date);
    article.append(time);
  }

  get markdown() {
    return [...this.section.querySelectorAll(".assistant .md")].map((md) => sourceOf(md)).join("\n\n");
  }
}

function textOf(content) {
  if (typeof content === "string") return content;
  return content.filter(({ type }) => type === "text").map(({ text }) => text).join("\n\n");
}

const firstLine = (text) => text.trim().split("\n", 1)[0];
