// Sessions of the JavaScript client in Chromium, where nginx refuses WebSockets: all
// of it works by itself, and moves to the WebSocket when that is let through.
//
//   TROUPE_URL       where nginx is
//   TROUPE_UPGRADES  the file that has it let upgrades through at /later/
//   CHROMIUM         the browser; /usr/bin/chromium if not given

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { MANY, play, until } from "../browsertest/player.mjs";

let browser;

before(async () => {
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--ignore-certificate-errors"],
    timeout: 120_000,
  });
});

after(() => browser?.close());

// open is a page with a session at a path, whose player is asked.
async function open(t, path, options = {}) {
  const page = await browser.newPage({ ignoreHTTPSErrors: true });
  page.setDefaultTimeout(120_000);
  t.after(() => page.close());
  await page.goto(process.env.TROUPE_URL + path);
  await page.evaluate(`(async () => {
    const { connect } = await import(new URL("troupe.js", location.href));
    window.player = (${play})(connect, "events", ${JSON.stringify({ token: "ann", ...options })});
  })()`);
  const state = () => page.evaluate(() => player.client.state);
  await until(async () => (await state()).status === "open", "open", 120_000);
  return { page, state };
}

const numbers = (n) => Array.from({ length: n }, (_, i) => i + 1);

for (const [path, carrier] of [["/refuses/on/", "sse"], ["/refuses/off/", "sse"], ["/refuses/all/", "poll"]]) {
  test(`${path}: a thousand events each way, by itself over ${carrier}`, async (t) => {
    const { page, state } = await open(t, path);
    assert.equal((await state()).transport, carrier);
    for (let n = 1; n <= MANY; n += 100) {
      await page.evaluate((n) => player.say(n, n + 99), n);
      if (n % 200 === 1) await page.evaluate(() => player.client.break());
    }
    await until(() => page.evaluate((n) => player.heard.length >= n, MANY), "all of it", 120_000);
    const { heard, gaps, renewed } = await page.evaluate(({ heard, gaps, renewed } = player) => ({ heard, gaps, renewed }));
    assert.deepEqual(heard, numbers(MANY));
    assert.deepEqual([gaps, renewed], [0, 0]);
  });
}

test("/later/: the session moves to the WebSocket, and nothing is noticed", async (t) => {
  const { page, state } = await open(t, "/later/");
  const { session, transport } = await state();
  assert.equal(transport, "sse");
  await page.evaluate(() => player.say(1, 100));
  await writeFile(process.env.TROUPE_UPGRADES, "");
  await page.evaluate(() => dispatchEvent(new Event("online"))); // else it would take half a minute
  let said = 100;
  while ((await state()).transport !== "ws") await page.evaluate((n) => player.say(n, n), ++said);
  await page.evaluate((n) => player.say(n + 1, n + 100), said);
  said += 100;
  await until(() => page.evaluate((n) => player.heard.length >= n, said), "all of it", 120_000);
  const { heard, gaps, renewed, states } = await page.evaluate(({ heard, gaps, renewed, states } = player) => ({ heard, gaps, renewed, states }));
  assert.deepEqual(heard, numbers(said));
  assert.deepEqual([gaps, renewed], [0, 0]);
  assert.equal((await state()).session, session);
  const since = states.findIndex(({ status }) => status === "open");
  assert.ok(states.slice(since).every(({ status }) => status === "open"), "it was open all the time");
});
