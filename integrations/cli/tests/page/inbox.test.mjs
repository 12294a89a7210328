// The page of `gemini-webhooks inbox ui` in a browser.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { accessible, browse, close, fitsTheWidth, program, tabTo, until } from "./browser.mjs";

const folder = mkdtempSync(join(tmpdir(), "gemini-webhooks-inbox-"));
after(async () => {
  await close();
  rmSync(folder, { recursive: true });
});

// 52 events that are done, three dead letters, and one that waits: stored and worked off by the inbox itself.
const full = join(folder, "full.db");
execFileSync("cargo", [
  "test", "--quiet", "--package", "gemini-webhooks-cli", "--test", "inbox", "--", "--ignored", "--exact", "page::fill",
], { env: { ...process.env, INBOX_FILE: full }, stdio: ["ignore", "ignore", "inherit"] });

let copies = 0;

// A copy of the full inbox on its page. `run` runs another command on it, as in another terminal.
async function inbox(t) {
  copies += 1;
  const file = join(folder, `${copies}.db`);
  // What was written last may be in the second file still.
  for (const part of ["", "-wal"]) if (existsSync(full + part)) copyFileSync(full + part, file + part);
  const { find, stop } = program(t, ["inbox", "ui", "--sqlite", file]);
  const [, url] = await find(/the page: (http:\S+)/);
  const run = (...args) => execFileSync(process.env.PROGRAM, ["inbox", ...args, "--sqlite", file], { stdio: ["ignore", "pipe", "ignore"] }).toString();
  return { url, run, stop };
}

const rows = (page) => page.locator("#list").getByRole("option").allInnerTexts();
const said = (page, text) => until(`it is read out: ${text}`, async () => (await page.getByRole("status").innerText()).includes(text));

test("it begins with the dead letters, and follows what happens", async (t) => {
  const { url, run, stop } = await inbox(t);
  const { page, fine } = await browse(t, url);
  assert.ok(!page.url().includes("#"), "the token leaves the address bar");
  await page.getByRole("heading", { name: "Event 55 dead letter" }).waitFor();
  assert.equal((await rows(page)).length, 3);
  assert.equal(await page.getByLabel("State").inputValue(), "dead");
  assert.equal(await page.locator("#waiting").innerText(), "1");
  assert.equal(await page.locator("#dead").innerText(), "3");
  await page.getByRole("option", { name: "#53 " }).click();
  await page.getByRole("heading", { name: "Event 53 dead letter" }).waitFor();
  const text = await page.getByRole("region", { name: "Body" }).innerText();
  assert.equal(JSON.parse(text).type, "batch.succeeded");
  const history = await page.locator(".history tbody tr").allInnerTexts();
  assert.deepEqual(history.map((row) => row.split("\t")[1]), ["stored", "begun", "failed", "begun", "dead"]);

  // In another terminal.
  run("retry", "53", "--yes", "--why", "another terminal");
  await page.getByRole("heading", { name: "Event 53 waiting" }).waitFor();
  await page.getByText("another terminal").first().waitFor();
  await until("two rows", async () => (await rows(page)).length === 2);
  await until("the counts", async () => (await page.locator("#waiting").innerText()) === "2" && (await page.locator("#dead").innerText()) === "2");
  fine();

  assert.equal(await stop(), 0);
  await page.getByRole("alert").getByText("it has probably ended").waitFor();
});

test("pages and filters", async (t) => {
  const { url } = await inbox(t);
  const { page, fine } = await browse(t, url);
  await page.getByRole("option", { name: "#55 " }).waitFor();
  await page.getByLabel("State").selectOption("");
  await until("the newest 50", async () => (await rows(page)).length === 50);
  assert.match((await rows(page))[0], /#56 waits_1/);
  const [newer, older] = ["Newer", "Older"].map((name) => page.getByRole("button", { name }));
  assert.ok(await newer.isDisabled());
  await older.focus();
  await page.keyboard.press("Enter");
  await until("the oldest 6", async () => (await rows(page)).length === 6);
  assert.match((await rows(page)).at(-1), /#1 done_0/);
  await page.keyboard.press("Enter");
  await newer.click();
  await until("the newest 50 again", async () => (await rows(page)).length === 50);

  await page.getByLabel("State").selectOption("done");
  await page.getByLabel("Type").fill("video.generated");
  await page.keyboard.press("Enter");
  await page.getByText("No event matches.").waitFor();
  await page.getByLabel("State").selectOption("waiting");
  await until("the one that waits", async () => (await rows(page)).length === 1);
  fine();
});

test("an event is tried again and dropped with the keyboard alone", async (t) => {
  const { url, run } = await inbox(t);
  const { page, fine } = await browse(t, url);
  await page.getByRole("heading", { name: "Event 55 dead letter" }).waitFor();
  await tabTo(page, "#list");
  await page.keyboard.press("End");
  await page.getByRole("heading", { name: "Event 53 dead letter" }).waitFor();
  await tabTo(page, "#retry");
  await page.keyboard.press("Enter");
  await said(page, "Event 53 to be tried again");
  await page.getByRole("heading", { name: "Event 53 waiting" }).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.id), "detail", "the focus is where it was");

  // Asked, and not done.
  await tabTo(page, "#drop");
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog", { name: "Drop the event?" });
  await dialog.waitFor();
  await accessible(page);
  await page.keyboard.press("Escape");
  await until("the dialog is gone", async () => !(await dialog.isVisible()));
  assert.equal(await page.evaluate(() => document.activeElement.id), "drop");
  await page.keyboard.press("Enter");
  await dialog.waitFor();
  await tabTo(page, "#ask-no");
  await page.keyboard.press("Enter");
  await until("the dialog is gone", async () => !(await dialog.isVisible()));
  const state = () => JSON.parse(run("show", "53", "--json"));
  assert.equal(state().state, "waiting", "nothing was done");

  // And done.
  await page.keyboard.press("Enter");
  await dialog.waitFor();
  await page.keyboard.type("<b>the order was cancelled</b>");
  await page.keyboard.press("Enter");
  await said(page, "Event 53 dropped");
  await page.getByRole("heading", { name: "Event 53 dropped" }).waitFor();
  const { history } = state();
  assert.deepEqual([history.at(-1).what, history.at(-1).why], ["dropped", "<b>the order was cancelled</b>"]);
  await page.locator(".history").getByText("<b>the order was cancelled</b>").waitFor();
  assert.ok(await page.getByRole("button", { name: "Drop …" }).isDisabled());

  await page.getByRole("region", { name: "Body" }).waitFor();
  await tabTo(page, '[aria-label="Body"]');
  fine();
});

test("text from elsewhere is shown as text", async (t) => {
  const { url } = await inbox(t);
  const { page, fine } = await browse(t, url);
  await page.getByRole("option", { name: "#54 " }).click();
  await page.getByRole("heading", { name: "Event 54" }).waitFor();
  const detail = await page.locator("#detail").innerText();
  // The type, the webhook-id, the error, and the body.
  assert.ok(detail.includes('<img src=x onerror="window.pwned=1">'), detail);
  assert.ok(detail.includes("dead_<svg/onload=window.pwned=1>"), detail);
  assert.ok(detail.includes("no \\u{1b}[2Jbucket\n\\u{202e}<img src=x onerror=alert(1)>"), detail);
  assert.ok(detail.includes("</pre><script>window.pwned=1</script>\\u{202e}"), detail);
  assert.ok((await rows(page)).some((row) => row.includes('<img src=x onerror="window.pwned=1">')));
  await page.getByRole("button", { name: "Drop …" }).click();
  assert.ok((await page.getByRole("dialog").innerText()).includes("dead_<svg/onload=window.pwned=1>"));
  await page.keyboard.press("Escape");
  // No text, and no JSON.
  await page.getByRole("option", { name: "#55 " }).click();
  await page.getByText("Body, no text in UTF-8").waitFor();
  assert.match(await page.getByRole("region", { name: "Bytes of the body" }).innerText(), /^0000 {2}ff 00 3c/);
  assert.equal(await page.evaluate(() => window.pwned), undefined);
  assert.equal(await page.locator("img, svg, b, script:not([src='/page.js'])").count(), 0);
  fine();
});

test("it is for everyone: axe, small windows, zoom, dark and light", async (t) => {
  const { url } = await inbox(t);
  for (const [name, options] of [
    ["light", { colorScheme: "light" }],
    ["dark", { colorScheme: "dark" }],
    // 1280 px at 200 %.
    ["zoomed", { viewport: { width: 640, height: 400 }, deviceScaleFactor: 2 }],
    ["narrow", { viewport: { width: 320, height: 640 } }],
    ["narrow-dark", { viewport: { width: 320, height: 640 }, colorScheme: "dark", reducedMotion: "reduce" }],
  ]) {
    const { page, fine } = await browse(t, url, options);
    const picture = (what) => process.env.SCREENSHOTS
      && page.screenshot({ path: `${process.env.SCREENSHOTS}/inbox-${name}-${what}.png`, fullPage: true });
    await page.getByRole("option", { name: "#54 " }).click();
    await page.getByRole("heading", { name: "Event 54" }).waitFor();
    await fitsTheWidth(page);
    await accessible(page);
    await picture("dead");
    await page.getByRole("button", { name: "Drop …" }).click();
    await page.getByRole("dialog").waitFor();
    await fitsTheWidth(page);
    if (name === "light" || name === "dark") await accessible(page);
    await picture("drop");
    await page.keyboard.press("Escape");
    await page.getByLabel("State").selectOption("");
    await page.getByRole("option", { name: "#52 " }).click();
    await page.getByRole("heading", { name: "Event 52 done" }).waitFor();
    await fitsTheWidth(page);
    if (name === "light") await accessible(page);
    await picture("all");
    // On a large window the list scrolls, and not the page.
    if (!options.viewport) {
      const [content, window] = await page.evaluate(() => [document.documentElement.scrollHeight, innerHeight]);
      assert.equal(content, window);
    }
    fine();
  }
});
