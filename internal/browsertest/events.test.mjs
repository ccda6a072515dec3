// What a real browser's EventSource makes of server-sent events.
//
//   TROUPE_EVENTS  address of ./events, which it prints
//   CHROMIUM       the browser; /usr/bin/chromium if not given

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";

const address = process.env.TROUPE_EVENTS;
let browser;

before(async () => {
  assert.ok(address, "TROUPE_EVENTS must name a running server");
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
});

after(() => browser?.close());

// visit opens the page and notes the answers to its requests for path.
async function visit(t, path) {
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const answers = [];
  page.on("response", (response) => new URL(response.url()).pathname === path && answers.push(response));
  await page.goto(address);
  return { page, answers };
}

test("events have names, ids and lines; a page reconnects where it was, and stops at a 204", async (t) => {
  const { page, answers } = await visit(t, "/story");
  const events = await page.evaluate(() => new Promise((resolve) => {
    const source = new EventSource("/story");
    const events = [];
    const note = ({ type, lastEventId, data }) => events.push([type, lastEventId, data]);
    for (const type of ["message", "tick", "resumed"]) source.addEventListener(type, note);
    source.addEventListener("open", () => events.push("open"));
    source.addEventListener("error", () => {
      events.push(source.readyState === EventSource.CLOSED ? "closed" : "reconnecting");
      if (source.readyState === EventSource.CLOSED) resolve(events);
    });
  }));
  assert.deepEqual(events, [
    "open",
    ["tick", "1", "one\ntwo\n\ndata: four"],
    ["message", "1", "grüß dich"],
    ["message", "zwei ½", ""],
    "reconnecting",
    "open",
    ["resumed", "3", "after zwei ½"],
    "reconnecting",
    "closed",
  ]);
  assert.deepEqual(answers.map((answer) => answer.status()), [200, 200, 204]);
  for (const answer of answers.slice(0, 2)) {
    const { "content-type": type, "cache-control": caching } = await answer.allHeaders();
    assert.deepEqual([type, caching], ["text/event-stream; charset=utf-8", "no-cache"]);
  }
});

test("a page that closes its EventSource has left", async (t) => {
  const { page } = await visit(t, "/endless");
  const hello = await page.evaluate(() => new Promise((resolve) => {
    const source = new EventSource("/endless");
    source.onmessage = ({ data }) => {
      source.close();
      resolve(data);
    };
  }));
  assert.equal(hello, "hello");
  // A long poll. Now and then Chromium first listens on for 5 s, as it would like
  // to use the connection again.
  const name = await page.evaluate(async () => (await fetch("/left")).text());
  assert.equal(name, "client-close");
});
