// What an application says and hears, on every transport.
import { test } from "node:test";
import assert from "node:assert/strict";
import { TroupeError, opened, pair, rejects, settle, until } from "./fixture.mjs";

const echo = { heard: (session, event, data) => session.emit("said", data) };
const upTo = (n) => Array.from({ length: n }, (_, i) => i);

for (const transport of ["ws", "sse", "poll"]) {
  const by = (behaviour, options) => pair(behaviour, { transports: [transport], ...options });

  test(`${transport}: events go both ways, in order, and are acknowledged`, async () => {
    const heard = [];
    const { server, client } = by(echo);
    client.on("said", (data, event) => heard.push([event, data]));
    await Promise.all(upTo(100).map((i) => client.send("say", { i })));
    await until(() => heard.length == 100);
    assert.deepEqual(heard, upTo(100).map((i) => ["said", { i }]));
    assert.equal(client.state.transport, transport);
    assert.equal(client.state.uid, "ann");
    assert.equal(server.sessions.size, 1);
    await until(() => server.session.acknowledged >= (transport == "poll" ? 0 : 1));
  });

  test(`${transport}: questions both ways`, async () => {
    const { server, client } = by({ asked: (session, event, data) => ({ event, data }) });
    client.answer("confirm", async (q) => q + "!");
    assert.deepEqual(await client.ask("history", [1]), { event: "history", data: [1] });
    assert.equal(await server.session.ask("confirm", "sure"), "sure!");
  });

  test(`${transport}: bytes are bytes, and nothing is null`, async () => {
    const { client } = by(echo);
    const heard = [];
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
    client.on("said", (data) => heard.push(data));
    client.send("say", bytes);
    client.send("say", bytes.subarray(10, 20));
    client.send("say", bytes.buffer);
    client.send("say", new Uint8Array());
    client.send("say");
    client.send("say", null);
    client.send("say", "ünï ~ \n\u2028 data: x");
    await until(() => heard.length == 7);
    assert.deepEqual(heard, [bytes, bytes.slice(10, 20), bytes, new Uint8Array(), null, null, "ünï ~ \n\u2028 data: x"]);
  });

  test(`${transport}: cuts lose nothing and double nothing`, async () => {
    const heard = [];
    const said = [];
    const { server, client } = by({ heard: (session, event, data) => said.push(data) });
    client.on("n", (n) => heard.push(n));
    await opened(client);
    const session = server.session;
    for (const i of upTo(50)) {
      session.emit("n", i);
      client.send("n", i);
      if (i % 10 == 5) session.cut();
      if (i % 10 == 0) await settle(i);
    }
    await until(() => heard.length >= 50 && said.length >= 50);
    assert.deepEqual(heard, upTo(50));
    assert.deepEqual(said, upTo(50));
    assert.equal(server.session, session);
    assert.equal(client.state.resumed, true);
  });

  test(`${transport}: close() says that the session ends`, async () => {
    const { server, client } = by();
    await opened(client);
    const { session } = server;
    client.close();
    await until(() => session.ended);
    assert.equal(client.state.status, "closed");
    assert.deepEqual(client.state.lastClose, { code: 1000, reason: "", cause: "client" });
  });

  test(`${transport}: the server's ping is answered, its wish for a token fulfilled`, async () => {
    let n = 0;
    const { server, client } = by({}, { token: async () => `token ${++n}` });
    await opened(client);
    assert.equal(server.session.hello.token, "token 1");
    server.session.raw("p");
    await until(() => server.session.wire.includes("o"));
    await settle();
    server.session.raw("t");
    await until(() => server.session.wire.includes('t "token 2"'));
  });
}

test("a codec takes the place of JSON, on all transports", async () => {
  const { encode, decode } = await import("@msgpack/msgpack");
  const codec = { name: "msgpack", encode, decode };
  for (const transport of ["ws", "sse", "poll"]) {
    const asked = (session, event, data) => {
      if (event == "no") throw new TroupeError("nope", "no", { why: 1 });
      return data;
    };
    const { server, client } = pair({ codec, asked }, { transports: [transport] });
    const data = { n: 1, s: "ü", b: Uint8Array.of(0, 255), d: new Date(5) };
    assert.deepEqual(await client.ask("echo", data), data);
    await assert.rejects(client.ask("no"), { code: "nope", data: { why: 1 } });
    await assert.rejects(server.session.ask("nobody"), { code: "unknown" });
    assert.equal(server.requests[0].protocol ?? server.requests[0].codec, "troupe.v1.msgpack");
  }
});

test("a question that fails says why", async () => {
  const { server, client } = pair({
    asked: (session, event) => {
      throw event == "mine" ? new TroupeError("taken", "is taken", { by: "bob" }) : new Error("secret");
    },
  });
  await assert.rejects(client.ask("mine"), { code: "taken", message: "is taken", data: { by: "bob" } });
  await assert.rejects(client.ask("bug"), { code: "failed" });
  client.answer("mine", () => {
    throw new TroupeError("taken", "is taken", { by: "bob" });
  });
  client.answer("bug", () => Promise.reject(new Error("secret")));
  client.answer("gone", () => 1)();
  client.answer("huge", () => "x".repeat(5 << 20));
  const quiet = console.error;
  console.error = () => {};
  try {
    await assert.rejects(server.session.ask("mine"), { code: "taken", message: "is taken", data: { by: "bob" } });
    await assert.rejects(server.session.ask("bug"), { code: "failed", message: "failed" });
    await assert.rejects(server.session.ask("gone"), { code: "unknown" });
    await assert.rejects(server.session.ask("huge"), { code: "large" });
  } finally {
    console.error = quiet;
  }
});

test("data that cannot be read: a question of the server is invalid, an answer too, an event is a gap", async () => {
  const { server, client } = pair({ asked: () => new Promise(() => {}) });
  const heard = [];
  client.on("*", (data, event) => heard.push([event, data]));
  client.answer("confirm", () => 1);
  await opened(client);
  const answer = client.ask("history");
  await until(() => server.session.received == 1);
  server.session.say("e said {");
  server.session.say("q 7 confirm {");
  server.session.say("r 1 {");
  server.session.emit("said", 1);
  await rejects(answer, "invalid");
  await until(() => heard.length == 2);
  assert.deepEqual(heard, [["$gap", 1], ["said", 1]]);
  await until(() => server.session.wire.some((m) => m.startsWith('x 7 {"code":"invalid"')));
  assert.equal(client.state.status, "open");
});

test("a question can be canceled: before it is written nobody hears of it, behind it is told so", async () => {
  const signals = [];
  const { server, client } = pair({
    asked: (session, event, data, signal) => {
      signals.push(signal);
      return new Promise(() => {});
    },
  });
  const early = new AbortController();
  const first = client.ask("history", 1, { signal: early.signal });
  early.abort();
  await rejects(first, "canceled");
  await rejects(client.ask("history", 2, { signal: early.signal }), "canceled");
  await opened(client);
  const late = new AbortController();
  const second = client.ask("history", 3, { signal: late.signal });
  await until(() => signals.length == 1);
  late.abort();
  await rejects(second, "canceled");
  await until(() => signals[0].aborted);
  assert.deepEqual(server.session.wire.filter((m) => /^[qc]/.test(m)), ["q 3 history 3", "c 3"]);
});

test("who asked and does not want the answer any more gets none", async () => {
  const { server, client } = pair();
  let signal, done;
  client.answer("confirm", (q, context) => {
    signal = context.signal;
    return new Promise((go) => (done = go));
  });
  await opened(client);
  const question = server.session.ask("confirm");
  await until(() => signal);
  question.cancel();
  await until(() => signal.aborted);
  done(1);
  await settle();
  assert.ok(!server.session.wire.some((m) => m.startsWith("r ")));
});

test("a handler that throws breaks nothing; off means off; the same function twice is called twice", async () => {
  const { client } = pair(echo);
  const heard = [];
  const fn = (data) => heard.push(data);
  client.on("said", () => {
    throw new Error("of a handler");
  });
  const unwatch = client.watch(() => {
    throw new Error("of a watcher");
  });
  const off = client.on("said", fn);
  client.on("said", fn);
  const errors = [];
  const quiet = console.error;
  console.error = (e) => errors.push(e.message);
  try {
    client.send("say", 1);
    await until(() => heard.length == 2);
    off();
    client.send("say", 2);
    await until(() => heard.length == 3);
    await settle();
  } finally {
    console.error = quiet;
    unwatch();
  }
  assert.deepEqual(heard, [1, 1, 2]);
  assert.ok(errors.includes("of a watcher"));
  assert.equal(errors.filter((e) => e == "of a handler").length, 2);
});

test("names and data that cannot be said are invalid", async () => {
  const { client } = pair();
  const loop = {};
  loop.loop = loop;
  for (const [event, data] of [["", 1], ["a b", 1], ["a\nb", 1], ["x\u0085", 1], ["ü".repeat(65), 1], ["say", loop], ["say", 1n]]) {
    await rejects(client.send(event, data), "invalid");
    await rejects(client.ask(event, data), "invalid");
  }
  await client.send("ü".repeat(64));
});

test("the queue is bounded in bytes, and room() waits for it", async () => {
  const { server, client } = pair({ webSockets: "silent" }, { transports: ["ws"], queueBytes: 1000 });
  const kept = client.send("say", "x".repeat(800));
  await rejects(client.send("say", "y".repeat(300)), "full");
  await rejects(client.ask("say", "y".repeat(300)), "full");
  const small = client.send("say", "z");
  let room = false;
  client.room().then(() => (room = true));
  await settle();
  assert.equal(room, false);
  server.webSockets = "open";
  client.break();
  await Promise.all([kept, small]);
  await settle();
  assert.equal(room, true);
  await client.room();
});

test("room() in a loop sends all, whatever the size of the queue", async () => {
  const heard = [];
  const { client } = pair({ heard: (session, event, data) => heard.push(data), hello: { window: 4 } }, { queueBytes: 100 });
  for (const i of upTo(200)) {
    await client.room();
    client.send("n", i);
  }
  await until(() => heard.length == 200);
  assert.deepEqual(heard, upTo(200));
});

test("what is larger than the server takes is refused, once that is known", async () => {
  const { client } = pair({ hello: { max: 100 } });
  const early = client.send("say", "x".repeat(200));
  const other = client.send("say", "y");
  await rejects(early, "large");
  await other;
  await rejects(client.send("say", "x".repeat(200)), "large");
});

test("a rejected send that nobody waits for is no unhandled rejection", async () => {
  let unhandled;
  const on = (e) => (unhandled = e);
  process.on("unhandledRejection", on);
  const { client } = pair();
  client.send("a b");
  client.close();
  client.send("say");
  await settle();
  process.off("unhandledRejection", on);
  assert.equal(unhandled, undefined);
});

test("for await: every event in order, then the end", async () => {
  const { client } = pair(echo);
  const heard = [];
  for (const i of upTo(10)) client.send("say", i);
  for await (const { event, data } of client) {
    heard.push([event, data]);
    if (heard.length == 10) client.close();
  }
  assert.deepEqual(heard, upTo(10).map((i) => ["said", i]));
  for await (const _ of client) assert.fail("a closed client says nothing");
});

test("for await: what a slow loop misses is told as a gap, the newest is kept", async () => {
  const { server, client } = pair();
  const events = client[Symbol.asyncIterator]();
  await opened(client);
  const first = events.next();
  for (const i of upTo(10)) server.session.emit("n", i);
  server.session.gap(5);
  for (const i of upTo(1100)) server.session.emit("n", 10 + i);
  server.session.emit("last");
  assert.deepEqual(await first, { done: false, value: { event: "n", data: 0 } });
  let last = false;
  client.on("last", () => (last = true));
  await until(() => last);
  const gap = (await events.next()).value;
  assert.equal(gap.event, "$gap");
  const next = (await events.next()).value;
  assert.equal(next.data, 1 + gap.data - 5); // five of the gap were lost on the way
  await events.return();
  assert.deepEqual(await events.next(), { done: true, value: undefined });
});

test("a gap is told in its place, and counted", async () => {
  const { server, client } = pair();
  const heard = [];
  client.on("*", (data, event) => heard.push([event, data]));
  await opened(client);
  server.session.emit("n", 1);
  server.session.gap(3);
  server.session.emit("n", 2);
  server.session.gap(4);
  await until(() => heard.length == 4);
  assert.deepEqual(heard, [["n", 1], ["$gap", 3], ["n", 2], ["$gap", 4]]);
  assert.equal(client.state.lost, 7);
});
