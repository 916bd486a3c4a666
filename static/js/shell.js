// The frame around every page: theme, the rail's width, times in the reader's own zone; and how live numbers and times
// are written (the server writes the others the same way: console/templatetags/console.py).

export function duration(seconds) {
  if (seconds == null) return "–";
  if (seconds < 0.001) return "< 1 ms";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${String(Math.floor(seconds % 60)).padStart(2, "0")} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

const two = (number) => String(number).padStart(2, "0");
export const clock = (date) => `${two(date.getHours())}:${two(date.getMinutes())}`;

export function ago(date, now = new Date()) {
  const seconds = (now - date) / 1000;
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return moment(date);
}

const moment = (date) =>
  `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${clock(date)}`;

function size(characters) {
  return characters < 1048576 ? `${Math.round(characters / 1024)} KiB` : `${(characters / 1048576).toFixed(1)} MiB`;
}

const ARGS_LENGTH = 80;
export function brief(args) {
  const text = Object.entries(args ?? {}).map(([name, value]) => `${name}: ${JSON.stringify(value)}`).join(", ");
  return text.length <= ARGS_LENGTH ? text : `${text.slice(0, ARGS_LENGTH - 1)}…`;
}

// Server times are UTC; people read their own. The full UTC time stays in the title.
export function localise(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const date = new Date(time.dateTime);
    time.title ||= `${date.toISOString().slice(0, 19).replace("T", " ")} UTC`;
    if ("ago" in time.dataset) time.textContent = ago(date);
    if ("moment" in time.dataset) time.textContent = moment(date);
    if ("clock" in time.dataset) {
      time.textContent = clock(date);
      const article = time.closest("article");
      article?.setAttribute("aria-label", `${article.getAttribute("aria-label").split(",")[0]}, ${clock(date)}`);
    }
  }
}

// A tab's own JSON by name, kept apart by `scope`.
export function stored(scope) {
  const key = (name) => `${name}:${scope}`;
  return {
    read(name) {
      try {
        return JSON.parse(sessionStorage.getItem(key(name)));
      } catch {
        return null;
      }
    },
    write(name, value) {
      try {
        if (value?.length) sessionStorage.setItem(key(name), JSON.stringify(value));
        else sessionStorage.removeItem(key(name));
      } catch {
        // Storage may be full or switched off: then a reload loses it, nothing else.
      }
    },
  };
}

// Copy a text and say so on the button; false where the browser does not allow it, over plain HTTP for example.
export async function copy(button, text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    return false;
  }
  const before = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = before), 2_000);
  return true;
}

// What arrives live looks like what the server renders: the same fragments.
export function fromTemplate(name) {
  return document.getElementById(`t-${name}`).content.firstElementChild.cloneNode(true);
}

export function setBadge(badge, status, word) {
  badge.dataset.st = status;
  badge.querySelector("use").setAttribute("href", `#i-${status}`);
  badge.lastElementChild.textContent = word;
}

const SHOWN_OF_PAYLOAD = 65_536;

// The arguments and the result of a tool call, as text in the opened line.
export function showPayload(line, payload) {
  const parts = [["Arguments", payload.args], payload.error == null ? ["Result", payload.result] : ["Error", payload.error]];
  line.querySelector(".payload").replaceChildren(...parts.filter(([, value]) => value != null).flatMap(part));
}

function part([name, value]) {
  const whole = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  const head = document.createElement("h3");
  const text = document.createElement("pre");
  head.textContent = name;
  text.tabIndex = 0;
  text.textContent = whole.slice(0, SHOWN_OF_PAYLOAD);
  if (whole.length > SHOWN_OF_PAYLOAD) {
    const more = document.createElement("button");
    more.type = "button";
    more.className = "link";
    more.textContent = `Show all (${size(whole.length)})`;
    more.addEventListener("click", () => {
      text.textContent = whole;
      more.remove();
    });
    head.append(more);
  }
  return [head, text];
}

// -- regions that are fetched again ----------------------------------------------------------------------------------

const LOOK_FOR_WORKER_EVERY_MS = 5_000;
const RENEW_AFTER_MS = 150; // several reasons at once are one request

// Fetch a region's HTML from its `data-address`, unless somebody is about to click in it.
export function renew(region) {
  clearTimeout(region.due);
  region.due = setTimeout(async () => {
    if (!navigator.onLine || region.matches(":hover, :focus-within")) return;
    const answer = await fetch(region.dataset.address).catch(() => null);
    if (!answer?.ok || answer.redirected) return;
    region.replaceChildren(document.createRange().createContextualFragment(await answer.text()));
    localise(region);
  }, RENEW_AFTER_MS);
}

// Show the banner while no worker is running, and look again until one is.
export async function watchWorker(address, banner) {
  clearTimeout(banner.due);
  const answer = await fetch(address).catch(() => null);
  if (answer?.ok && !answer.redirected) banner.hidden = (await answer.json()).worker;
  if (!banner.hidden) banner.due = setTimeout(() => watchWorker(address, banner), LOOK_FOR_WORKER_EVERY_MS);
}

// -- the frame -------------------------------------------------------------------------------------------------------

function setting(name, value) {
  try {
    if (value === undefined) return localStorage.getItem(name);
    if (value) localStorage.setItem(name, value);
    else localStorage.removeItem(name);
  } catch {
    // Storage may be switched off: then the choice holds for this page only.
  }
  return null;
}

const root = document.documentElement;
const theme = document.getElementById("theme");
theme.value = setting("theme") ?? "";
theme.addEventListener("change", () => {
  setting("theme", theme.value);
  if (theme.value) root.dataset.theme = theme.value;
  else delete root.dataset.theme;
});

document.getElementById("fold-rail").addEventListener("click", () => {
  const narrow = root.dataset.rail !== "narrow";
  setting("rail", narrow ? "narrow" : "");
  if (narrow) root.dataset.rail = "narrow";
  else delete root.dataset.rail;
});

localise(document);
setInterval(() => localise(document.getElementById("conversations") ?? document), 60_000);
