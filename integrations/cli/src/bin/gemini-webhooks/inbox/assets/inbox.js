import {
  List, announce, api, byId, el, facts, follow, fromBase64, hexDump, prettyJson, scroller, visible, when,
} from "/shared.js";

const PAUSE = 2000;
const LONG = { dateStyle: "medium", timeStyle: "medium" };
const MARKS = { waiting: "○", running: "◐", dead: "✕", done: "✓", dropped: "–" };

const detail = byId("detail");
const state = byId("state");
const type = byId("type");
const dialog = byId("ask");
let about;
// The event whose details are on the page, or on their way, and as what they were shown.
let shown;
let shownText;
// What the list was last made of.
let listText;
// Where the pages begin that lie before this one; the newest page begins nowhere.
let pages = [null];

const list = new List(byId("list"), {
  row,
  // If that fails, the next look does as well, and says so.
  onChoose: (entry) => show(entry.number).catch(hurry),
});

const stateName = (event) => (event.state === "dead" ? "dead letter" : event.state);
const typeName = (event) => visible(event.type ?? "no type");

function row(event) {
  const isDead = event.state === "dead";
  const why = isDead ? event.last?.why : "";
  return [
    el("span", { class: `row-whole${isDead ? " bad" : ""}` },
      el("span", { class: "mark", "aria-hidden": "true" }, MARKS[event.state] ?? "?"),
      el("span", { class: "visually-hidden" }, `${stateName(event)}: `),
      typeName(event)),
    el("span", { class: "faint row-whole" }, `#${event.number} ${visible(event.webhook_id)}`),
    el("span", { class: "faint row-start" }, when(event.received_at, { dateStyle: "short", timeStyle: "short" })),
    el("span", { class: "faint row-end" }, event.attempts === 1 ? "1 run" : `${event.attempts} runs`),
    why ? el("span", { class: "faint row-whole" }, brief(why)) : null,
  ].filter((part) => part != null);
}

const brief = (text) => visible(text.length > 90 ? `${text.slice(0, 90)}…` : text);

// Text over several lines, with what is invisible in them written out.
const visibleText = (text) => text.split(/(\r?\n|\t)/).map((part, index) => (index % 2 ? part : visible(part))).join("");

function age(seconds) {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

function describe(depth) {
  for (const name of ["waiting", "running", "dead"]) byId(name).textContent = depth[name];
  byId("dead").classList.toggle("bad", depth.dead > 0);
  byId("oldest").textContent = depth.oldest_seconds == null ? "none" : age(depth.oldest_seconds);
}

function query() {
  const asked = new URLSearchParams();
  if (state.value) asked.set("state", state.value);
  if (type.value.trim()) asked.set("type", type.value.trim());
  if (pages.at(-1) != null) asked.set("before", pages.at(-1));
  return asked.toString();
}

async function look() {
  const asked = query();
  const [depth, found] = await Promise.all([api("/depth"), api(`/events?${asked}`)]);
  describe(depth);
  // Something else was asked for meanwhile, and is looked at next.
  if (asked !== query()) return;
  const text = JSON.stringify(found);
  if (text === listText) return;
  listText = text;
  list.show(found.events.map((event) => ({ ...event, key: event.number })));
  byId("empty").hidden = found.events.length > 0;
  setEnabled(byId("older"), found.more);
  setEnabled(byId("newer"), pages.length > 1);
  byId("older").dataset.before = found.events.at(-1)?.number ?? "";
  if (shown === undefined && found.events.length > 0) list.choose(found.events[0].number);
}

// A button that has the focus keeps it, and says that it does nothing.
function setEnabled(button, isEnabled) {
  if (document.activeElement === button) button.setAttribute("aria-disabled", String(!isEnabled));
  else {
    button.disabled = !isEnabled;
    button.removeAttribute("aria-disabled");
  }
}

const isEnabled = (button) => !button.disabled && button.getAttribute("aria-disabled") !== "true";

function filter() {
  pages = [null];
  listText = undefined;
  hurry();
}

state.addEventListener("change", filter);
type.addEventListener("change", filter);
byId("older").addEventListener("click", (event) => {
  if (!isEnabled(event.currentTarget)) return;
  pages.push(Number(event.currentTarget.dataset.before));
  turn("Older events");
});
byId("newer").addEventListener("click", (event) => {
  if (!isEnabled(event.currentTarget) || pages.length === 1) return;
  pages.pop();
  turn("Newer events");
});

function turn(what) {
  listText = undefined;
  // Until the page is there, a second press would turn from the old one.
  for (const name of ["older", "newer"]) byId(name).setAttribute("aria-disabled", "true");
  announce(what);
  hurry();
}

async function show(number) {
  if (shown !== number) shownText = undefined;
  shown = number;
  let text;
  let content;
  try {
    const event = await api(`/events/${number}`);
    text = JSON.stringify(event);
    content = () => render(event);
  } catch (error) {
    if (error.status !== 404) throw error;
    text = error.message;
    content = () => [el("h2", {}, `Event ${number}`), el("p", {}, error.message)];
  }
  // Another one was chosen meanwhile, or nothing is new.
  if (shown !== number || text === shownText) return;
  shownText = text;
  // A button that has the focus is replaced by one that is like it.
  const focused = detail.contains(document.activeElement) ? document.activeElement.id : "";
  detail.replaceChildren(...content());
  if (!focused) return;
  const alike = byId(focused);
  (alike && !alike.disabled ? alike : detail).focus();
}

function render(event) {
  const isDead = event.state === "dead";
  const last = event.history.at(-1);
  return [
    el("div", {},
      el("h2", { class: "verdict" },
        el("span", {}, `Event ${event.number}`),
        el("span", { class: isDead ? "bad" : "" }, stateName(event))),
      el("p", { class: "faint" }, typeName(event), " ", el("code", {}, visible(event.webhook_id)))),
    last?.why ? el("p", { class: "reason" }, visibleText(last.why)) : null,
    actions(event),
    facts([
      ["Received", when(event.received_at, LONG)],
      ["Sent", when(event.sent_at, LONG)],
      ["Signed", `${event.scheme} with ${visible(event.key_id)}`],
      ["Runs begun", `${event.attempts}`],
      [event.state === "running" ? "Held until" : "Next run", event.due_at && when(event.due_at, LONG)],
      ["Ended", event.ended_at && when(event.ended_at, LONG)],
    ]),
    section("History", el("table", { class: "history" },
      el("thead", {}, el("tr", {}, ["When", "What", "Why"].map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, event.history.map((change) => el("tr", {},
        el("td", {}, when(change.at, LONG)),
        el("td", {}, change.what.replace("_", " ")),
        el("td", {}, visibleText(change.why))))))),
    body(event),
  ].filter((part) => part != null);
}

function actions(event) {
  const canRetry = ["dead", "done", "dropped"].includes(event.state);
  const canDrop = ["dead", "waiting"].includes(event.state);
  const note = {
    waiting: "A worker tries it without being asked.",
    running: "A worker runs it just now, so it is left alone.",
    dead: "It is not tried again by itself.",
    done: "It was worked off. To try it again repeats the work.",
    dropped: "Somebody dropped it. It was not worked off since.",
  }[event.state] ?? "";
  return el("div", { class: "actions" },
    el("button", { id: "retry", type: "button", disabled: !canRetry, "aria-describedby": "action-note", onclick: () => change(event, "retry") }, "Try again"),
    el("button", { id: "drop", type: "button", class: "quiet", disabled: !canDrop, "aria-describedby": "action-note", onclick: () => ask(event) }, "Drop …"),
    el("p", { id: "action-note" }, note));
}

let asked;

function ask(event) {
  asked = event;
  byId("ask-what").textContent = `#${event.number} ${typeName(event)} ${visible(event.webhook_id)}`;
  byId("why").value = "";
  dialog.showModal();
}

byId("ask-no").addEventListener("click", () => dialog.close());
byId("ask-form").addEventListener("submit", (event) => {
  event.preventDefault();
  dialog.close();
  change(asked, "drop", byId("why").value);
});

const DONE = { retry: "to be tried again", drop: "dropped" };
let isChanging = false;

// Only if its state is still the one that the page shows.
async function change({ number, state }, what, why = "") {
  // Not `disabled`, which would take the focus away.
  if (isChanging) return;
  isChanging = true;
  try {
    await api(`/events/${number}/${what}`, { method: "POST", body: { state, why } });
    announce(`Event ${number} ${DONE[what]}`);
    if (shown === number) await show(number);
  } catch (error) {
    announce(error.message);
    if (shown === number) byId("action-note").textContent = error.message;
  } finally {
    isChanging = false;
    hurry();
  }
}

function body(event) {
  if (event.body === "") return section("Body", el("p", { class: "faint" }, "It is empty."));
  if (event.body == null) return section("Body, no text in UTF-8", scroller("Bytes of the body", hexDump(fromBase64(event.body_base64))));
  const pretty = prettyJson(event.body);
  return section(pretty === null ? "Body, no JSON" : "Body", scroller("Body", visibleText(pretty ?? event.body)));
}

function section(heading, content) {
  return el("section", {}, el("h3", {}, heading), content);
}

// A window that nobody sees asks for nothing.
const isSeen = () => new Promise((done) => {
  if (!document.hidden) return done();
  document.addEventListener("visibilitychange", done, { once: true });
});

let isHurried = false;
let wake;

// Ends the pause between two looks, or leaves out the next one.
function hurry() {
  isHurried = true;
  wake?.();
}

const pause = () => new Promise((done) => {
  const end = () => {
    clearTimeout(timer);
    wake = undefined;
    isHurried = false;
    done();
  };
  const timer = setTimeout(end, isHurried ? 0 : PAUSE);
  wake = end;
});

follow(async () => {
  if (!about) {
    about = await api("/about");
    byId("about").append("The inbox ", el("code", {}, about.namespace), " in ", about.database);
    detail.replaceChildren(el("p", { class: "faint" }, "Choose an event."));
    // What needs somebody comes first.
    if ((await api("/depth")).dead > 0) state.value = "dead";
  }
  await isSeen();
  await look();
  if (shown !== undefined) await show(shown);
  await pause();
});
