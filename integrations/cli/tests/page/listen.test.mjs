// The page of `gemini-webhooks listen --ui` in a browser.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { accessible, browse, close, deliver, fitsTheWidth, program, server, tabTo, until } from "./browser.mjs";

after(close);

const GOOD = '{"type":"batch.succeeded","version":"v1","timestamp":"2026-11-26T10:00:00Z","data":{"id":"batches/1","output_file_uri":"files/1","count":12345678901234567890}}';

async function listening(t, ...more) {
  const { find, stop } = program(t, ["listen", "--address", "127.0.0.1:0", "--ui", ...more]);
  const [, address] = await find(/listening on (http:\/\/[\d.:]+)/);
  const [, url] = await find(/the page: (http:\S+)/);
  return { address, url, stop };
}

async function app(t, status = 200) {
  const got = [];
  const url = await server(t, (request, body) => {
    got.push({ url: request.url, headers: request.rawHeaders, body: body.toString("utf8") });
    return [status, '{"ok":true}'];
  });
  return { got, url };
}

const rows = (page) => page.getByRole("option").allInnerTexts();

test("deliveries appear as they arrive, with what became of them", async (t) => {
  const { address, url } = await listening(t);
  const { page, fine } = await browse(t, url);
  assert.ok(!page.url().includes("#"), "the token leaves the address bar");
  await page.getByText("Nothing has arrived yet").waitFor();

  assert.equal(await deliver(address, GOOD), 200);
  await page.getByRole("option", { name: "verified: batch.succeeded" }).waitFor();
  await page.getByRole("heading", { name: "Delivery 1 verified" }).waitFor();
  assert.equal(await page.getByRole("status").innerText(), "Delivery 1 verified: batch.succeeded");
  const text = await page.getByRole("region", { name: "Body as text" }).innerText();
  assert.deepEqual(JSON.parse(text), JSON.parse(GOOD));
  assert.ok(text.includes('\n    "count": 12345678901234567890\n'), text);
  const bytes = await page.getByRole("region", { name: "Bytes of the body" }).innerText();
  assert.ok(bytes.startsWith("0000  7b 22 74 79 70 65 22 3a  {\"type\":\n0008  22 62"), bytes);
  assert.ok(await page.getByRole("button", { name: "Send to the app" }).isDisabled(), "there is no app");

  assert.equal(await deliver(address, GOOD, { sign: false, id: "msg_2" }), 400);
  assert.equal(await deliver(address, GOOD), 200);
  await until("three rows", async () => (await rows(page)).length === 3);
  const [third, second, first] = await rows(page);
  assert.match(third, /batch\.succeeded[^]*repeat of #1/);
  assert.match(second, /signature_mismatch[^]*answered 400/);
  assert.match(first, /#1 answered 200/);
  await page.getByRole("heading", { name: "Delivery 1 verified" }).waitFor();
  await page.getByRole("option", { name: "signature_mismatch" }).click();
  await page.getByRole("heading", { name: "refused: signature_mismatch" }).waitFor();
  assert.ok((await page.locator(".reason").innerText()).length > 10);

  // A new load of the page has the token still.
  await page.reload();
  await until("three rows again", async () => (await rows(page)).length === 3);
  fine();
});

test("a delivery is sent again with the keyboard alone", async (t) => {
  const { got, url: forward } = await app(t);
  const { address, url } = await listening(t, "--forward", forward);
  const { page, fine } = await browse(t, url);
  for (const id of ["msg_1", "msg_2", "msg_3"]) await deliver(address, `{"id":"${id}"}`, { id });
  await until("three rows", async () => (await rows(page)).length === 3);

  await tabTo(page, "#list");
  await page.keyboard.press("Home");
  await page.getByRole("heading", { name: "Delivery 3" }).waitFor();
  await page.keyboard.press("ArrowDown");
  await page.getByRole("heading", { name: "Delivery 2" }).waitFor();
  await page.keyboard.press("End");
  await page.getByRole("heading", { name: "Delivery 1" }).waitFor();
  await page.keyboard.press("ArrowUp");
  await page.getByRole("heading", { name: "Delivery 2" }).waitFor();
  await tabTo(page, "#send");
  await page.keyboard.press("Enter");
  await until("the app has it", () => got.length === 4);
  assert.deepEqual(got[3], got[1], "the same request");
  await until("it is read out", async () => /Delivery 2 sent: the app answered 200/.test(await page.getByRole("status").innerText()));
  assert.equal(await page.locator(".answers > li").count(), 2);
  assert.equal(await page.evaluate(() => document.activeElement.id), "send", "the focus stays");
  await page.keyboard.press("Space");
  await until("the app has it once more", () => got.length === 5);
  await until("three answers", async () => (await page.locator(".answers > li").count()) === 3);

  // From there on, everything that scrolls can be reached.
  await tabTo(page, '[aria-label="Body as text"]');
  await tabTo(page, '[aria-label="Bytes of the body"]');
  fine();
});

test("text from elsewhere is shown as text", async (t) => {
  const hostile = '<img src=x onerror="window.pwned=1">';
  const forward = await server(t, () => [500, `${hostile}</pre><script>window.pwned=1</script>`]);
  const { address, url } = await listening(t, "--forward", forward);
  const { page, fine } = await browse(t, url);
  const body = JSON.stringify({ type: hostile, x: "</script><script>window.pwned=1</script>\u202e" });
  await deliver(address, body, { path: "/<svg/onload=window.pwned=1>?q='\"><b>", headers: { "x-hostile": `${hostile}</table>` } });
  await page.getByRole("heading", { name: "Delivery 1" }).waitFor();
  assert.ok((await rows(page))[0].includes(hostile));
  const detail = await page.locator("#detail").innerText();
  assert.ok(detail.includes(`${hostile}</table>`), detail);
  assert.ok(detail.includes("</script><script>window.pwned=1</script>\\u{202e}"), detail);
  assert.ok(detail.includes(`${hostile}</pre><script>`), "the app's answer");
  // No text, and no JSON.
  await deliver(address, Buffer.from([0xff, 0x00, 0x3c]), { id: "msg_2" });
  await page.getByRole("option").first().click();
  await page.getByText("It is no text in UTF-8").waitFor();
  await deliver(address, "<b>no JSON</b>", { id: "msg_3" });
  await until("three rows", async () => (await rows(page)).length === 3);
  await page.getByRole("option").first().click();
  await page.getByText("As text (it is no JSON)").waitFor();
  await page.getByText("<b>no JSON</b>").first().waitFor();

  assert.equal(await page.evaluate(() => window.pwned), undefined);
  assert.equal(await page.locator("img, svg, b, script:not([src='/page.js'])").count(), 0);
  fine();
});

test("the policy of the page stops what a mistake would let through", async (t) => {
  const { url } = await listening(t);
  const { page, wrong } = await browse(t, url);
  await page.getByText("Nothing has arrived yet").waitFor();
  const outcome = await page.evaluate(async () => {
    const name = async (attempt) => {
      try {
        await attempt();
        return "done";
      } catch (error) {
        return error.name;
      }
    };
    return {
      html: await name(() => { document.body.innerHTML = "<p>x</p>"; }),
      script: await name(() => {
        document.head.append(Object.assign(document.createElement("script"), { textContent: "window.pwned = 1" }));
      }),
      style: await name(() => document.body.setAttribute("style", "background: red")),
      elsewhere: await name(() => fetch("http://127.0.0.1:9/")),
      pwned: window.pwned,
      background: getComputedStyle(document.body).backgroundColor,
    };
  });
  assert.deepEqual(outcome, {
    html: "TypeError", script: "TypeError", style: "done", elsewhere: "TypeError", pwned: undefined, background: "rgba(0, 0, 0, 0)",
  });
  for (const rule of ["TrustedHTML", "TrustedScript", "style-src", "connect-src"]) {
    assert.ok(wrong.some((text) => text.includes(rule)), `${rule} in ${wrong.join("\n")}`);
  }
});

test("other sites get nothing, whatever the browser lets them send", async (t) => {
  const { got, url: forward } = await app(t);
  const { address, url } = await listening(t, "--forward", forward);
  await deliver(address, GOOD);
  const { origin, hash } = new URL(url);
  const site = await server(t, () => "<!doctype html><title>Another site</title>");
  const { page } = await browse(t, site);
  const token = hash.slice(1);
  const outcome = await page.evaluate(async ([origin, token]) => {
    const tried = {};
    const attempt = async (name, make) => {
      try {
        const answer = await make();
        tried[name] = answer.type === "opaque" ? "opaque" : await answer.text();
      } catch (error) {
        tried[name] = error.name;
      }
    };
    const again = `${origin}/api/deliveries/1/send`;
    await attempt("read", () => fetch(`${origin}/api/deliveries?after=0`));
    await attempt("read with a stolen token", () => fetch(`${origin}/api/deliveries?after=0`, { headers: { "x-page-token": token } }));
    await attempt("send", () => fetch(again, { method: "POST", mode: "no-cors" }));
    await attempt("send with a stolen token", () => fetch(again, { method: "POST", headers: { "x-page-token": token } }));
    tried.script = await new Promise((done) => {
      const script = Object.assign(document.createElement("script"), { src: `${origin}/page.js`, type: "text/javascript" });
      script.onload = () => done("loaded");
      script.onerror = () => done("refused");
      document.head.append(script);
    });
    return tried;
  }, [origin, token]);
  // The one without answer was sent, and refused: CORP keeps even that from the site.
  assert.deepEqual(outcome, {
    read: "TypeError", "read with a stolen token": "TypeError", send: "TypeError", "send with a stolen token": "TypeError", script: "refused",
  });
  assert.equal(got.length, 1, "nothing was sent to the app");

  // A name that an attacker has made to point here.
  const { page: rebound } = await browse(t, url.replace("127.0.0.1", "evil.example"));
  assert.match(await rebound.locator("body").innerText(), /this page has another host/);
  // A frame.
  const framing = await server(t, () => `<!doctype html><iframe src="${url}"></iframe>`);
  const { page: outer } = await browse(t, framing);
  const frame = await until("the frame", () => outer.frames()[1]);
  await frame.waitForLoadState();
  assert.equal(await frame.locator("#list").count(), 0);
});

test("without the token the page says what to do, and at the end that the program has ended", async (t) => {
  const { url, stop } = await listening(t);
  const { page } = await browse(t, new URL(url).origin);
  await page.getByRole("alert").getByText("needs the key in the URL").waitFor();
  // The whole URL in the same tab.
  await page.goto(url);
  await page.getByText("Nothing has arrived yet").waitFor();
  await until("the alert is gone", async () => !(await page.getByRole("alert").isVisible()));
  assert.equal(await stop(), 0);
  await page.getByRole("alert").getByText("it has probably ended").waitFor();
});

test("it is for everyone: axe, small windows, zoom, dark and light", async (t) => {
  const { url: forward } = await app(t, 409);
  const { address, url } = await listening(t, "--forward", forward);
  await deliver(address, GOOD);
  await deliver(address, JSON.stringify({ type: "batch.failed", data: { id: "x".repeat(400) } }), { id: `msg_${"y".repeat(200)}`, headers: { "x-long": "z".repeat(500) } });
  await deliver(address, GOOD, { sign: false, id: "msg_3", path: "/a/long/path/that/goes/on/and/on/and/on/and/on/and/on?token=abcdefghijklmnopqrstuvwxyz" });
  await deliver(address, GOOD);
  for (const [name, options] of [
    ["light", { colorScheme: "light" }],
    ["dark", { colorScheme: "dark" }],
    // 1280 px at 200 %.
    ["zoomed", { viewport: { width: 640, height: 400 }, deviceScaleFactor: 2 }],
    ["narrow", { viewport: { width: 320, height: 640 } }],
    ["narrow-dark", { viewport: { width: 320, height: 640 }, colorScheme: "dark", reducedMotion: "reduce" }],
  ]) {
    const { page, fine } = await browse(t, url, options);
    for (const number of [4, 3, 2]) {
      await page.getByRole("option", { name: `#${number} ` }).click();
      await page.getByRole("heading", { name: `Delivery ${number}` }).waitFor();
      await fitsTheWidth(page);
      if (number === 3 || options.colorScheme === "light") await accessible(page);
      if (process.env.SCREENSHOTS) {
        await page.screenshot({ path: `${process.env.SCREENSHOTS}/listen-${name}-${number}.png` });
      }
    }
    const moves = await page.evaluate(() => getComputedStyle(document.querySelector("button")).transitionDuration);
    if (options.reducedMotion) assert.equal(moves, "0s");
    fine();
  }
});
