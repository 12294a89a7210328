// What tests of a page need: the program, deliveries, an app, and a browser that notes whatever goes wrong.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";

import { chromium } from "playwright-core";

const PATIENCE = 30_000;
export const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core"), "utf8");

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// Waits until `find` returns something that is not falsy.
export async function until(what, find) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const found = await find();
    if (found) return found;
    if (Date.now() > end) assert.fail(`not within ${PATIENCE} ms: ${what}`);
    await pause(20);
  }
}

// Runs the program with these arguments. `find(pattern)` waits for a line on standard error.
export function program(t, args) {
  const env = { ...process.env, WEBHOOK_SIGNING_SECRET: SECRET };
  const child = spawn(process.env.PROGRAM, args, { env, stdio: ["ignore", "pipe", "pipe"] });
  let errors = "";
  child.stderr.on("data", (data) => { errors += data; });
  child.stdout.resume();
  const ended = new Promise((done) => child.once("close", done));
  const stop = async () => {
    child.kill("SIGINT");
    return ended;
  };
  t.after(stop);
  const find = (pattern) => until(`${pattern} in ${errors}`, () => {
    assert.equal(child.exitCode, null, `it ended: ${errors}`);
    return errors.match(pattern);
  });
  return { find, stop };
}

// An HTTP server on loopback: `answer(request, body)` returns a status and a text, or a text of HTML.
export async function server(t, answer) {
  const listener = createServer((request, response) => {
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => {
      const given = answer(request, Buffer.concat(parts));
      if (typeof given === "string") response.writeHead(200, { "content-type": "text/html" }).end(given);
      else response.writeHead(given[0]).end(given[1]);
    });
  });
  await new Promise((done) => listener.listen(0, "127.0.0.1", done));
  t.after(() => {
    listener.closeAllConnections();
    listener.close();
  });
  return `http://127.0.0.1:${listener.address().port}`;
}

// Sends a delivery, signed as the Standard Webhooks specification says.
export async function deliver(address, body, { id = "msg_1", path = "/hook", sign = true, headers = {} } = {}) {
  const at = Math.floor(Date.now() / 1000);
  const key = Buffer.from(SECRET.slice("whsec_".length), "base64");
  const mac = createHmac("sha256", key).update(`${id}.${at}.`).update(body);
  const signature = sign ? `v1,${mac.digest("base64")}` : `v1,${Buffer.alloc(32).toString("base64")}`;
  const answer = await fetch(address + path, {
    method: "POST",
    headers: { "webhook-id": id, "webhook-timestamp": `${at}`, "webhook-signature": signature, ...headers },
    body,
  });
  return answer.status;
}

let running;

// A page in a browser, with a list of what went wrong in it. `fine()` says that nothing did.
export async function browse(t, url, options = {}) {
  running ??= chromium.launch({
    executablePath: process.env.CHROMIUM,
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync",
      // What an attacker's name server would answer.
      "--host-resolver-rules=MAP evil.example 127.0.0.1",
    ],
  });
  const context = await (await running).newContext({ viewport: { width: 1200, height: 800 }, ...options });
  t.after(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  const wrong = [];
  const { origin } = new URL(url);
  page.on("pageerror", (error) => wrong.push(`error: ${error}`));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) wrong.push(`console: ${message.text()}`);
  });
  page.on("dialog", (dialog) => {
    wrong.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("request", (request) => {
    if (new URL(request.url()).origin !== origin) wrong.push(`request to ${request.url()}`);
  });
  await page.goto(url);
  return { page, wrong, fine: () => assert.deepEqual(wrong, []) };
}

export async function close() {
  await (await running)?.close();
}

// Holds a page to axe's rules.
export async function accessible(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => axe.run());
  const found = violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html, failureSummary }) => html + failureSummary).join("; ")}`);
  assert.deepEqual(found, []);
}

// Presses Tab until the element with the focus fits the selector. Each element on the way has to show its focus.
export async function tabTo(page, selector) {
  for (let presses = 0; presses < 40; presses += 1) {
    await page.keyboard.press("Tab");
    const focus = await page.evaluate((selector) => {
      const element = document.activeElement;
      const { outlineStyle, outlineWidth } = getComputedStyle(element);
      return {
        name: element.outerHTML.slice(0, 80),
        isBody: element === document.body,
        isVisible: outlineStyle !== "none" && parseFloat(outlineWidth) >= 2,
        fits: element.matches(selector),
      };
    }, selector);
    assert.ok(focus.isBody || focus.isVisible, `the focus is not visible: ${focus.name}`);
    if (focus.fits) return;
  }
  assert.fail(`Tab does not reach ${selector}`);
}

// Whether anything is wider than the window.
export async function fitsTheWidth(page) {
  const [content, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(content <= window, `${content} px in a window of ${window} px`);
}
