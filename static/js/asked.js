// What the conversation asks a person: the card that the server draws from the run's row, what is pressed and typed in
// it, and the one answer that it becomes. It is fetched when the first thing is asked.

import { Refused } from "live";
import { localise } from "shell";

const SENDING = "Sending…";

const all = (node, selector) => [...node.querySelectorAll(selector)];
const controlOf = (field) => field.querySelector("textarea, select, input");

export class Asked {
  // `resume(run, body)` sends the answer; `announce(text)` tells who cannot see; `drawn(card)` hears that the card is another
  // one or gone, `left()` that it is gone and the focus with it; `explain(error)` puts a failure in words.
  constructor(region, page) {
    this.region = region;
    this.page = page;
    this.asking = 0; // the number of the newest request for the card
    region.addEventListener("click", (event) => this.pressed(event));
    region.addEventListener("input", (event) => this.typed(event.target));
    region.addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    this.update();
  }

  get card() {
    return this.region.querySelector(".asked");
  }

  get form() {
    return this.card?.querySelector("form") ?? null;
  }

  get run() {
    return this.card?.dataset.run ?? null;
  }

  // -- drawing -------------------------------------------------------------------------------------------------------

  // Fetch the card as it is now. What is half filled in stays while the same thing is asked; gives whether it is.
  async renew({ tellCancelled = false } = {}) {
    if (this.sending) return true;
    const mine = ++this.asking;
    const address = this.run ? `${this.region.dataset.address}?run=${this.run}` : this.region.dataset.address;
    const answer = await fetch(address);
    if (!answer.ok || answer.redirected) throw new Error(`The server answered ${answer.status}.`);
    const fragment = document.createRange().createContextualFragment(await answer.text());
    if (mine !== this.asking) return true;
    const asked = fragment.querySelector(".asked");
    if (asked && asked.dataset.mark === this.card?.dataset.mark) return true;
    // Who cancelled it knows, or is told by the turn.
    if (!tellCancelled) fragment.querySelector('.settled[data-status="cancelled"]')?.remove();
    this.draw(fragment);
    return false;
  }

  draw(fragment) {
    const hadFocus = this.region.contains(document.activeElement);
    this.region.replaceChildren(fragment);
    localise(this.region);
    this.update();
    const told = this.region.querySelector(".settled, #asked-title");
    if (told) this.page.announce(this.card ? `The assistant asks: ${told.textContent}` : told.textContent);
    this.page.drawn(this.card);
    if (hadFocus) this.page.left();
  }

  // A run began or ended: one's own answer is seen by what came of it; that somebody else answered stays to be read
  // until the conversation goes on.
  forget(run) {
    const told = this.region.querySelector(".settled");
    if (told && ("own" in told.dataset || told.dataset.run !== run)) told.remove();
  }

  // -- pressing and typing -------------------------------------------------------------------------------------------

  pressed({ target }) {
    const button = target.closest("[data-decide], [data-skip]");
    if (!button || this.sending) return;
    if ("skip" in button.dataset) this.skip(button);
    else this.decide(button.closest("[data-call]"), button.dataset.decide);
  }

  decide(call, decision) {
    // What needs no further word is sent at once.
    const atOnce = this.card.dataset.whole === "call" && !call.querySelector(`[data-panel="${decision}"]`);
    const again = call.dataset.decision === decision && !atOnce;
    clear(call);
    if (again) delete call.dataset.decision;
    else call.dataset.decision = decision;
    this.update();
    if (atOnce) this.form.requestSubmit();
    else if (!again) call.querySelector(`[data-panel="${decision}"] :is(textarea, select, input)`)?.focus();
  }

  skip(button) {
    const skipped = button.getAttribute("aria-pressed") !== "true";
    const question = button.closest("[data-form]");
    button.setAttribute("aria-pressed", String(skipped));
    question.classList.toggle("skipped", skipped);
    clear(question);
    this.update();
  }

  typed(control) {
    const field = control.closest(".field");
    field?.classList.toggle("changed", "kind" in field.dataset && isChanged(control));
    const choice = control.closest(".option")?.querySelector("[data-choose-other]");
    if (choice && "other" in control.dataset) choice.checked = control.value !== "";
  }

  // What is shown of each call's panels, and what the button at the end would send.
  update() {
    if (!this.form) return;
    const calls = all(this.form, "[data-call]");
    for (const call of calls) {
      const { decision } = call.dataset;
      for (const button of all(call, "[data-decide]")) {
        button.setAttribute("aria-pressed", String(button.dataset.decide === decision));
      }
      for (const panel of all(call, "[data-panel]")) panel.hidden = panel.dataset.panel !== decision;
    }
    const button = this.form.querySelector("[type=submit]");
    if (!button) return;
    const decided = calls.filter((call) => call.dataset.decision);
    const { whole } = this.card.dataset;
    const panel = whole === "call" ? this.form.querySelector("[data-panel]:not([hidden])") : null;
    const skipped = all(this.form, ".skipped").length;
    button.textContent = {
      call: panel?.dataset.sends ?? "",
      calls: `Send ${calls.length} decisions`,
      answer: skipped ? "Send without an answer" : "Send answer",
      answers: "Send answers",
    }[whole];
    button.hidden = whole === "call" && !panel;
    button.classList.toggle("danger", panel?.dataset.panel === "reject");
    button.classList.toggle("primary", !button.classList.contains("danger"));
    this.form.querySelector(".count").textContent = calls.length > 1 ? `${decided.length} of ${calls.length} decided` : "";
  }

  // -- sending -------------------------------------------------------------------------------------------------------

  async send() {
    if (this.sending) return;
    clear(this.card);
    const faults = [];
    const answer = read(this.form.querySelector("[data-form]"), [], faults);
    if (faults.length) {
      this.show(faults);
      return;
    }
    const { run, checkpoint } = this.card.dataset;
    this.busy(true);
    let failure = null;
    try {
      await this.page.resume(run, checkpoint ? { ...answer, checkpoint_id: checkpoint } : answer);
    } catch (error) {
      failure = error;
    }
    this.busy(false);
    if (failure) await this.failed(failure);
    else this.sent();
  }

  sent() {
    this.draw(document.createDocumentFragment());
    this.page.announce("Sent. The assistant goes on.");
    // It may have asked the next thing before this answer came.
    this.renew().catch(() => {});
  }

  async failed(error) {
    if (error instanceof Refused && error.code === "invalid") {
      this.show(error.faults.length ? error.faults : [{ loc: [], message: error.message }]);
      return;
    }
    if (error instanceof Refused && error.code !== "not_interrupted") {
      this.show([{ loc: [], message: this.page.explain(error) }]);
      return;
    }
    // Somebody else was first, or nobody knows whether the server heard it.
    try {
      const same = await this.renew({ tellCancelled: true });
      const lost = "The connection was lost before the server had your answer. Send it again.";
      if (same) this.show([{ loc: [], message: error instanceof Refused ? error.message : lost }]);
    } catch {
      this.show([{ loc: [], message: "The server cannot be reached. Try again in a moment." }]);
    }
  }

  busy(is) {
    this.sending = is;
    this.card.setAttribute("aria-busy", String(is));
    for (const button of all(this.card, "button")) button.disabled = is;
    if (!is) {
      this.update();
      return;
    }
    const button = this.form.querySelector("[type=submit]");
    const pressed = button.hidden ? this.form.querySelector('[aria-pressed="true"]') : button;
    pressed.dataset.word = pressed.textContent;
    pressed.textContent = SENDING;
  }

  show(faults) {
    for (const button of all(this.card, "[data-word]")) {
      button.textContent = button.dataset.word;
      delete button.dataset.word;
    }
    const form = this.form.querySelector("[data-form]");
    const places = faults.map(({ loc, message }) => mark(placeOf(form, loc), message));
    this.page.announce(faults.map(({ message }) => message).join(" "));
    const controls = places.flatMap((place) => all(place, "textarea, input, select, button"));
    controls.find((control) => !control.closest("[hidden]"))?.focus();
  }
}

// -- the answer, form by form: what it is, and where in the card a fault of it belongs -------------------------------

const inner = (form) => form.querySelector("[data-form]");
const callsOf = (form) => all(form, ":scope > [data-call]");
const partsOf = (form) => all(form, ":scope > [data-response]");

// Gives the answer to a form; puts what keeps it from being one to `faults`, with its place.
function read(form, loc, faults) {
  switch (form.dataset.form) {
    case "approval":
      return { decisions: callsOf(form).map((call, nth) => decisionOf(call, [...loc, "decisions", nth], faults)) };
    case "question":
      return answerOf(form, loc, faults);
    case "multiple":
      return {
        responses: partsOf(form).map((part, nth) => ({
          ...read(inner(part), [...loc, "responses", nth], faults),
          tool_call_id: part.dataset.response,
        })),
      };
    case "subagent":
      return read(inner(form), loc, faults);
  }
  return { value: replyOf(form, loc, faults) };
}

function placeOf(form, [head, nth, ...rest]) {
  const kind = form.dataset.form;
  if (kind === "subagent") return placeOf(inner(form), [head, nth, ...rest]);
  if (kind === "multiple" && head === "responses" && partsOf(form)[nth]) return placeOf(inner(partsOf(form)[nth]), rest);
  const call = kind === "approval" && head === "decisions" ? callsOf(form)[nth] : null;
  if (!call) return form;
  const panel = call.querySelector("[data-panel]:not([hidden])");
  const field = rest[0] === "arguments" && panel?.querySelector(`[data-name="${CSS.escape(String(rest[1] ?? ""))}"]`);
  return field || panel || call;
}

function decisionOf(call, loc, faults) {
  const { decision } = call.dataset;
  const fault = (message, ...rest) => faults.push({ loc: [...loc, ...rest], message });
  const made = { type: decision, tool_call_id: call.dataset.call };
  if (!decision) fault("Decide about this call first.");
  if (decision === "edit") made.arguments = argumentsOf(call, (name, message) => fault(message, "arguments", name));
  if (decision === "reject" || decision === "respond") {
    const text = call.querySelector(`[data-panel="${decision}"] [data-message]`)?.value ?? "";
    if (text.trim()) made.message = text;
    else if (decision === "respond") fault("Write the result first.", "message");
  }
  return made;
}

function argumentsOf(call, fault) {
  const before = JSON.parse(call.dataset.arguments);
  const whole = call.querySelector("[data-all] textarea");
  if (whole) {
    if (!isChanged(whole)) return before;
    const given = json(whole.value);
    if (given !== null && typeof given === "object" && !Array.isArray(given)) return given;
    fault("", "This is not a JSON object.");
    return before;
  }
  const after = { ...before };
  for (const field of all(call, "[data-name]")) {
    const control = controlOf(field);
    const { name } = field.dataset;
    // What nobody touched stays as the assistant wants it, to the last digit.
    if (!isChanged(control)) continue;
    const value = valueOf(field, control);
    if (value === INVALID) fault(name, field.dataset.kind === "number" ? "This is not a number." : "This is not JSON.");
    else if (value === undefined) delete after[name];
    else after[name] = value;
  }
  return after;
}

const INVALID = Symbol("no value of its kind");
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

// What a control says; undefined where it says nothing.
function valueOf(field, control) {
  const { kind, nullable } = field.dataset;
  const text = control.value;
  if (kind === "checkbox") return control.checked;
  if (kind === "text") return text === "" && nullable !== undefined ? null : text;
  if (text.trim() === "") return nullable !== undefined && kind !== "select" ? null : undefined;
  if (kind !== "number") return json(text);
  const digits = text.trim();
  if (!NUMBER.test(digits)) return INVALID;
  // A number as it was written, where the browser can: its own would round a long one.
  return JSON.rawJSON ? JSON.rawJSON(digits) : Number(digits);
}

function json(text) {
  try {
    return JSON.parse(text);
  } catch {
    return INVALID;
  }
}

function isChanged(control) {
  if (control.type === "checkbox") return control.checked !== control.defaultChecked;
  if (control.tagName === "SELECT") {
    const before = [...control.options].findIndex((option) => option.defaultSelected);
    return control.selectedIndex !== Math.max(before, 0);
  }
  return control.value !== control.defaultValue;
}

function answerOf(form, loc, faults) {
  if (form.classList.contains("skipped")) return { type: "cancel" };
  const text = form.querySelector("[data-other]")?.value ?? "";
  const choice = form.querySelector("[data-choose-other]");
  const selected = all(form, "input[value]:checked").map(({ value }) => value);
  const hasText = text.trim() !== "" && (!choice || choice.checked);
  if (choice?.checked && !hasText) faults.push({ loc, message: "Write your answer first." });
  else if (!selected.length && !hasText) {
    faults.push({ loc, message: form.querySelector(".option") ? "Choose an answer first." : "Write your answer first." });
  }
  return { type: "answer", selected, ...(hasText ? { other_text: text } : {}) };
}

function replyOf(form, loc, faults) {
  const text = form.querySelector("[data-reply]").value;
  if (form.querySelector("input:checked").value === "text") {
    if (!text.trim()) faults.push({ loc, message: "Write your answer first." });
    return text;
  }
  const value = json(text);
  if (value === INVALID) faults.push({ loc, message: "This is not JSON." });
  return value;
}

// -- faults ----------------------------------------------------------------------------------------------------------

function mark(place, message) {
  const note = document.createElement("p");
  note.className = "wrong";
  note.textContent = message;
  place.append(note);
  const controls = all(place, "textarea, select, input");
  if (controls.length === 1) controls[0].setAttribute("aria-invalid", "true");
  return place;
}

function clear(node) {
  all(node, ".wrong").forEach((note) => note.remove());
  all(node, "[aria-invalid]").forEach((control) => control.removeAttribute("aria-invalid"));
}
