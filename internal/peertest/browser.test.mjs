// What Chromium finds: WebSockets, EventSource, fetch as a stream and as a long
// poll, over HTTP/1.1, HTTP/2 and TLS.
//
//   TROUPE_URL  where the server of server_test.go is
//   CHROMIUM    the browser; /usr/bin/chromium if not given

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";

const address = process.env.TROUPE_URL;
const secure = address.startsWith("https:");
let browser, page;

before(async () => {
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--ignore-certificate-errors"],
    timeout: 120_000,
  });
  page = await browser.newPage();
  page.setDefaultTimeout(120_000);
  await page.goto(address);
});

after(() => browser?.close());

for (const path of ["/echo", "/none", "/takeover"]) {
  test(`a WebSocket to ${path}`, async () => {
    const { extensions, wrong, code, reason } = await page.evaluate(async (path) => {
      const socket = new WebSocket(path);
      socket.binaryType = "arraybuffer";
      const events = [];
      let ready;
      for (const type of ["open", "message", "close"]) {
        socket.addEventListener(type, (event) => {
          events.push(event);
          ready?.();
        });
      }
      const next = async () => {
        while (events.length === 0) await new Promise((resolve) => (ready = resolve));
        return events.shift();
      };
      await next();
      const wrong = [];
      const noise = new Uint8Array(1 << 20).map((_, i) => (i * i) >> 7);
      for (const size of [0, 1, 125, 126, 4096, 65535, 65536, 1 << 20]) {
        const text = "grüß dich ".repeat(size / 12);
        socket.send(text);
        if ((await next()).data !== text) wrong.push(`text ${size}`);
        const bytes = noise.subarray(0, size);
        socket.send(bytes);
        const back = new Uint8Array((await next()).data);
        if (back.length !== size || back.some((b, i) => b !== bytes[i])) wrong.push(`bytes ${size}`);
      }
      socket.close(4321, "grüß dich");
      const { code, reason } = await next();
      return { extensions: socket.extensions, wrong, code, reason };
    }, path);
    assert.deepEqual(wrong, []);
    assert.equal(extensions.startsWith("permessage-deflate"), path !== "/echo");
    assert.deepEqual([code, reason], [4321, "grüß dich"]); // as the server answers
  });
}

test("a WebSocket that the server closes", async () => {
  const closed = await page.evaluate(() => new Promise((resolve) => {
    const socket = new WebSocket("/close");
    socket.onopen = () => socket.send("4001 grüß dich");
    socket.onclose = ({ code, reason, wasClean }) => resolve({ code, reason, wasClean });
  }));
  assert.deepEqual(closed, { code: 4001, reason: "grüß dich", wasClean: true });
});

test("a hundred WebSockets of one page", async () => {
  const n = await page.evaluate(async () => {
    const one = (i) => new Promise((resolve, reject) => {
      const socket = new WebSocket("/takeover");
      socket.onopen = () => socket.send(`socket ${i}`);
      socket.onmessage = ({ data }) => (data === `socket ${i}` ? socket.close(1000) : reject(new Error(data)));
      socket.onclose = ({ code }) => (code === 1000 ? resolve() : reject(new Error(code)));
    });
    return (await Promise.all(Array.from({ length: 100 }, (_, i) => one(i)))).length;
  });
  assert.equal(n, 100);
});

// Each is asked for when the one before has come.
test("events flow", async () => {
  const ids = await page.evaluate(() => new Promise((resolve, reject) => {
    const source = new EventSource("/clock?key=events");
    const ids = [];
    source.onerror = () => reject(new Error("error"));
    source.onmessage = ({ data, lastEventId }) => {
      ids.push(lastEventId);
      if (data !== `${lastEventId}\n`) reject(new Error(data));
      if (ids.length < 20) return fetch("/next?key=events");
      source.close();
      resolve(ids);
    };
  }));
  assert.deepEqual(ids, Array.from({ length: 20 }, (_, i) => String(i + 1)));
});

test("a fetched stream flows", async () => {
  const all = await page.evaluate(async () => {
    const reader = (await fetch("/clock?key=lines&accel=no")).body.pipeThrough(new TextDecoderStream()).getReader();
    let all = "";
    for (let n = 1; ; n++) {
      const { done, value } = await reader.read();
      if (done) return all;
      all += value;
      await fetch(n < 20 ? "/next?key=lines" : "/end?key=lines");
    }
  });
  assert.equal(all, Array.from({ length: 20 }, (_, i) => `${i + 1}\n`).join("") + "end");
});

test("long polls", async () => {
  const answers = await page.evaluate(async () => {
    const answers = [];
    for (let i = 0; i < 20; i++) {
      const held = fetch(`/poll?key=${i}`).then((answer) => answer.text());
      await fetch(`/answer?key=${i}&say=news+${i}`);
      answers.push(await held);
    }
    return answers;
  });
  assert.deepEqual(answers, Array.from({ length: 20 }, (_, i) => `news ${i}`));
});

test("a download, whole and broken", async () => {
  const [length, broken] = await page.evaluate(async () => {
    const whole = await (await fetch("/big?bytes=8388608")).arrayBuffer();
    return [whole.byteLength, await fetch("/big?bytes=300000&fail=1").then((answer) => answer.arrayBuffer()).then(() => "whole", (error) => error.name)];
  });
  assert.deepEqual([length, broken], [8 << 20, "TypeError"]);
});

test("what is fetched from TLS comes by HTTP/2", async () => {
  const protocols = await page.evaluate(() => [...new Set(performance.getEntriesByType("resource").map((entry) => entry.nextHopProtocol).filter(Boolean))]);
  assert.deepEqual(protocols, [secure ? "h2" : "http/1.1"]);
});
