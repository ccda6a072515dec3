// Time: silence, frozen timers, waiting, and what a browser tells of its page.
import { mock, test } from "node:test";
import assert from "node:assert/strict";
import { opened, pair, settle, until } from "./fixture.mjs";

/** Runs a test with a clock of its own. */
const timed = (name, run) =>
  test(name, async () => {
    mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1e12 });
    const random = Math.random;
    Math.random = () => 0.5;
    try {
      await run();
    } finally {
      Math.random = random;
      mock.timers.reset();
    }
  });

/** Time passes. In steps: to a mocked timer, what happens within one step happens at its end. */
const pass = async (ms) => {
  for (; ms > 1000; ms -= 1000) {
    mock.timers.tick(1000);
    await settle(1);
  }
  mock.timers.tick(ms);
  await settle(5);
};

for (const transport of ["ws", "sse", "poll"]) {
  timed(`${transport}: nothing for ping and pong: the connection is dead, the session goes on`, async () => {
    const { server, client } = pair({ hello: { ping: 1000, pong: 500, hold: 60_000 } }, { transports: [transport] });
    await opened(client);
    const { session } = server;
    const silence = transport == "poll" ? 60_500 : 1500;
    await pass(silence - 600);
    session.raw("o");
    server.polls = "silent";
    await settle();
    await pass(silence - 100);
    assert.equal(client.state.lastClose, null);
    await pass(101);
    await until(() => client.state.lastClose?.cause == "dead");
    server.polls = "open";
    await pass(transport == "poll" ? 17_000 : 200); // its first was still met with silence
    await opened(client);
    assert.equal(client.state.resumed, true);
    assert.equal(server.session, session);
  });

  timed(`${transport}: timers that were frozen: a probe, and what answers is alive`, async () => {
    const { server, client } = pair({ hello: { ping: 1000, pong: 500, hold: 10_000 } }, { transports: [transport] });
    await opened(client);
    await settle();
    mock.timers.setTime(Date.now() + 3_600_000); // all timers are late, and run now
    await settle();
    await pass(0);
    await until(() => server.session.wire.includes("p"));
    await settle();
    await pass(1000);
    assert.equal(client.state.lastClose, null);
    assert.equal(client.state.status, "open");
  });
}

timed("frozen, and nobody answers: the connection is dead after five seconds", async () => {
  const { server, client } = pair({ hello: { ping: 1000, pong: 500 } });
  await opened(client);
  const { session } = server;
  const { link } = session;
  link.send = () => {}; // nothing comes through any more
  mock.timers.setTime(Date.now() + 60_000);
  await pass(0);
  await pass(4999);
  assert.equal(client.state.status, "open");
  await pass(2);
  assert.equal(client.state.lastClose.cause, "dead");
});

timed("a hidden page whose timers run once a minute notices a dead connection, too", async () => {
  const { server, client } = pair({ hello: { ping: 1000, pong: 500 } });
  await opened(client);
  server.session.link.send = () => {};
  mock.timers.setTime(Date.now() + 60_000);
  await pass(0);
  assert.equal(client.state.status, "open");
  mock.timers.setTime(Date.now() + 60_000);
  await pass(0);
  assert.equal(client.state.lastClose.cause, "dead");
});

timed("an acknowledgement waits half a second for more", async () => {
  const { server, client } = pair();
  await opened(client);
  server.session.emit("n", 1);
  await settle();
  await pass(300);
  server.session.emit("n", 2);
  await settle();
  assert.equal(server.session.acknowledged, 0);
  await pass(201);
  assert.equal(server.session.acknowledged, 2);
  await pass(5000);
  assert.deepEqual(server.session.wire, ["a 2"]);
});

timed("attempts: at once, then with full jitter up to 30 s; from the start again after a hello", async () => {
  const { server, client } = pair({}, { backoff: undefined });
  await opened(client);
  await pass(10_000);
  server.webSockets = "refuse";
  server.streams = server.polls = "break";
  const waits = [];
  client.watch((now) => now.status == "waiting" && waits.push(now.retryAt - Date.now()));
  server.session.cut();
  for (let i = 0; i < 9; i++) {
    await until(() => client.state.status == "waiting");
    await pass(client.state.retryAt - Date.now());
  }
  assert.deepEqual(waits.slice(0, 9), [50, 500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
  server.webSockets = "open";
  await until(() => client.state.status == "waiting");
  await pass(client.state.retryAt - Date.now());
  await opened(client);
  assert.equal(client.state.attempt, 0);
  await pass(1000);
  server.session.cut(); // soon after it opened: not at once
  await until(() => client.state.status == "waiting");
  assert.equal(client.state.retryAt - Date.now(), 500);
});

timed("the hint of a refusal is waited for, and a random part", async () => {
  const { client } = pair({ refuse: () => ({ status: 503, code: "draining", retry: 7000 }) }, { backoff: undefined });
  await until(() => client.state.status == "waiting");
  assert.equal(client.state.retryAt - Date.now(), 7250);
});

timed("the slot of a goodbye is kept as it is, once; then attempts are as ever", async () => {
  const { server, client } = pair({}, { backoff: undefined });
  await opened(client);
  await pass(10_000);
  server.webSockets = "refuse";
  server.streams = server.polls = "break";
  const before = server.requests.length;
  server.session.bye(1001, "", { retry: 7000, end: true });
  await until(() => client.state.status == "waiting");
  assert.equal(client.state.retryAt - Date.now(), 7000);
  await pass(6999);
  assert.equal(server.requests.length, before, "it came early");
  await pass(1);
  assert.notEqual(server.requests.length, before, "it came late");
  const waits = [];
  for (let i = 0; i < 4; i++) {
    await until(() => client.state.status == "waiting" && client.state.retryAt > Date.now());
    waits.push(client.state.retryAt - Date.now());
    await pass(waits[i]);
  }
  assert.deepEqual(waits, [500, 1000, 2000, 4000]);
  server.webSockets = "open";
  await until(() => client.state.status == "waiting" && client.state.retryAt > Date.now());
  await pass(client.state.retryAt - Date.now());
  await opened(client);
});

timed("a WebSocket that stays silent: streams after 5 s; buffered streams: polls after 5 s", async () => {
  const { server, client } = pair({ webSockets: "silent", streams: "buffer" });
  await settle();
  await pass(4999);
  assert.equal(server.requests.length, 1);
  await pass(1);
  await until(() => server.requests.length == 2);
  await pass(5000);
  await opened(client);
  assert.equal(client.state.transport, "poll");
  assert.deepEqual(server.requests.slice(0, 3).map((r) => r.down), ["ws", "sse", "poll"]);
});

timed("while streams or polls carry the session a WebSocket is tried from time to time, and then takes over", async () => {
  const { server, client } = pair({ webSockets: "refuse" });
  await opened(client);
  const tried = () => server.requests.filter((r) => r.down == "ws").length;
  const statuses = new Set();
  client.watch((now) => statuses.add(now.status));
  let wait = 30_000 * 1.125;
  for (let n = 1; n < 8; n++) {
    for (let left = wait - 1; left > 0; left -= 20_000) {
      await pass(Math.min(left, 20_000));
      server.session.raw("p");
      await settle(3);
    }
    assert.equal(tried(), n);
    await pass(1);
    await until(() => tried() == n + 1);
    wait = Math.min(2 * wait, 600_000 * 1.125);
  }
  server.webSockets = "open";
  for (let left = wait; left > -1; left -= 20_000) {
    await pass(20_000);
    server.session.raw("p");
    await settle(3);
  }
  await until(() => client.state.transport == "ws");
  assert.deepEqual([...statuses], ["open"]);
  assert.equal(server.sessions.size, 1);
  // Where a WebSocket has worked, it is tried again soon.
  server.webSockets = "refuse";
  server.session.cut();
  await settle();
  await pass(1000);
  await settle();
  await pass(1); // it is tried once more, after its pause
  await until(() => client.state.transport == "sse" && client.state.status == "open");
  const before = tried();
  await pass(2250);
  await until(() => tried() == before + 1);
});

timed("while another connection opens beside polls, what comes is not acknowledged: its hello tells less", async () => {
  const { server, client } = pair({ webSockets: "refuse" }, { transports: ["poll"] });
  const heard = [];
  client.on("n", (n) => heard.push(n));
  await opened(client);
  server.webSockets = "silent";
  client.use("ws");
  await settle();
  for (let i = 0; i < 3; i++) {
    server.session.emit("n", i);
    await pass(50);
  }
  assert.equal(server.session.acknowledged, 0);
  await pass(15_000); // it does not come about: polls go on
  await pass(100);
  await until(() => heard.length == 3);
  await until(() => server.session.acknowledged == 3);
});

timed("a question waits as long as it is told to", async () => {
  const { server, client } = pair({ asked: () => new Promise(() => {}) }, { askTimeout: 1000 });
  await opened(client);
  const codes = [];
  const ask = (options) => client.ask("history", null, options).catch((e) => codes.push(e.code));
  ask();
  ask({ timeout: 3000 });
  ask({ timeout: 0 });
  await pass(999);
  assert.deepEqual(codes, []);
  await pass(1);
  assert.deepEqual(codes, ["timeout"]);
  await pass(2000);
  assert.deepEqual(codes, ["timeout", "timeout"]);
  await pass(20_000);
  assert.deepEqual(codes, ["timeout", "timeout"]);
  assert.deepEqual(server.session.wire.filter((m) => m[0] == "c"), ["c 1", "c 2"]);
});

timed("a POST that is not answered: the connection is dead, and what it said is said again", async () => {
  const heard = [];
  const { server, client } = pair({ post: () => "silent", heard: (s, e, d) => heard.push(d), hello: { ping: 1000, pong: 500 } }, { transports: ["sse"] });
  await opened(client);
  const sent = client.send("n", 1);
  await settle();
  for (let i = 0; i < 2; i++) {
    await pass(750);
    server.session.raw("p");
    await settle();
  }
  await until(() => client.state.lastClose?.cause == "dead");
  server.post = () => undefined;
  await pass(1000);
  await sent;
  assert.deepEqual(heard, [1]);
});

// A page, as far as the client looks at it.
const browser = (name, run) =>
  timed(name, async () => {
    const page = new EventTarget();
    const says = async (event) => {
      page.dispatchEvent(new Event(event));
      await settle();
    };
    globalThis.addEventListener = page.addEventListener.bind(page);
    globalThis.removeEventListener = page.removeEventListener.bind(page);
    globalThis.document = { hidden: false };
    try {
      await run(says);
    } finally {
      delete globalThis.addEventListener;
      delete globalThis.removeEventListener;
      delete globalThis.document;
    }
  });

browser("the network is back: no waiting, whatever was hinted", async (says) => {
  const { server, client } = pair({ webSockets: "refuse", streams: "break", polls: "break" }, { backoff: () => 60_000 });
  await until(() => client.state.status == "waiting");
  await says("offline");
  assert.equal(client.state.offline, true);
  server.webSockets = "open";
  await says("online");
  assert.equal(client.state.offline, false);
  await opened(client);
  server.session.bye(1013, "", { retry: 1000 });
  await until(() => client.state.status == "waiting");
  await says("focus"); // does not overrule the server
  assert.equal(client.state.status, "waiting");
  await says("online");
  await opened(client);
});

for (const transport of ["ws", "sse", "poll"]) {
  browser(`${transport}: the network is gone, and the connection does not say so: it is asked, and does not count as open for long`, async (says) => {
    const { server, client } = pair({}, { transports: [transport], backoff: () => 60_000 });
    await opened(client);
    await settle();
    const { session } = server;
    await pass(60);
    await says("offline"); // but the server is on this machine
    await pass(10_000);
    assert.deepEqual([client.state.status, client.state.offline, client.state.lastClose], ["open", true, null]);
    assert.equal(session.wire.filter((m) => m == "p").length, 1);
    await says("online");
    await pass(1000);
    // Nothing comes through any more, and nobody hears of it.
    session.link.send = session.link.flush = session.link.end = () => {};
    server.polls = "silent";
    server.post = () => "silent";
    globalThis.document.hidden = true;
    await says("offline");
    await pass(4999);
    assert.equal(client.state.status, "open");
    await pass(1);
    assert.deepEqual([client.state.status, client.state.offline, client.state.lastClose.cause], ["waiting", true, "dead"]);
  });
}

browser("looked at again: waits no longer; and if something is open, whether it lives is asked", async (says) => {
  const { server, client } = pair({ webSockets: "refuse", streams: "break", polls: "break" }, { backoff: () => 60_000 });
  await until(() => client.state.status == "waiting");
  server.webSockets = "open";
  globalThis.document.hidden = true;
  await says("visibilitychange");
  assert.equal(client.state.status, "waiting");
  globalThis.document.hidden = false;
  await says("visibilitychange");
  await opened(client);
  await says("focus");
  assert.ok(!server.session.wire.includes("p"), "it has just said hello");
  await pass(6000);
  await says("focus");
  await says("focus");
  assert.equal(server.session.wire.filter((m) => m == "p").length, 1);
});

browser("a page that goes into the cache closes its connection and comes back with its session", async (says) => {
  const heard = [];
  const { server, client } = pair();
  client.on("n", (n) => heard.push(n));
  await opened(client);
  const { session } = server;
  await says("pagehide");
  assert.equal(client.state.status, "waiting");
  assert.equal(session.link, undefined);
  assert.equal(session.ended, false);
  session.emit("n", 1);
  client.send("n", 2);
  await pass(60_000);
  await says("online");
  assert.equal(client.state.status, "waiting", "nothing is tried while the page is away");
  await says("pageshow");
  await opened(client);
  await until(() => heard.length == 1 && session.received == 1);
  assert.equal(server.session, session);
});

browser("a closed client does not listen to its page", async (says) => {
  const { server, client } = pair();
  await opened(client);
  client.close();
  for (const event of ["offline", "online", "pagehide", "pageshow", "focus"]) await says(event);
  assert.equal(client.state.status, "closed");
  assert.equal(server.requests.length, 1);
});
