import {
  List, announce, api, byId, el, facts, follow, fromBase64, hexDump, prettyJson, scroller, utf8, visible, when,
} from "/shared.js";

const deliveries = new Map();
const detail = byId("detail");
let about;
// The number whose details are on the page, or on their way.
let shown;

const list = new List(byId("list"), { row, onChoose: (entry) => show(entry.number) });

// What a delivery is called in the list, and in what is read out.
function title(delivery) {
  if (delivery.verified) return visible(delivery.type ?? "no type");
  return delivery.code;
}

function outcome(delivery) {
  const app = delivery.app == null ? "" : `, app ${delivery.app}`;
  return `answered ${delivery.answered}${app}`;
}

// A code may be broken after an underline.
const breakable = (text) => text.split(/(?<=_)/).flatMap((part, index) => (index > 0 ? [el("wbr"), part] : [part]));

function row(delivery) {
  const { verified, repeat_of: first } = delivery;
  return [
    el("span", { class: verified ? "good" : "bad" },
      el("span", { class: "mark", "aria-hidden": "true" }, verified ? "✓" : "✕"),
      el("span", { class: "visually-hidden" }, verified ? "verified: " : "refused: "),
      el("span", { class: verified ? "ink" : "" }, breakable(title(delivery)))),
    el("span", { class: "faint" }, when(delivery.at)),
    el("span", { class: "faint" }, `#${delivery.number} ${outcome(delivery)}`),
    el("span", { class: "faint" }, first == null ? "" : `repeat of #${first}`),
  ];
}

function receive(news) {
  const fresh = news.deliveries.filter((delivery) => !deliveries.has(delivery.number));
  for (const delivery of news.deliveries) deliveries.set(delivery.number, { ...delivery, key: delivery.number });
  for (const { number, verified } of [...deliveries.values()]) {
    const oldest = verified ? news.oldest.verified : news.oldest.refused;
    if (oldest != null && number < oldest) deliveries.delete(number);
  }
  const newestFirst = [...deliveries.values()].sort((a, b) => b.number - a.number);
  list.show(newestFirst);
  byId("empty").hidden = newestFirst.length > 0;
  byId("count").textContent = newestFirst.length > 0 ? `${newestFirst.length}` : "";
  if (fresh.length === 1) {
    const [delivery] = fresh;
    announce(`Delivery ${delivery.number} ${delivery.verified ? "verified" : "refused"}: ${title(delivery)}`);
  } else if (fresh.length > 1) announce(`${fresh.length} new deliveries`);
  if (shown === undefined && newestFirst.length > 0) list.choose(newestFirst[0].key);
  // Somebody sent it again, perhaps in another window.
  else if (news.deliveries.some((delivery) => delivery.number === shown)) show(shown);
}

async function show(number) {
  shown = number;
  let content;
  try {
    content = render(await api(`/deliveries/${number}`));
  } catch (error) {
    content = [el("h2", {}, `Delivery ${number}`), el("p", {}, error.message)];
  }
  // Another one was chosen meanwhile.
  if (shown !== number) return;
  // A button that has the focus is replaced by one that is like it.
  const focused = detail.contains(document.activeElement) ? document.activeElement.id : "";
  detail.replaceChildren(...content);
  if (detail.dataset.number !== `${number}`) detail.scrollTop = 0;
  detail.dataset.number = number;
  if (focused) (byId(focused) ?? detail).focus();
}

function render(delivery) {
  return [
    el("div", {},
      el("h2", { class: "verdict" },
        el("span", {}, `Delivery ${delivery.number}`),
        el("span", { class: delivery.verified ? "good" : "bad" }, delivery.verified ? "verified" : `refused: ${delivery.code}`)),
      el("p", { class: "faint" }, delivery.method, " ", el("code", {}, visible(delivery.target)))),
    reason(delivery),
    findings(delivery.findings),
    again(delivery),
    facts([
      ["Arrived", when(delivery.at, { dateStyle: "medium", timeStyle: "medium" })],
      ["Sender got", `${delivery.answered}`],
      ["Event", delivery.type && visible(delivery.type)],
      ["webhook-id", delivery.webhook_id && el("code", {}, visible(delivery.webhook_id))],
      ["Signed", delivery.accepted && `${delivery.accepted.scheme} with ${visible(delivery.accepted.key)}`],
      ["Sent", delivery.accepted && when(new Date(delivery.accepted.timestamp * 1000).toISOString(), { dateStyle: "medium", timeStyle: "medium" })],
      ["Repeat", delivery.repeat_of == null ? null : `of delivery ${delivery.repeat_of}. An app has to handle the event once only.`],
    ]),
    answers(delivery.answers),
    body(delivery),
    headers(delivery.headers),
  ].filter((part) => part != null);
}

function reason({ refusal }) {
  return refusal ? el("p", { class: "reason" }, visible(refusal.reason)) : null;
}

function findings(found) {
  if (found.length === 0) return null;
  return section(found[0].is_certain ? "What went wrong" : "What probably went wrong", el("ul", { class: "findings" }, found.map((finding) => el("li", {},
    el("p", {}, finding.is_certain ? null : el("span", { class: "faint" }, "Perhaps: "), visible(finding.what)),
    el("p", {}, visible(finding.remedy))))));
}

function again(delivery) {
  const why = !about.app
    ? "Start the program with --forward URL to send deliveries to an app."
    : !delivery.is_whole
      ? "This request was not read to its end, so there is nothing to send."
      : `${delivery.answers.length > 0 ? "" : "It was refused, so the app did not get it. "}The app gets the same bytes. It may refuse them as too old five minutes after they were sent, or answer that it has handled the event already.`;
  const isPossible = Boolean(about.app) && delivery.is_whole;
  return el("div", { class: "again" },
    el("button", {
      id: "send", type: "button", class: delivery.verified ? "" : "quiet", disabled: !isPossible, "aria-describedby": "send-note", onclick: () => send(delivery.number),
    }, delivery.answers.length > 0 ? "Send again" : "Send to the app"),
    el("p", { id: "send-note" }, why));
}

async function send(number) {
  const button = byId("send");
  // Not `disabled`, which would take the focus away.
  if (button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-disabled", "true");
  announce(`Sending delivery ${number}`);
  try {
    const delivery = await api(`/deliveries/${number}/send`, { method: "POST" });
    announce(`Delivery ${number} sent: ${answered(delivery.answers.at(-1))}`);
    if (shown === number) await show(number);
  } catch (error) {
    announce(error.message);
    if (shown === number) byId("send-note").textContent = error.message;
  } finally {
    byId("send")?.removeAttribute("aria-disabled");
  }
}

function answered(answer) {
  return answer.error ? visible(answer.reason) : `the app answered ${answer.status} in ${answer.milliseconds} ms`;
}

function answers(given) {
  if (given.length === 0) return null;
  const newestFirst = given.map((answer, index) => [answer, index]).reverse();
  return section("The app’s answers", el("ol", { class: "answers" }, newestFirst.map(([answer, index]) => el("li", {},
    el("h4", { class: answer.error || answer.status >= 400 ? "bad" : "" },
      when(answer.at), ` ${answered(answer)}`),
    answer.body ? scroller(`Answer ${index + 1} of the app`, visibleText(answer.body)) : null,
    answer.body_is_cut ? el("p", { class: "faint" }, "The answer was longer.") : null))));
}

// Text over several lines, with what is invisible in them written out.
const visibleText = (text) => text.split(/(\r?\n|\t)/).map((part, index) => (index % 2 ? part : visible(part))).join("");

function body(delivery) {
  const bytes = fromBase64(delivery.body_base64);
  if (bytes.length === 0) return section("Body", el("p", { class: "faint" }, delivery.is_whole ? "It is empty." : "It was not kept."));
  const text = utf8(bytes);
  const pretty = text === null ? null : prettyJson(text);
  const kind = pretty !== null ? "As JSON" : text !== null ? "As text (it is no JSON)" : "It is no text in UTF-8";
  return section(`Body, ${bytes.length} bytes`, el("div", { class: "bodies" },
    el("div", {}, el("h4", {}, kind), text === null ? null : scroller("Body as text", visibleText(pretty ?? text))),
    el("div", {}, el("h4", {}, "Bytes as they came"), scroller("Bytes of the body", hexDump(bytes, 8)))));
}

function headers(lines) {
  return section("Header lines", el("table", { class: "headers" }, el("tbody", {}, lines.map(([name, value]) => el("tr", {},
    el("th", { scope: "row" }, name), el("td", {}, visible(value)))))));
}

function section(heading, content) {
  return el("section", {}, el("h3", {}, heading), content);
}

function describe() {
  byId("about").append(
    "Receives at ", el("code", {}, about.address),
    ...(about.app
      ? [about.forwards_refused ? " and sends all to " : " and sends verified ones to ", el("code", {}, about.app)]
      : []));
}

follow(async (news) => {
  if (!about) {
    about = await api("/about");
    describe();
    detail.replaceChildren(el("p", { class: "faint" }, "Choose a delivery."));
  }
  const next = await api(`/deliveries?after=${news?.version ?? 0}`);
  receive(next);
  return next;
});
