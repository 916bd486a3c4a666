// The chat: what the person does, and what the session's events do to the page.

import { Beside, Follow, Live, Refused, fetchJson, pillOf } from "live";
import { draw } from "markdown";
import { copy, fromTemplate, localise, renew, showPayload, stored, watchWorker } from "shell";
import { Turn } from "turn";

const WORKER_EXPECTED_WITHIN_MS = 4_000;

const $ = (id) => document.getElementById(id);
const page = $("main");
const log = $("log");
const { session, api, csrf } = page.dataset;
const offset = page.dataset.now ? Date.parse(page.dataset.now) - Date.now() : 0;
const composer = $("composer");
const message = $("message");
const follow = new Follow(log, $("newest"));
const turns = new Map(); // run id -> Turn
const store = stored(session ?? "new"); // a draft, and what was sent without an answer yet, of this tab
let live = null;

// -- talking to the server -----------------------------------------------------------------------------------------

const post = (path, body) =>
  fetchJson(api + path, {
    method: "POST",
    headers: { "content-type": "application/json", "x-csrftoken": csrf },
    body: JSON.stringify(body),
  });

const act = (action, path, body, ids) => (live.isOpen ? live.request(action, { ...body, ...ids }) : post(path, body));
const send = (body) => act("send", `sessions/${session}/runs`, body);
const resume = (run, body) => act("resume", `runs/${run}/resume`, body, { run_id: run });
const cancel = (run) => act("cancel", `runs/${run}/cancel`, {}, { run_id: run });

function notice(text) {
  $("notice").textContent = text ?? "";
  $("notice").hidden = !text;
}

const announce = (text) => ($("status").textContent = text);
const explain = (error) =>
  error instanceof Refused
    ? `${error.message}${error.requestId ? ` (request ${error.requestId})` : ""}`
    : "The server cannot be reached. Your text is kept.";

const beside = session && new Beside($("asked"), $("todos"), {
  resume, announce, notice, explain,
  left: () => (matchMedia("(pointer: coarse)").matches ? log : message ?? log).focus(),
  drawn: (card) => {
    if (card) follow.show(card);
    refreshSidebar();
    showState();
  },
});

// -- the turns -----------------------------------------------------------------------------------------------------

let frame = 0;
const changed = new Set();
const stage = {
  now: () => Date.now() + offset,
  changed(turn) {
    changed.add(turn);
    frame ||= requestAnimationFrame(show);
  },
  answerBegins: (article) => follow.answerBegins(article),
  ended(turn, status) {
    refreshSidebar();
    if (!turn.hasBegun) return; // cancelled in the queue: the reply before it goes on
    follow.answerEnded();
    announce({ success: "Reply finished", cancelled: "Stopped" }[status] ?? "The run failed");
    waiting()[0]?.waitForWorker();
  },
};

function show() {
  frame = 0;
  for (const turn of changed) turn.show();
  changed.clear();
  follow.update();
  showState();
}

const all = () => [...log.querySelectorAll(".turn")].map(turnOf);
const waiting = () => all().filter((turn) => turn.id && turn.status === "pending" && !turn.hasBegun);
const active = () => all().find((turn) => turn.isActive && (turn.hasBegun || turn.phase)) ?? null;

function turnOf(section) {
  section.turn ??= new Turn(section, stage);
  if (section.turn.id) turns.set(section.turn.id, section.turn);
  return section.turn;
}

function place(turn, before = null) {
  turn.section.turn = turn;
  log.querySelector(".welcome")?.remove();
  log.insertBefore(turn.section, before ?? $("asked"));
}

function hear(event) {
  let turn = turns.get(event.run_id);
  if (!turn) {
    turn = Turn.create(stage, event.run_id);
    turns.set(event.run_id, turn);
    // A run that has begun comes before all that still wait for their turn.
    place(turn, all().find((other) => other.status === "pending" && !other.hasBegun)?.section ?? null);
  }
  if (event.event === "metadata" && turn.isActive) {
    announce("Assistant is replying");
    refreshSidebar();
  }
  turn.hear(event);
  beside?.hear(event);
}

function showState() {
  const busy = active();
  log.setAttribute("aria-busy", String(Boolean(busy?.hasBegun && busy.status !== "interrupted")));
  if (!composer) return;
  $("instead").hidden = !beside?.asks;
  $("stop").hidden = !busy?.id;
  if (!busy) $("stop").disabled = false;
  $("send").disabled = !message.value.trim();
}

// -- sending -------------------------------------------------------------------------------------------------------

function submit() {
  const text = message.value.trim();
  if (!text) return;
  message.value = "";
  grow();
  notice(null);
  if (session) deliver(text);
  else begin(text);
  message.focus();
}

function preview(text) {
  const turn = Turn.create(stage, null);
  turn.say(text);
  place(turn);
  follow.toMessage();
  return turn;
}

// Send a message; `input` where it is not a plain message. It stays in the outbox until the server has accepted it.
async function deliver(text, input = { message: text }) {
  const ref = crypto.randomUUID?.() ?? String(Math.random()).slice(2);
  const turn = preview(text);
  turn.section.dataset.ref = ref;
  const entry = { ref, text, input };
  store.write("outbox", [...(store.read("outbox") ?? []), entry]);
  store.write("draft", message.value);
  // A run that asks something makes way for it.
  if (all().some((other) => other !== turn && other.isActive && other.status !== "interrupted")) turn.queue();
  showState();
  try {
    accepted(turn, await send({ input, metadata: { ref } }));
  } catch (error) {
    if (error instanceof Refused) refused(turn, entry, error);
    else await lookFor(turn, entry);
  }
}

function accepted(turn, run) {
  forget(turn.section.dataset.ref);
  const told = turns.get(run.id);
  if (told && told !== turn) {
    turn.section.remove(); // its events were faster than the answer
  } else {
    turn.section.dataset.run = run.id;
    turns.set(run.id, turn);
    if (!turn.section.querySelector(".queued") && !turn.phase) turn.waitForWorker();
  }
  expectWorker(run.id);
  refreshSidebar();
  showState();
}

function forget(ref) {
  store.write("outbox", (store.read("outbox") ?? []).filter((entry) => entry.ref !== ref));
}

function refused(turn, { ref, text, input }, error) {
  forget(ref);
  turn.section.remove();
  if (input.message === text && !message.value) setDraft(text);
  notice(explain(error));
  showState();
}

// Nobody knows whether the server heard it: look whether a run has its mark before offering to send it again.
async function lookFor(turn, entry) {
  turn.doing(null);
  for (let tries = 0; tries < 30; tries++) {
    try {
      const { items } = await fetchJson(`${api}sessions/${session}/runs?limit=20`);
      const run = items.find(({ metadata }) => metadata.ref === entry.ref);
      if (run) accepted(turn, run);
      else offerAgain(turn, entry);
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 2_000));
    }
  }
  offerAgain(turn, entry);
}

function offerAgain(turn, entry) {
  turn.note(fromTemplate("unsent"));
  turn.unsent = entry;
  follow.update();
}

function resend(turn) {
  const { ref, text, input } = turn.unsent;
  forget(ref);
  turn.section.remove();
  deliver(text, input);
}

async function retry(turn) {
  const { input } = await fetchJson(`${api}runs/${turn.id}`);
  const text = [...turn.section.querySelectorAll(".bubble")].map((node) => node.textContent).join("\n\n");
  deliver(text, input);
}

// The first message opens the conversation; the page of that goes on from there.
async function begin(text) {
  store.write("draft", text);
  const turn = preview(text);
  turn.waitForWorker();
  const form = new URLSearchParams(new FormData(composer));
  form.set("message", text);
  form.set("run", page.dataset.runId);
  try {
    const { address } = await fetchJson(page.dataset.address, {
      method: "POST", body: form, headers: { "x-csrftoken": csrf },
    });
    store.write("draft", "");
    location.assign(address);
  } catch (error) {
    turn.section.remove();
    if (!message.value) setDraft(text);
    notice(explain(error));
    showState();
  }
}

// -- stopping ------------------------------------------------------------------------------------------------------

async function stop(turn) {
  $("stop").disabled = true;
  turn.stoppedHere = true;
  if (turn.hasBegun) turn.doing("Stopping", stage.now());
  try {
    const run = await cancel(turn.id);
    if (run.status === "cancelled" && !turn.hasBegun) turn.hear({ event: "end", ts: run.finished_at, data: run });
  } catch (error) {
    if (error.code !== "run_finished") notice(explain(error));
  }
  $("stop").disabled = false;
}

// -- other actions -------------------------------------------------------------------------------------------------

async function showEarlier(button) {
  button.disabled = true;
  const answer = await fetch(`${page.dataset.address}/earlier?before=${button.dataset.before}`);
  if (!answer.ok) {
    button.disabled = false;
    notice(`Earlier messages could not be read: the server answered ${answer.status}.`);
    return;
  }
  const fragment = document.createRange().createContextualFragment(await answer.text());
  follow.prepend(fragment, button.closest(".earlier"), () => dress(log));
}

async function openCall(line) {
  if (!line.payload?.result && !line.payload?.error && turnOf(line.closest(".turn")).id) {
    const run = line.closest(".turn").dataset.run;
    const call = encodeURIComponent(line.dataset.call);
    try {
      line.payload = await fetchJson(`${page.dataset.address}/runs/${run}/calls/${call}`);
    } catch (error) {
      if (!line.payload) notice(explain(error));
    }
  }
  if (line.payload) showPayload(line, line.payload);
}

async function copyFrom(button, text) {
  if (await copy(button, text)) announce("Copied");
}

const actions = {
  earlier: showEarlier,
  retry: (button) => retry(turnOf(button.closest(".turn"))).catch((error) => notice(explain(error))),
  resend: (button) => resend(turnOf(button.closest(".turn"))),
  unqueue: (button) => stop(turnOf(button.closest(".turn"))),
  copy: (button) => copyFrom(button, turnOf(button.closest(".turn")).markdown),
  "copy-code": (button) => copyFrom(button, button.previousElementSibling.textContent),
};

// -- what is beside the conversation -------------------------------------------------------------------------------

const lookForWorker = () => watchWorker(page.dataset.statusAddress, $("no-worker"));
const refreshSidebar = () => renew($("conversations"));

function expectWorker(run) {
  setTimeout(() => {
    if (!turns.get(run)?.hasBegun && !active()?.hasBegun) lookForWorker();
  }, WORKER_EXPECTED_WITHIN_MS);
}

// -- the composer --------------------------------------------------------------------------------------------------

function setDraft(text) {
  message.value = text;
  store.write("draft", text);
  grow();
}

function grow() {
  if (CSS.supports("field-sizing", "content")) return;
  message.style.height = "auto";
  message.style.height = `${message.scrollHeight}px`;
}

function wireComposer() {
  const draft = store.read("draft");
  if (draft && !message.value) setDraft(draft);
  message.addEventListener("input", () => {
    store.write("draft", message.value);
    grow();
    showState();
  });
  message.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing || event.keyCode === 229) return;
    const always = event.ctrlKey || event.metaKey;
    if (!always && (event.shiftKey || event.altKey || matchMedia("(pointer: coarse)").matches)) return;
    event.preventDefault();
    submit();
  });
  composer.addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  $("stop").addEventListener("click", () => active() && stop(active()));
  const choice = $("assistant");
  const about = () => ($("about").textContent = choice.selectedOptions[0].dataset.about);
  choice?.addEventListener("change", about);
  if (choice) about();
}

// -- at the start --------------------------------------------------------------------------------------------------

// Give what the server rendered what only the browser can: Markdown, local times, a turn's own object.
function dress(root) {
  for (const md of root.querySelectorAll(".md[data-raw]")) draw(md, md.textContent);
  localise(root);
  root.querySelectorAll(".turn").forEach(turnOf);
}

function goLive() {
  live = new Live({
    address: page.dataset.socket,
    after: page.dataset.after,
    onEvent: hear,
    onState: pillOf($("pill")),
    onRefused: (code) =>
      notice(code === 4404 ? "This conversation is gone." : "You are signed out. Sign in in a new tab, then reload this page: your text is kept."),
    check: async (after) => (await fetchJson(`${page.dataset.address}/events?after=${after}`)).events,
  });
  for (const entry of store.read("outbox") ?? []) {
    if (log.querySelector(`[data-ref="${CSS.escape(entry.ref)}"]`)) {
      forget(entry.ref);
      continue;
    }
    const turn = preview(entry.text);
    turn.section.dataset.ref = entry.ref;
    lookFor(turn, entry);
  }
}

log.addEventListener("click", (event) => {
  const button = event.target.closest("[data-act]");
  if (button) actions[button.dataset.act](button);
});
log.addEventListener("toggle", (event) => event.target.matches(".call[open]") && openCall(event.target), true);
document.addEventListener("visibilitychange", () => document.hidden || refreshSidebar());
setInterval(() => turns.forEach((turn) => turn.isActive && turn.tick()), 1_000);

dress(log);
if (composer) wireComposer();
if (session) goLive();
showState();
follow.set(log.scrollHeight);
follow.following = Boolean(active());
if (!$("no-worker").hidden) lookForWorker();
page.dataset.ready = "";
