// The life of a session: connections that come, go, fail, and follow each other.
import { test } from "node:test";
import assert from "node:assert/strict";
import { FakeServer, TroupeError, connect, opened, pair, rejects, settle, until } from "./fixture.mjs";

const upTo = (n) => Array.from({ length: n }, (_, i) => i);
const closed = (client) => until(() => client.state.status == "closed");
const never = () => new Promise(() => {});

test("each change of the state is told once, with what was before", async () => {
  const { server, client } = pair();
  const seen = [];
  let last = client.state;
  client.watch((now, before) => {
    assert.equal(before, last);
    assert.notDeepEqual(now, before);
    last = now;
    seen.push(`${now.status} ${now.transport} ${now.attempt}`);
  });
  assert.equal(client.state.status, "connecting");
  await opened(client);
  server.session.cut();
  await until(() => seen.length > 1);
  await opened(client);
  client.close();
  await settle();
  assert.deepEqual(seen, ["open ws 0", "waiting ws 2", "connecting ws 2", "open ws 0", "closed ws 0"]);
});

test("a session is resumed: nothing is said twice, nothing is lost, questions go on", async () => {
  let answer;
  const heard = [];
  const { server, client } = pair({ acknowledge: false, asked: () => new Promise((go) => (answer = go)) });
  client.on("n", (n) => heard.push(n));
  await opened(client);
  const { session } = server;
  for (const i of upTo(3)) session.emit("n", i);
  const question = client.ask("history");
  const sent = client.send("say", 1);
  await until(() => heard.length == 3 && answer && session.received == 2);
  session.cut();
  session.emit("n", 3);
  answer("all");
  await until(() => heard.length == 4);
  assert.equal(await question, "all");
  await sent; // the hello acknowledges it
  assert.deepEqual(heard, [0, 1, 2, 3]);
  assert.deepEqual(session.wire.filter((m) => /^[eq]/.test(m)), ["q 1 history", "e say 1"]);
  assert.equal(session.hellos[1].received, 3);
  assert.equal(client.state.resumed, true);
});

test("a session that is not resumed: the application is told, what was written is closed, the rest is said in the new one", async () => {
  const heard = [];
  const { server, client } = pair({ acknowledge: false, asked: never, hello: { window: 2 }, heard: (s, e, d) => heard.push([s.id, d]) });
  const news = [];
  client.on("$session", (state) => news.push([state.session, state.resumed]));
  let signal;
  client.answer("confirm", (q, context) => {
    signal = context.signal;
    return never();
  });
  await opened(client);
  const old = server.session;
  const confirm = old.ask("confirm");
  confirm.catch(() => {});
  const asked = client.ask("history");
  const written = client.send("say", "written");
  const waiting = client.send("say", "waiting");
  const waits = client.ask("later", 1);
  await until(() => signal && old.received == 2);
  server.acknowledge = true;
  server.asked = (session, event, data) => data;
  old.expire();
  await rejects(asked, "closed");
  await rejects(written, "closed");
  await waiting;
  assert.equal(await waits, 1);
  assert.ok(signal.aborted);
  assert.deepEqual(heard, [["session-1", "written"], [server.session.id, "waiting"]]);
  assert.deepEqual(news, [[server.session.id, false]]);
  assert.notEqual(server.session, old);
  assert.ok(!server.session.wire.some((m) => m.startsWith("r ")));
});

test("the window bounds what is written and not acknowledged, in messages", async () => {
  for (const transport of ["ws", "sse", "poll"]) {
    const { server, client } = pair({ acknowledge: false, hello: { window: 4 } }, { transports: [transport] });
    await opened(client);
    const sent = upTo(10).map((i) => client.send("n", i));
    await settle();
    assert.equal(server.session.received, 4);
    server.session.acknowledge();
    await sent[3];
    await settle();
    assert.equal(server.session.received, 8);
    client.close();
    await rejects(sent[9], "closed");
  }
});

test("what the server has is not said again, and not kept before it is acknowledged", async () => {
  for (const transport of ["ws", "sse", "poll"]) {
    const heard = [];
    const { server, client } = pair({ acknowledge: false, heard: (s, e, d) => heard.push([s.id, d]) }, { transports: [transport] });
    await opened(client);
    const first = client.send("n", 1);
    await until(() => server.session.received == 1);
    server.session.acknowledge();
    await first;
    const sent = client.send("n", 2);
    await until(() => server.session.received == 2);
    const more = client.send("n", 3);
    await until(() => server.session.received == 3);
    assert.equal(server.session.wire.filter((m) => m == "e n 2").length, 1);
    let done;
    sent.then(() => (done = true), () => {});
    await settle();
    assert.ok(!done);
    server.session.expire();
    await rejects(sent, "closed");
    await rejects(more, "closed");
    assert.deepEqual(heard.map(([, n]) => n), [1, 2, 3]);
    client.close();
  }
});

test("the window bounds what is written and not acknowledged, in bytes; one message may be larger", async () => {
  const { server, client } = pair({ acknowledge: false, hello: { windowBytes: 100 } });
  await opened(client);
  for (const i of [200, 40, 40, 40]) client.send("n", "ü".repeat(i / 2));
  const received = async (n) => {
    await settle();
    assert.equal(server.session.received, n);
    server.session.acknowledge();
  };
  await received(1);
  await received(3);
  await received(4);
});

test("the client acknowledges at half of the window, in messages and in bytes", async () => {
  const { server, client } = pair({ hello: { window: 10, windowBytes: 1000 } });
  await opened(client);
  const { session } = server;
  for (const i of upTo(5)) session.emit("n", i);
  await until(() => session.acknowledged == 5);
  session.emit("n", "x".repeat(600));
  await until(() => session.acknowledged == 6);
});

test("a POST that is lost, or whose answer is, is made again with the same numbers", async () => {
  for (const transport of ["sse", "poll"]) {
    const heard = [];
    const faults = ["lost", "answer lost", { status: 502 }, { status: 503, code: "overload", retry: 1 }, { status: 429 }, undefined, "answer lost"];
    const { server, client } = pair({ heard: (s, e, d) => heard.push(d), post: () => faults.shift() }, { transports: [transport] });
    await opened(client);
    await Promise.all(upTo(20).map((i) => client.send("n", i)));
    await client.send("n", 20);
    assert.deepEqual(heard, upTo(21));
    assert.equal(server.session.hellos.length, 1, "on the same connection");
    assert.ok(server.requests.filter((r) => r.down == "none" && r.from == 0).length >= 5);
  }
});

test("a POST to a session that is gone begins a new one", async () => {
  const { server, client } = pair({ post: () => ({ status: 410, code: "session" }) }, { transports: ["sse"] });
  await opened(client);
  const sent = client.send("n", 1);
  await until(() => server.session.hellos.length == 2 || server.sessions.size == 2);
  server.post = () => undefined;
  await sent;
});

test("a POST that is refused for good ends the client", async () => {
  const { client } = pair({ post: () => ({ status: 413, code: "large" }) }, { transports: ["sse"] });
  await opened(client);
  await rejects(client.send("n", 1), "closed");
  assert.equal(client.state.lastClose.code, "large");
  assert.equal(client.state.lastClose.status, 413);
});

for (const code of [1000, 1002, 1003, 1007, 1008, 1009, 1010, 3500, 3501, 3505, 3999, 4500, 4999]) {
  test(`goodbye ${code} is for good`, async () => {
    for (const transport of ["ws", "sse", "poll"]) {
      const { server, client } = pair({}, { transports: [transport] });
      await opened(client);
      server.session.bye(code, "so it is");
      await closed(client);
      assert.deepEqual({ ...client.state.lastClose }, { code, reason: "so it is", cause: "goodbye", status: undefined });
      await rejects(client.send("n"), "closed");
      await rejects(client.ask("n"), "closed");
      await rejects(client.room(), "closed");
      assert.equal(server.session.hellos.length, 1);
    }
  });
}

for (const code of [1001, 1006, 1011, 1012, 1013, 3000, 3001, 3002, 3003, 3499, 4000, 4499]) {
  test(`goodbye ${code} is not for long`, async () => {
    const hints = [];
    const { server, client } = pair({}, { backoff: (attempt, hint) => (hints.push([attempt, hint]), 0) });
    await opened(client);
    server.session.bye(code, "", { retry: 1500 });
    await until(() => server.session.hellos.length == 2);
    await opened(client);
    assert.deepEqual(hints, [[1, 1500]]);
    assert.equal(client.state.lastClose.code, code);
  });
}

test("a close frame without a goodbye counts as one", async () => {
  const { server, client } = pair();
  await opened(client);
  server.session.link.end(4600, "go");
  await closed(client);
  assert.deepEqual({ ...client.state.lastClose }, { code: 4600, reason: "go", cause: "goodbye", status: undefined });
});

test("refusals: for good without retry, else the client comes back, as the server says", async () => {
  const table = [
    [{ status: 401, code: "unauthorized", reason: "who?" }, "closed"],
    [{ status: 403, code: "csrf" }, "closed"],
    [{ status: 400, code: "version" }, "closed"],
    [{ status: 500, code: "own" }, "closed"],
    [{ status: 404 }, "closed"],
    [{ status: 503, code: "draining", retry: 700 }, 700],
    [{ status: 429, code: "limit", headers: { "retry-after": "3" } }, 3000],
    [{ status: 503, headers: { "retry-after": "2" } }, 2000],
    [{ status: 429 }, undefined],
    [{ status: 502 }, undefined],
  ];
  for (const transports of [["ws"], ["ws", "sse", "poll"], ["sse"], ["poll"]]) {
    for (const [refusal, want] of table) {
      const hints = [];
      const { server, client } = pair({ refuse: () => refusal }, { transports, backoff: (attempt, hint) => (hints.push(hint), 0) });
      const sent = client.send("n", 1);
      if (want == "closed") {
        await rejects(sent, "closed");
        const { code, status, cause } = client.state.lastClose;
        assert.deepEqual([code, status, cause], [refusal.code ?? "http", refusal.status, "refused"]);
        assert.deepEqual(hints, []);
      } else {
        await until(() => hints.length == 3);
        assert.deepEqual(hints.slice(0, 3), [want, want, want]);
        server.refuse = () => undefined;
        await sent;
      }
    }
  }
});

test("a WebSocket that is refused: event streams; and if those do not come through: polls", async () => {
  const { server, client } = pair({ webSockets: "refuse" });
  await opened(client);
  assert.equal(client.state.transport, "sse");
  assert.deepEqual(server.requests.map((r) => r.down), ["ws", "sse"]);
});

/** What a server that refuses upgrades was asked, in order, once a client's WebSocket has broken. */
const after = async (server, client) => {
  await until(() => client.state.transport == "ws");
  const before = server.requests.length;
  server.webSockets = "refuse";
  server.session.cut();
  return () => server.requests.slice(before).map((r) => r.down);
};

test("where a WebSocket has worked, a server that refuses upgrades and says so by HTTP is asked for nothing else", async () => {
  const hints = [];
  const { server, client } = pair({}, { backoff: (attempt, hint) => (hints.push(hint), 0) });
  const asked = await after(server, client);
  server.refuse = () => ({ status: 503, code: "draining", retry: 700 });
  await until(() => hints.length > 5);
  assert.deepEqual(hints.slice(1, 6), Array(5).fill(700));
  assert.deepEqual([client.state.lastClose.code, client.state.lastClose.status], ["draining", 503]);
  server.refuse = () => undefined;
  server.webSockets = "open";
  await opened(client);
  assert.equal(client.state.transport, "ws");
  assert.ok(asked().every((down) => down == "ws" || down == "check"), asked().join());
});

test("where a WebSocket has worked, one that does not open is tried once more; then: event streams", async () => {
  const { server, client } = pair();
  const asked = await after(server, client);
  await until(() => client.state.transport == "sse");
  assert.deepEqual(asked(), ["ws", "check", "ws", "sse"]);
});

test("where a WebSocket has worked, and the other node opens one: no event streams", async () => {
  const { server, client } = pair();
  const asked = await after(server, client);
  client.watch((now) => now.status == "waiting" && now.lastClose.reason == "no WebSocket" && (server.webSockets = "open"));
  await until(() => client.state.status == "waiting");
  await opened(client);
  assert.equal(client.state.transport, "ws");
  assert.deepEqual(asked(), ["ws", "check", "ws"]);
});

test("a WebSocket that fails may have taken its ticket: the server is asked with another one", async () => {
  let n = 0;
  const tickets = () => ({ ticket: () => `${++n}` });
  for (const transports of [["ws"], ["ws", "sse"]]) {
    const used = new Set();
    const refuse = ({ ticket, down }) => {
      if (used.has(ticket)) return { status: 403, code: "ticket" };
      if (down != "check") used.add(ticket);
    };
    const { server, client } = pair({ refuse }, { transports, ...tickets() });
    await opened(client);
    server.refuse = (hello) => {
      const refused = refuse(hello);
      return refused ?? (hello.down ? undefined : { status: 500, code: "failed", retry: 1 }); // the WebSocket's hello has no down
    };
    server.session.cut();
    await until(() => server.requests.filter((r) => r.down == "check").length > 0);
    server.refuse = refuse;
    await until(() => client.state.status == "open" || client.state.status == "closed");
    assert.equal(client.state.status, "open");
  }
});

test("who opened a stream that cannot be answered, as each POST goes to another node, begins with a WebSocket again", async () => {
  const heard = [];
  const { server, client } = pair({ webSockets: "refuse", post: () => ({ status: 410, code: "session" }), heard: (s, e, d) => heard.push(d) });
  await opened(client);
  assert.equal(client.state.transport, "sse");
  server.webSockets = "open";
  await settle();
  client.send("n", 1).catch(() => {}); // nobody knows whether it was heard
  await until(() => client.state.transport == "ws");
  await opened(client);
  await until(() => heard.length == 1);
});

test("without a WebSocket at all, streams", async () => {
  const server = new FakeServer();
  const was = globalThis.WebSocket;
  globalThis.WebSocket = undefined;
  try {
    const client = connect("http://test/", { fetch: server.options.fetch });
    await opened(client);
    assert.equal(client.state.transport, "sse");
    client.close();
    assert.throws(() => connect("http://test/", { transports: ["ws"] }), TroupeError);
  } finally {
    globalThis.WebSocket = was;
  }
  assert.throws(() => connect("/relative"), TypeError);
  assert.throws(() => connect("http://test/", { transports: [] }), TroupeError);
});

test("something else answers in the server's place: not heard, and tried again", async () => {
  const html = () => new Response("<html>log in", { headers: { "content-type": "text/html" } });
  let asked = 0;
  const client = connect("http://test/", { transports: ["sse", "poll"], fetch: async () => (asked++, html()), backoff: () => 0 });
  await until(() => asked > 6);
  client.close();
  assert.equal(client.state.everOpen, false);
});

test("use(): the session moves from transport to transport, and the application does not notice", async () => {
  const heard = [];
  const said = [];
  const { server, client } = pair({ heard: (s, e, d) => said.push(d) });
  const statuses = [];
  client.on("n", (n) => heard.push(n));
  await opened(client);
  client.watch((now) => statuses.push(`${now.status} ${now.transport}`));
  const { session } = server;
  let i = 0;
  for (const transport of ["sse", "poll", "ws", "poll", "sse", "ws"]) {
    client.use(transport);
    for (let n = 0; n < 20; n++, i++) {
      session.emit("n", i);
      client.send("n", i);
      if (n % 5 == 0) await settle(1);
    }
    await until(() => client.state.transport == transport);
  }
  await until(() => heard.length == i && said.length == i);
  assert.deepEqual(heard, upTo(i));
  assert.deepEqual(said, upTo(i));
  assert.equal(server.session, session);
  assert.deepEqual(statuses.filter((s) => !s.startsWith("open")), []);
});

test("use() of what does not work: the session stays where it is", async () => {
  const { server, client } = pair({ webSockets: "refuse" }, { transports: ["sse"] });
  await opened(client);
  client.use("ws");
  await until(() => server.requests.some((r) => r.down == "ws"));
  await settle();
  assert.equal(client.state.status, "open");
  assert.equal(client.state.transport, "sse");
  client.use("ws", "sse");
  assert.equal((await client.send("n", 1), client.state.transport), "sse");
});

test("use() of another transport before the last one came about: what waited to be acknowledged is", async () => {
  const { server, client } = pair({ webSockets: "silent", hello: { window: 4 } }, { transports: ["sse"] });
  const heard = [];
  client.on("n", (n) => heard.push(n));
  await opened(client);
  client.use("ws");
  await settle();
  for (const i of upTo(9)) server.session.emit("n", i);
  await until(() => heard.length == 4);
  await settle();
  assert.equal(server.session.acknowledged, 0);
  client.use("sse");
  await until(() => heard.length == 9);
  assert.equal(server.session.hellos.length, 1);
});

test("the connection is taken over while another one opens beside it: that one goes on", async () => {
  const { server, client } = pair({}, { transports: ["sse"] });
  await opened(client);
  const { session } = server;
  server.webSockets = "silent";
  client.use("ws");
  await settle();
  session.bye(3001, "moved");
  await settle();
  assert.equal(client.state.status, "open");
  const sent = client.send("n", 1);
  client.use("poll");
  await sent;
  assert.equal(server.session, session);
  assert.equal(client.state.transport, "poll");
});

test("reconnect(): a new session; what was not written is said in it", async () => {
  const { server, client } = pair({ acknowledge: false, hello: { window: 1 } });
  await opened(client);
  const first = server.session;
  const written = client.send("n", 1);
  const waiting = client.send("n", 2);
  await until(() => first.received == 1);
  server.acknowledge = true;
  server.hello.uid = "bob";
  client.reconnect();
  await rejects(written, "closed");
  await waiting;
  assert.ok(first.ended);
  assert.equal(client.state.uid, "bob");
  assert.equal(client.state.resumed, false);
  assert.equal(server.session.hello.session, undefined);
});

test("reconnect() leads out of closed", async () => {
  const { server, client } = pair({ refuse: () => ({ status: 401, code: "unauthorized" }) });
  await closed(client);
  server.refuse = () => undefined;
  client.reconnect();
  await client.send("n", 1);
  client.close();
  client.close();
  assert.equal(client.state.status, "closed");
});

test("token, csrf, ticket: asked for before each connection; ticket and data are for the first request of one", async () => {
  let n = 0;
  const next = (what) => async () => `${what} ${++n}`;
  const { server, client } = pair(
    {},
    { transports: ["sse"], token: next("t"), csrf: () => "c", ticket: next("k"), data: { page: 1 }, client: "tab-1", headers: { "x-one": "1" } },
  );
  await opened(client);
  await client.send("n", 1);
  server.session.bye(3003, "token");
  await until(() => server.session.hellos.length == 2);
  const [first, post, again] = server.requests.filter((r) => r.down != "check");
  assert.deepEqual(
    { ...first, ...{} },
    { v: 1, client: "tab-1", token: "t 1", csrf: "c", ticket: "k 2", data: { page: 1 }, codec: "troupe.v1.json", down: "sse" },
  );
  const { session, secret } = post;
  assert.deepEqual(post, { v: 1, client: "tab-1", token: "t 1", csrf: "c", session, secret, received: 0, acked: 0, codec: "troupe.v1.json", down: "none", from: 0 });
  assert.equal(again.token, "t 3");
  assert.equal(again.session, session);
});

test("a client has a name of its own at random, and keeps it", async () => {
  const names = [];
  for (let i = 0; i < 2; i++) {
    const { server, client } = pair({}, { transports: ["sse"] });
    await opened(client);
    client.reconnect();
    await client.send("n", 1);
    const said = new Set(server.requests.map((r) => r.client));
    assert.equal(said.size, 1);
    assert.ok(server.requests.length > 2);
    names.push(...said);
  }
  assert.match(names[0], /^js-[a-z0-9]{1,61}$/);
  assert.notEqual(names[0], names[1]);
});

test("a token that cannot be had: an attempt that failed", async () => {
  let fail = 2;
  const { client } = pair({}, { token: async () => (fail-- > 0 ? Promise.reject(new Error("no network")) : "t") });
  const reasons = [];
  client.watch((now) => now.status == "waiting" && reasons.push(now.lastClose.reason));
  await opened(client);
  assert.deepEqual(reasons, ["no network", "no network"]);
});

test("what no server says ends the client, with 1002", async () => {
  for (const m of ["z", "e", "q 1", "a 99", "a x", "b {", "h {}", new Uint8Array()]) {
    const { server, client } = pair();
    await opened(client);
    server.session.raw(m);
    await closed(client);
    assert.equal(client.state.lastClose.code, 1002, String(m));
    assert.equal(client.state.lastClose.cause, "protocol");
  }
});

test("what comes before the hello is no hello", async () => {
  class Other extends EventTarget {
    constructor() {
      super();
      setImmediate(() => this.onmessage?.({ data: "e said 1" }));
    }
    close() {}
  }
  const server = new FakeServer();
  const client = connect("http://test/", { ...server.options, WebSocket: Other });
  await opened(client);
  assert.equal(client.state.transport, "sse");
  client.close();
});

test("the first poll after one that broke says so, and is greeted", async () => {
  const { server, client } = pair({}, { transports: ["poll"] });
  await opened(client);
  const { session } = server;
  const heard = [];
  client.on("n", (n) => heard.push(n));
  client.break();
  await until(() => client.state.status == "open" && client.state.lastClose.reason == "break()");
  session.emit("n", 1);
  await client.send("n", 1);
  await until(() => heard.length == 1);
  assert.equal(session.hellos.length, 2);
});

test("close() and reconnect() may be called from anywhere", async () => {
  const { server, client } = pair({ heard: (s, e, d) => s.emit("said", d) });
  client.on("said", (data) => (data == "close" ? client.close() : client.reconnect()));
  await opened(client);
  const first = server.session;
  client.send("say", "again");
  await until(() => server.session != first);
  await opened(client);
  client.send("say", "close");
  await closed(client);
  const { client: other } = pair();
  other.watch((now) => now.status == "open" && other.close());
  await closed(other);
  const { client: third, server: thirds } = pair();
  let times = 0;
  third.watch((now) => now.status == "closed" && times++ < 1 && third.reconnect());
  await opened(third);
  thirds.session.bye(3500);
  await until(() => thirds.sessions.size == 2 && third.state.status == "open");
});

test("params adds to the query of each request", async () => {
  const urls = [];
  const server = new FakeServer();
  class Socket extends server.options.WebSocket {
    constructor(url, protocols) {
      urls.push(url);
      super(url, protocols);
    }
  }
  const fetch = (url, init) => (urls.push(url), server.options.fetch(url, init));
  const client = connect("wss://test/events?a=1", { WebSocket: Socket, fetch, params: (q) => q.set("room", "x y") });
  await opened(client);
  client.use("sse");
  await until(() => client.state.transport == "sse");
  client.close();
  assert.deepEqual(urls.slice(0, 2), ["wss://test/events?a=1&room=x+y", "https://test/events?a=1&room=x+y"]);
});
