// The client and the Go server, over sockets of this machine: npm run real. It builds testserver with go.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import WebSocket from "ws";
import { connect, rejects, TroupeError } from "./fixture.mjs";

const here = fileURLToPath(new URL("..", import.meta.url));
const seed = Number(process.env.SEED ?? Date.now() % 1e9);
const kinds = ["ws", "sse", "poll"];
let work, binary;

before(() => {
  work = mkdtempSync(join(tmpdir(), "troupe-real-"));
  binary = join(work, "testserver");
  execFileSync("go", ["build", "-o", binary, "./testserver"], { cwd: here, stdio: "inherit" });
  console.log("seed", seed);
});
after(() => rmSync(work, { recursive: true }));

/** Starts a server of its own for a test. */
async function serve(t, ...flags) {
  const child = spawn(binary, flags, { stdio: ["pipe", "pipe", "inherit"] });
  const ended = new Promise((go) => child.on("exit", go));
  t.after(() => (child.stdin.end(), ended));
  for await (const line of createInterface({ input: child.stdout })) return { url: line.replace("serving ", ""), child, ended };
  throw new Error("the server said nothing");
}

/** A proxy whose connections can be cut, and that can refuse upgrades or swallow streams. */
async function proxy(t, url) {
  const to = new URL(url);
  const sockets = new Set();
  const p = { to, refuseUpgrades: false, cut: () => sockets.forEach((s) => s.destroy()) };
  const server = net.createServer((from) => {
    const up = net.connect(p.to.port, p.to.hostname);
    for (const [a, b] of [[from, up], [up, from]]) {
      sockets.add(a);
      a.on("error", () => b.destroy());
      a.on("close", () => (sockets.delete(a), b.destroy()));
    }
    from.on("data", (d) => {
      if (p.refuseUpgrades && d.includes("Upgrade: websocket")) from.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
      else up.write(d);
    });
    up.pipe(from);
  });
  await new Promise((go) => server.listen(0, "127.0.0.1", go));
  t.after(() => (p.cut(), server.close()));
  p.url = `http://127.0.0.1:${server.address().port}${to.pathname}`;
  return p;
}

function client(t, url, options = {}) {
  const c = connect(url, { WebSocket, token: "ann", csrf: "csrf", ...options });
  t.after(() => c.close());
  return c;
}

/** Waits for a change of the client's state. */
const becomes = (c, is) =>
  is(c.state) ? Promise.resolve() : new Promise((go) => c.watch((now) => is(now) && go()));

const event = (c, name) => new Promise((go) => { const off = c.on(name, (data) => (off(), go(data))); });

for (const kind of kinds) {
  test(`${kind}: events, questions both ways, bytes, errors`, { timeout: 60_000 }, async (t) => {
    const { url } = await serve(t);
    const c = client(t, url, { transports: [kind], client: "tab-1" });
    await becomes(c, (s) => s.status == "open");
    assert.equal(c.state.transport, kind);
    assert.equal(c.state.uid, "ann");
    assert.deepEqual(c.state.data, { client: "tab-1" });
    const said = event(c, "said");
    await c.send("say", { text: "ünï \n <&> \u2028" });
    assert.deepEqual(await said, { text: "ünï \n <&> \u2028" });
    const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i);
    const came = event(c, "bytes");
    await c.send("bytes", bytes);
    assert.deepEqual(await came, bytes);
    assert.equal(await c.ask("twice", "ab"), "abab");
    await assert.rejects(c.ask("taken", 1), { code: "taken", message: "is taken", data: { by: "bob" } });
    await rejects(c.ask("nobody"), "unknown");
    await rejects(c.ask("twice", 5), "invalid");
    await rejects(c.ask("bug"), "failed");
    c.answer("confirm", (q) => ({ q }));
    c.answer("taken", () => {
      throw new TroupeError("taken", "is taken", { by: "me" });
    });
    assert.deepEqual(await c.ask("ask", "confirm"), { q: "?" });
    await assert.rejects(c.ask("ask", "taken"), { code: "taken", data: { by: "me" } });
    const abort = new AbortController();
    const canceled = event(c, "canceled");
    const slow = c.ask("slow", null, { signal: abort.signal });
    await c.send("say", 1);
    abort.abort();
    await rejects(slow, "canceled");
    await canceled;
  });

  test(`${kind}: refused for good, goodbye, and back`, { timeout: 60_000 }, async (t) => {
    const { url } = await serve(t);
    const stranger = client(t, url, { transports: [kind], token: "" });
    await becomes(stranger, (s) => s.status == "closed");
    assert.equal(stranger.state.lastClose.code, "unauthorized");
    const forged = client(t, url, { transports: [kind], csrf: "x" });
    await becomes(forged, (s) => s.status == "closed");
    assert.equal(forged.state.lastClose.code, "csrf");
    const c = client(t, url, { transports: [kind] });
    c.send("bye", { Code: 3500, Reason: "logged out" });
    await becomes(c, (s) => s.status == "closed");
    assert.deepEqual([c.state.lastClose.code, c.state.lastClose.reason], [3500, "logged out"]);
    c.reconnect();
    assert.equal(await c.ask("twice", "x"), "xx");
    c.send("bye", { Code: 1012, Reason: "restart" });
    const news = event(c, "$session");
    assert.equal((await news).resumed, false);
    assert.equal(await c.ask("twice", "x"), "xx");
  });

  test(`${kind}: a thousand each way in order, ten cuts between, none lost or doubled`, { timeout: 120_000 }, async (t) => {
    const { url } = await serve(t);
    const p = await proxy(t, url);
    const c = client(t, p.url, { transports: [kind], backoff: () => 0 });
    await carriesAThousand(c, p, 10);
  });
}

test("every transport in turn, cuts at random: none lost or doubled", { timeout: 120_000 }, async (t) => {
  const { url } = await serve(t, "-window", "16");
  const p = await proxy(t, url);
  const c = client(t, p.url, { backoff: () => 0 });
  let n = 0;
  const sessions = new Set();
  c.watch((s) => {
    if (s.status == "open") sessions.add(s.session);
  });
  const turn = setInterval(() => c.use(kinds[++n % 3]), 60);
  t.after(() => clearInterval(turn));
  await carriesAThousand(c, p, 10);
  clearInterval(turn);
  assert.equal(sessions.size, 1);
});

async function carriesAThousand(c, p, cuts) {
  const numbers = [];
  c.on("$gap", (n) => assert.fail(`${n} are lost`));
  c.on("$session", () => assert.fail("another session"));
  const all = new Promise((go) => c.on("n", (n) => numbers.push(n) == 1000 && go()));
  await becomes(c, (s) => s.status == "open");
  c.send("flood", 1000);
  const counted = [];
  let random = seed;
  const cutting = (async () => {
    for (let i = 0; i < cuts; i++) {
      random = (random * 48271) % 2147483647;
      await new Promise((go) => setTimeout(go, random % 40));
      await becomes(c, (s) => s.status == "open");
      p.cut();
    }
  })();
  for (let i = 0; i < 1000; i++) {
    await c.room();
    counted.push(c.ask("count", i, { timeout: 0 }));
    if (i % 20 == 0) await new Promise((go) => setTimeout(go, 5));
  }
  assert.deepEqual(await Promise.all(counted), Array.from({ length: 1000 }, (_, i) => i));
  await all;
  await cutting;
  assert.deepEqual(numbers, Array.from({ length: 1000 }, (_, i) => i));
}

test("upgrades refused: streams; allowed again: a WebSocket beside, and nothing is noticed", { timeout: 60_000 }, async (t) => {
  const { url } = await serve(t);
  const p = await proxy(t, url);
  p.refuseUpgrades = true;
  const c = client(t, p.url);
  assert.equal(await c.ask("twice", "a"), "aa");
  assert.equal(c.state.transport, "sse");
  const { session } = c.state;
  p.refuseUpgrades = false;
  const seen = [];
  c.watch((s) => seen.push(s.status));
  c.use("ws", "sse", "poll");
  await becomes(c, (s) => s.transport == "ws");
  assert.equal(await c.ask("twice", "a"), "aa");
  assert.equal(c.state.session, session);
  assert.deepEqual(new Set(seen), new Set(["open"]));
});

test("the server is gone for a while, and another comes: a new session, told so", { timeout: 60_000 }, async (t) => {
  const first = await serve(t);
  const p = await proxy(t, first.url);
  const c = client(t, p.url, { backoff: () => 20 });
  assert.equal(await c.ask("twice", "a"), "aa");
  first.child.stdin.end();
  await first.ended;
  await becomes(c, (s) => s.status != "open");
  const second = await serve(t);
  const q = await proxy(t, second.url);
  const news = event(c, "$session");
  const asked = c.ask("twice", "b", { timeout: 0 });
  p.to = new URL(q.url);
  await news;
  assert.equal(await asked, "bb");
});
