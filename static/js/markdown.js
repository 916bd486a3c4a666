// A model's words as HTML that can do no harm: marked, then DOMPurify with a list of what is allowed.

import { Marked } from "marked";
import "dompurify";

const marked = new Marked({ gfm: true, breaks: true });
marked.use({
  renderer: {
    // The page has the one h1, its regions the h2s.
    heading({ tokens, depth }) {
      const level = Math.min(depth + 2, 6);
      return `<h${level}>${this.parser.parseInline(tokens)}</h${level}>\n`;
    },
    // Loading an image would tell a stranger that the answer was read.
    image({ href, text }) {
      const label = text || "image";
      return `<a href="${escape(href)}">${escape(label)}</a>`;
    },
    checkbox({ checked }) {
      return checked ? "☑ " : "☐ ";
    },
    // HTML is shown as what it is, text, but for the few plain tags that models use where Markdown has none.
    html({ text }) {
      return text.replace(/<[^>]*>?/g, (tag) => (PLAIN_TAG.test(tag) ? tag : escape(tag)));
    },
  },
});

const PLAIN_TAG = /^<\/?(?:br|hr|sub|sup|kbd|b|i|em|strong|del|s|code)\s*\/?>$/i;

function escape(text) {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

const purify = globalThis.DOMPurify;
const RULES = {
  ALLOWED_TAGS: ["p", "br", "hr", "h3", "h4", "h5", "h6", "strong", "b", "em", "i", "del", "s", "sub", "sup", "kbd",
    "code", "pre", "blockquote", "ul", "ol", "li", "a", "table", "thead", "tbody", "tr", "th", "td"],
  ALLOWED_ATTR: ["href", "title", "start", "align"],
  ALLOWED_URI_REGEXP: /^(?:https?:\/\/|mailto:|#|\/(?![/\\]))/i,
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

purify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName !== "A") return;
  const href = node.getAttribute("href");
  if (!href) return;
  // What starts with one slash must stay on this site however a browser reads it.
  if (href.startsWith("/") && new URL(href, location.origin).origin !== location.origin) {
    node.removeAttribute("href");
    return;
  }
  node.setAttribute("rel", "noopener noreferrer nofollow");
  node.setAttribute("target", "_blank");
});

function render(text) {
  const fragment = purify.sanitize(marked.parse(text), RULES);
  for (const pre of fragment.querySelectorAll("pre")) {
    const frame = wrap(pre, "code");
    pre.tabIndex = 0;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button";
    button.dataset.act = "copy-code";
    button.textContent = "Copy";
    frame.append(button);
  }
  for (const table of fragment.querySelectorAll("table")) {
    const frame = wrap(table, "scroll");
    frame.tabIndex = 0;
    frame.setAttribute("role", "region");
    frame.setAttribute("aria-label", "Table");
  }
  return fragment;
}

function wrap(node, name) {
  const frame = document.createElement("div");
  frame.className = name;
  node.replaceWith(frame);
  frame.append(node);
  return frame;
}

const FENCE = /^ {0,3}(`{3,}|~{3,})(.*)$/;
const LIST = /^ {0,3}(?:[-*+]|\d{1,9}[.)])\s/;

// Where the first block of a text ends, given that more text may follow; -1 while it is still open. A block ends at a
// blank line outside a fence, once the line after it shows that it is not the same list or quote going on.
function endOfBlock(text) {
  let position = 0;
  let fence = null;
  let first = null;
  let blankAt = -1;
  while (position < text.length) {
    const newline = text.indexOf("\n", position);
    if (newline < 0 && fence) return -1;
    const line = text.slice(position, newline < 0 ? text.length : newline);
    if (!fence && line.trim() === "") {
      if (first !== null && blankAt < 0) blankAt = position;
    } else if (!fence && blankAt >= 0) {
      // The start of a line says enough only when it cannot turn into a list's or an indented one any more.
      if (newline < 0 && /^(?:\s*|\d{1,9}[.)]?|[-*+])$/.test(line)) return -1;
      if (!continues(first, line)) return position;
      blankAt = -1;
    }
    if (line.trim() !== "") first ??= line;
    const mark = line.match(FENCE);
    if (fence) {
      if (mark && mark[1][0] === fence[0] && mark[1].length >= fence.length && !mark[2].trim()) fence = null;
    } else if (mark && !(mark[1][0] === "`" && mark[2].includes("`"))) {
      fence = mark[1];
    }
    if (newline < 0) return -1;
    position = newline + 1;
  }
  return -1;
}

function continues(first, line) {
  return LIST.test(first) ? LIST.test(line) || /^(?: {2,}|\t)/.test(line) : /^(?: {4}|\t)/.test(line);
}

// -- on the page -----------------------------------------------------------------------------------------------------

const sources = new WeakMap(); // drawn element -> its Markdown
export const sourceOf = (md) => sources.get(md) ?? "";

export function draw(md, text) {
  delete md.dataset.raw;
  sources.set(md, text);
  const blocks = [];
  for (let rest = text; rest; ) {
    const end = endOfBlock(rest);
    blocks.push(block(end < 0 ? rest : rest.slice(0, end)));
    rest = end < 0 ? "" : rest.slice(end);
  }
  md.replaceChildren(...blocks);
}

function block(text) {
  const node = document.createElement("div");
  node.className = "block";
  node.append(render(text));
  return node;
}

// An answer that is being written: plain text in the open block, and each closed block rendered once.
export class Stream {
  constructor(article) {
    this.article = article;
    this.md = article.querySelector(".md");
    delete this.md.dataset.raw;
    this.pieces = [];
    this.restart();
  }

  restart() {
    this.open = document.createElement("div");
    this.open.className = "open";
    this.tail = "";
    this.md.replaceChildren(this.open);
    for (const { text } of this.pieces) this.tail += text;
    this.show();
  }

  get text() {
    return this.pieces.map(({ text }) => text).join("");
  }

  append(seq, text) {
    this.pieces.push({ seq, text });
    this.tail += text;
  }

  show() {
    for (let end; (end = endOfBlock(this.tail)) > 0; this.tail = this.tail.slice(end)) {
      this.open.before(block(this.tail.slice(0, end)));
    }
    this.open.textContent = this.tail;
    sources.set(this.md, this.text);
  }

  // The whole text is known: what was streamed of it stays as it is, if it is the same.
  finish(text) {
    if (text !== this.text) {
      draw(this.md, text);
      return;
    }
    this.show();
    if (this.tail) this.open.before(block(this.tail));
    this.open.remove();
  }

  drop(from, to) {
    const kept = this.pieces.filter(({ seq }) => seq < from || seq > to);
    if (kept.length === this.pieces.length) return;
    this.pieces = kept;
    this.restart();
  }
}
