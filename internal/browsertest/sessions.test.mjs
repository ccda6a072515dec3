// Sessions of the JavaScript client in a real browser, against a real server, over
// every transport: what is promised of them while networks, servers, pages and
// machines fail.
//
//   TROUPE_SESSIONS  ./sessions, built
//   CHROMIUM         the browser; /usr/bin/chromium if not given
//   FLAGS            of the server, such as -goroutine

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { CUTS, MANY, WAYS, play, until } from "./player.mjs";
import { Network } from "./proxy.mjs";
import { start } from "./servers.mjs";

const program = process.env.TROUPE_SESSIONS;
const flags = (process.env.FLAGS ?? "").split(" ").filter(Boolean);

let browser, server;

before(async () => {
  assert.ok(program, "TROUPE_SESSIONS must name the server's program");
  server = await start(program, ...flags);
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    ignoreDefaultArgs: ["--disable-back-forward-cache"],
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
});

after(async () => {
  await browser?.close();
  const last = await server?.stop();
  assert.match(last, /^opened (\d+), closed \1$/);
});

// Tab is a page with a session, behind a network of its own.
class Tab {
  static async open(t, options = {}, { address = server.url } = {}) {
    const tab = new Tab();
    tab.network = await Network.to(address);
    tab.context = await browser.newContext();
    t.after(async () => {
      await tab.context.close();
      await tab.network.close();
    });
    tab.page = await tab.context.newPage();
    tab.page.setDefaultTimeout(30_000);
    await tab.page.goto(tab.network.url);
    await tab.page.waitForFunction(() => window.connect);
    await tab.page.evaluate(`window.player = (${play})(connect, "events", ${JSON.stringify({ token: "ann", ...options })}); undefined`);
    return tab;
  }

  // ask evaluates f, with an argument, with the player.
  ask(f, argument) {
    return this.page.evaluate(`(${f})(player, ${JSON.stringify(argument) ?? "undefined"})`);
  }

  state() {
    return this.ask(({ client }) => client.state);
  }

  // is waits for a state, of which these fields are given.
  async is(fields, patience) {
    let state;
    const matches = async () => {
      state = await this.state();
      return Object.entries(fields).every(([key, value]) => state[key] === value);
    };
    await until(matches, JSON.stringify(fields), patience).catch((error) => {
      throw new Error(`${error.message}, but ${JSON.stringify(state)}`);
    });
    return state;
  }

  heard(n) {
    return until(() => this.ask((player, n) => player.heard.length >= n, n), `${n} heard`);
  }

  // complete checks that all that was said has come, each way, once, in order.
  async complete() {
    await this.heard(MANY);
    const { heard, gaps, renewed, tally } = await this.ask(async ({ client, heard, gaps, renewed }) => ({ heard, gaps, renewed, tally: await client.ask("tally") }));
    assert.deepEqual(tally, { up: MANY, wrong: [] });
    assert.deepEqual(heard, Array.from({ length: MANY }, (_, i) => i + 1));
    assert.deepEqual([gaps, renewed], [0, 0]);
  }
}

const EACH = MANY / CUTS;

for (const [name, transports] of Object.entries(WAYS)) {
  test(`${name}: a thousand events each way, across ten cuts`, async (t) => {
    const tab = await Tab.open(t, { transports });
    await tab.is({ status: "open" });
    for (let i = 0; i < CUTS; i++) {
      await tab.ask((player, [from, to]) => player.say(from, to), [i * EACH + 1, (i + 1) * EACH]);
      if (i % 2) await tab.heard(i * EACH + EACH / 2); // in the midst of it; or at its beginning
      tab.network.cut();
    }
    await tab.complete();
    const { transport } = await tab.state();
    if (transports.length === 1) assert.equal(transport, transports[0]);
  });

  test(`${name}: the network falls silent, and comes back`, async (t) => {
    const tab = await Tab.open(t, { transports });
    const { session } = await tab.is({ status: "open" });
    tab.network.vanish();
    await tab.ask((player) => player.say(1, 3));
    await until(() => tab.ask(({ states }) => states.some(({ status }) => status !== "open")), "noticed");
    await tab.ask((player) => player.say(4, 6));
    tab.network.restore();
    await tab.heard(6);
    const state = await tab.is({ status: "open" });
    assert.deepEqual([state.session, state.resumed, state.lost], [session, true, 0]);
    assert.deepEqual(await tab.ask(({ heard }) => heard), [1, 2, 3, 4, 5, 6]);
  });

  test(`${name}: the browser is offline, and online again`, async (t) => {
    const tab = await Tab.open(t, { transports });
    const { session } = await tab.is({ status: "open" });
    tab.network.unplug();
    await tab.context.setOffline(true);
    await until(async () => (await tab.state()).offline && (await tab.state()).status !== "open", "offline");
    await tab.ask((player) => player.say(1, 3));
    tab.network.restore();
    await tab.context.setOffline(false);
    await tab.heard(3);
    const state = await tab.is({ status: "open", offline: false });
    assert.deepEqual([state.session, state.resumed], [session, true]);
  });

  test(`${name}: a machine that slept goes on`, async (t) => {
    const tab = await Tab.open(t, { transports });
    const { session } = await tab.is({ status: "open" });
    const devtools = await tab.context.newCDPSession(tab.page);
    await devtools.send("Page.setWebLifecycleState", { state: "frozen" });
    tab.network.vanish(); // as for a machine that is not there
    await fetch(new URL(`push?session=${session}`, server.url), { method: "POST" });
    tab.network.restore();
    await devtools.send("Page.setWebLifecycleState", { state: "active" });
    await until(() => tab.ask(({ pushed }) => pushed.length === 10), "all that was said meanwhile");
    await wentOn(tab, session);
  });

  test(`${name}: a page that is kept for the back button goes on`, async (t) => {
    const tab = await Tab.open(t, { transports });
    const { session } = await tab.is({ status: "open" });
    await tab.page.evaluate(() => addEventListener("pageshow", ({ persisted }) => (window.persisted = persisted)));
    await tab.page.goto("about:blank");
    await fetch(new URL(`push?session=${session}`, server.url), { method: "POST" });
    await tab.page.goBack({ waitUntil: "commit" });
    assert.equal(await tab.page.evaluate(() => window.persisted), true, "the page was kept");
    await until(() => tab.ask(({ pushed }) => pushed.length === 10), "all that was said meanwhile");
    await wentOn(tab, session);
  });

  test(`${name}: a server that was restarted has another session`, async (t) => {
    const first = await start(program, ...flags);
    const tab = await Tab.open(t, { transports }, { address: first.url });
    const { session } = await tab.is({ status: "open", resumed: false });
    await first.stop("SIGKILL");
    const second = await start(program, "-addr", new URL(first.url).host, ...flags);
    t.after(() => second.stop());
    await until(async () => (await tab.state()).session !== session, "another session");
    await tab.is({ status: "open", resumed: false });
    assert.equal(await tab.ask(({ renewed }) => renewed), 1);
    await tab.ask((player) => player.say(1, 3));
    await tab.heard(3);
  });

  test(`${name}: a server that goes away says when to come back, and is obeyed`, async (t) => {
    const first = await start(program, ...flags);
    const tab = await Tab.open(t, { transports }, { address: first.url });
    await tab.is({ status: "open" });
    const ended = first.stop();
    const waits = () => tab.ask(({ states }) => states.find(({ status }) => status === "waiting"));
    const state = await until(waits, "the goodbye"); // a slot may be short, and what is tried then fails
    assert.match(await ended, /^opened (\d+), closed \1$/);
    assert.equal(state.lastClose.code, 1001);
    const [hint] = await tab.ask(({ hints }) => hints);
    assert.ok(hint > 0 && hint <= 2_000, `the hint is ${hint} ms`);
    const second = await start(program, "-addr", new URL(first.url).host, ...flags);
    t.after(() => second.stop());
    if (state.retryAt - Date.now() > 100) assert.equal((await tab.state()).status, "waiting");
    await tab.is({ status: "open" });
    assert.ok((await tab.page.evaluate(() => Date.now())) >= state.retryAt, "not before its time");
  });

  for (const [token, status, code] of [["stranger", 401, "unauthorized"], ["forbidden", 403, "forbidden"]]) {
    test(`${name}: a refusal with ${status} is for good`, async (t) => {
      const tab = await Tab.open(t, { transports, token });
      const { lastClose } = await tab.is({ status: "closed" });
      assert.deepEqual([lastClose.cause, lastClose.status, lastClose.code], ["refused", status, code]);
      assert.ok(lastClose.reason);
      await stays(tab);
    });
  }

  test(`${name}: a user who is logged out stays out`, async (t) => {
    const token = `leaving by ${name}`;
    const tab = await Tab.open(t, { transports, token });
    await tab.is({ status: "open", uid: token });
    await fetch(new URL(`logout?uid=${encodeURIComponent(token)}`, server.url), { method: "POST" });
    const { lastClose } = await tab.is({ status: "closed" });
    assert.deepEqual([lastClose.cause, lastClose.code, lastClose.reason], ["goodbye", 3500, "You have been logged out."]);
    await stays(tab);
  });
}

// wentOn checks that the session is the one it was, and has all that was said.
async function wentOn(tab, session) {
  const state = await tab.is({ status: "open" });
  assert.deepEqual([state.session, state.lost], [session, 0]);
  assert.deepEqual(await tab.ask(({ pushed, renewed }) => ({ pushed, renewed })), { pushed: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], renewed: 0 });
}

// stays checks that a client that is closed makes no attempt, whatever happens.
async function stays(tab) {
  const attempts = await tab.ask(({ attempts }) => attempts);
  await tab.page.evaluate(() => {
    for (const event of ["offline", "online", "focus", "visibilitychange"]) dispatchEvent(new Event(event));
  });
  await tab.page.evaluate(() => fetch("troupe.js")); // and a while later
  assert.equal(await tab.ask(({ attempts }) => attempts), attempts);
  assert.equal((await tab.state()).status, "closed");
}

// A balancer sends the client to a node that goes away, and what follows to another.
test("a node that drains refuses an upgrade: the next one opens on another, and nothing else is tried", async (t) => {
  const tab = await Tab.open(t);
  const { session } = await tab.is({ status: "open", transport: "ws" });
  let refused = 0;
  const draining = createServer((_, answer) => answer.writeHead(404).end());
  draining.on("upgrade", (_, socket) => {
    refused++;
    tab.network.aim(server.url);
    socket.end("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
  });
  await new Promise((resolve) => draining.listen(0, "127.0.0.1", resolve));
  t.after(() => draining.close());
  tab.network.aim(`http://127.0.0.1:${draining.address().port}/`);
  tab.network.cut();
  await until(() => refused > 0, "refused");
  await tab.is({ status: "open", session, resumed: true });
  const carried = await tab.ask(({ states }) => states.map(({ transport }) => transport));
  assert.deepEqual([refused, [...new Set(carried)]], [1, ["ws"]]);
});

test("a thousand events each way, from transport to transport, across ten cuts", async (t) => {
  const tab = await Tab.open(t);
  await tab.is({ status: "open" });
  const ways = ["sse", "poll", "ws", "poll", "sse"];
  for (let i = 0; i < CUTS; i++) {
    const way = ways[i % ways.length];
    await tab.ask(({ client, say }, [from, to, way]) => {
      say(from, to);
      client.use(way);
    }, [i * EACH + 1, (i + 1) * EACH, way]);
    if (i % 3) await tab.is({ status: "open", transport: way }); // else it is cut on the move
    tab.network.cut();
  }
  await tab.ask(({ client }) => client.use("ws", "sse", "poll"));
  await tab.complete();
  await tab.is({ status: "open", transport: "ws", resumed: true });
});
