// What the pages of this program share: calls with the token, text from elsewhere as text, and a list for the keyboard.

// A link on the page has a fragment, too.
const TOKEN = /^[\w-]{32}$/;
// The token is in the fragment of the printed URL. It goes out of the address bar, and stays for this tab.
const token = (() => {
  const given = location.hash.slice(1);
  if (TOKEN.test(given)) {
    sessionStorage.setItem("token", given);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem("token") ?? "";
})();
// The program was started again, and its new URL was opened in this tab: that alone loads nothing.
addEventListener("hashchange", () => {
  if (TOKEN.test(location.hash.slice(1))) location.reload();
});

export const byId = (id) => document.getElementById(id);

// An element with attributes and children. A string becomes text, never HTML; null is left out.
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child != null));
  return element;
}

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// Calls the program and returns its JSON. A status other than 2xx is an ApiError with what it said.
export async function api(path, { method = "GET", body, signal } = {}) {
  const headers = { "x-page-token": token };
  if (body !== undefined) headers["content-type"] = "application/json";
  const answer = await fetch(`/api${path}`, {
    method,
    headers,
    signal,
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await answer.text();
  if (answer.ok) return text ? JSON.parse(text) : null;
  let message = text.trim();
  try {
    message = JSON.parse(text).error ?? message;
  } catch {
    // It is plain text.
  }
  throw new ApiError(answer.status, message || `the program answered ${answer.status}`);
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// Calls `ask` again and again, each time with what it returned last, and shows when the program cannot be reached.
// `ask` waits until there is something new. Ends when the token is refused.
export async function follow(ask) {
  let last;
  let failures = 0;
  for (;;) {
    try {
      last = await ask(last);
      if (failures > 0) notice("");
      failures = 0;
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) {
        notice("This page needs the key in the URL that the program printed. Copy the whole URL from the terminal, and open it here.");
        return;
      }
      failures += 1;
      const text = error instanceof ApiError
        ? `The program answered: ${error.message}`
        : "The program does not answer: it has probably ended. What you see stays here. A new start of the program prints a new URL.";
      notice(text);
      await pause(Math.min(1000 * failures, 5000));
    }
  }
}

// Shows a text above the page; an empty text hides it.
export function notice(text) {
  const place = byId("notice");
  if (place.textContent === text) return;
  place.textContent = text;
  place.hidden = text === "";
}

// Tells users of screen readers what has changed.
export function announce(text) {
  byId("live").textContent = text;
}

// A list with one chosen entry, operated by the arrow keys, Home and End. `row(entry)` returns the children of an
// entry, which has a `key`. `onChoose(entry)` is called when another one is chosen.
export class List {
  #root;
  #row;
  #onChoose;
  #entries = [];
  #chosen;

  constructor(root, { row, onChoose }) {
    this.#root = root;
    this.#row = row;
    this.#onChoose = onChoose;
    root.setAttribute("role", "listbox");
    root.tabIndex = 0;
    root.addEventListener("keydown", (event) => this.#onKey(event));
    root.addEventListener("click", (event) => {
      const key = event.target.closest("[data-key]")?.dataset.key;
      const entry = this.#entries.find((entry) => String(entry.key) === key);
      if (entry) this.choose(entry.key);
    });
  }

  get chosen() {
    return this.#entries.find((entry) => entry.key === this.#chosen);
  }

  // Shows these entries, in this order. The chosen one stays if it is still there.
  show(entries) {
    this.#entries = entries;
    this.#root.replaceChildren(...entries.map((entry) => {
      const isChosen = entry.key === this.#chosen;
      return el("li", { role: "option", id: this.#id(entry), "data-key": entry.key, "aria-selected": String(isChosen) },
        this.#row(entry));
    }));
    this.#mark();
  }

  choose(key) {
    const entry = this.#entries.find((entry) => entry.key === key);
    if (!entry || key === this.#chosen) return;
    this.#chosen = key;
    this.#mark();
    byId(this.#id(entry)).scrollIntoView({ block: "nearest" });
    this.#onChoose(entry);
  }

  #id(entry) {
    return `${this.#root.id}-${entry.key}`;
  }

  #mark() {
    for (const option of this.#root.children) {
      option.setAttribute("aria-selected", String(option.dataset.key === String(this.#chosen)));
    }
    const { chosen } = this;
    if (chosen) this.#root.setAttribute("aria-activedescendant", this.#id(chosen));
    else this.#root.removeAttribute("aria-activedescendant");
  }

  #onKey(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || this.#entries.length === 0) return;
    const at = this.#entries.findIndex((entry) => entry.key === this.#chosen);
    const last = this.#entries.length - 1;
    const to = {
      ArrowDown: Math.min(at + 1, last),
      ArrowUp: Math.max(at - 1, 0),
      Home: 0,
      End: last,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.choose(this.#entries[to].key);
  }
}

// Names and values as a description list; pairs whose value is null are left out.
export function facts(pairs) {
  return el("dl", { class: "facts" }, pairs
    .filter(([, value]) => value != null && value !== "")
    .map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

// Text to scroll in. It can be reached by the keyboard, since it may be wider than its place.
export function scroller(label, text, attributes = {}) {
  return el("pre", { tabindex: 0, role: "region", "aria-label": label, ...attributes }, text);
}

// JSON with an indent, or null if the text is none. Only white space changes: numbers and names stay as they are.
export function prettyJson(text) {
  try {
    JSON.parse(text);
  } catch {
    return null;
  }
  const parts = text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g) ?? [];
  // The indent of deep JSON grows with the square of its depth, and strangers send it.
  let deepest = 0;
  for (let at = 0, now = 0; at < parts.length; at += 1) {
    if (parts[at] === "{" || parts[at] === "[") now += 1;
    else if (parts[at] === "}" || parts[at] === "]") now -= 1;
    if (now > deepest) deepest = now;
  }
  if (deepest > 100) return text;
  let pretty = "";
  let depth = 0;
  const line = () => `\n${"  ".repeat(depth)}`;
  parts.forEach((part, index) => {
    const closes = part === "}" || part === "]";
    const isEmpty = closes && (parts[index - 1] === "{" || parts[index - 1] === "[");
    if (closes) {
      depth -= 1;
      if (!isEmpty) pretty += line();
    }
    pretty += part;
    if (part === "{" || part === "[") {
      depth += 1;
      if (parts[index + 1] !== "}" && parts[index + 1] !== "]") pretty += line();
    } else if (part === ",") pretty += line();
    else if (part === ":") pretty += " ";
  });
  return pretty;
}

// Bytes as offset, hexadecimal and ASCII.
export function hexDump(bytes, perLine = 16) {
  const lines = [];
  for (let at = 0; at < bytes.length; at += perLine) {
    const part = [...bytes.subarray(at, at + perLine)];
    const hex = part.map((byte, index) => (index === 8 ? " " : "") + byte.toString(16).padStart(2, "0"));
    const ascii = part.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "·"));
    const width = perLine * 3 + (perLine > 8 ? 1 : 0);
    lines.push(`${at.toString(16).padStart(4, "0")}  ${hex.join(" ").padEnd(width)} ${ascii.join("")}`);
  }
  return lines.join("\n");
}

export const fromBase64 = (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));

// The text of bytes in UTF-8, or null if they are none.
export function utf8(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

// Text on one line, with what is invisible or turns the direction of text written out.
export function visible(text) {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (char) => `\\u{${char.codePointAt(0).toString(16)}}`);
}

// A time in RFC 3339 as a <time> in the user's own time zone, to the second.
export function when(iso, options = { timeStyle: "medium" }) {
  return el("time", { datetime: iso, title: iso }, new Intl.DateTimeFormat(undefined, options).format(new Date(iso)));
}
