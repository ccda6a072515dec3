// Thousands of messages and questions both ways, while all that can go wrong does. SEED repeats a run.
import { test } from "node:test";
import assert from "node:assert/strict";
import { opened, pair, settle, until } from "./fixture.mjs";

const first = Number(process.env.SEED ?? Date.now() % 1_000_000);
const runs = process.env.SEED ? 1 : 12;
const MESSAGES = 400;

for (let seed = first; seed < first + runs; seed++) {
  test(`SEED=${seed}: none lost, none doubled, all in order`, { timeout: 120_000 }, () => run(seed));
}

async function run(seed) {
  let state = seed + 1;
  const random = (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
  const all = (n) => Array.from({ length: n }, (_, i) => i);
  const kinds = ["ws", "sse", "poll"];
  const heard = [];
  const said = [];
  const asked = [];
  const { server, client } = pair(
    {
      hello: { window: 1 + random(20), windowBytes: 50 + random(2000) },
      heard: (session, event, data) => said.push(data.n),
      asked: (session, event, data) => (asked.push(data), data + 1),
      // Each side's messages keep their order; the sides do not keep it among each other.
      later: (go) => setImmediate(go),
      carry: (go) => settle(random(8)).then(go),
      post: () => ["lost", "answer lost", { status: 502 }, undefined, undefined, undefined, undefined, undefined][random(8)],
    },
    { transports: [kinds[random(3)]] },
  );
  client.watch(({ status, lastClose }) => assert.ok(status != "closed" || lastClose.cause == "client", JSON.stringify(lastClose) + server.errors));
  client.on("n", ({ n }) => heard.push(n));
  client.on("$gap", () => assert.fail("a gap"));
  client.on("$session", () => assert.fail("another session"));
  const questions = [];
  const later = (promise) => (promise.catch(() => {}), promise);
  client.answer("q", (n) => (questions.push(n), n + 1));
  await opened(client);
  const { session } = server;
  const answers = [];
  const theirs = [];
  const sent = [];
  for (let n = 0; n < MESSAGES; ) {
    const what = random(100);
    if (what < 40) {
      await client.room();
      sent.push(client.send("n", { n, pad: "x".repeat(random(60)) }));
      session.emit("n", { n, pad: "ü".repeat(random(60)) });
      n++;
    } else if (what < 50) answers.push(later(client.ask("q", answers.length, { timeout: 0 })));
    else if (what < 60) theirs.push(later(session.ask("q", theirs.length)));
    else if (what < 63) session.cut();
    else if (what < 65) client.break();
    else if (what < 66) session.bye(3000 + random(2), "", { retry: 1 });
    else if (what < 69) client.use(kinds[random(3)]);
    else if (what < 70) client.use(...kinds);
    else if (what < 71) server.webSockets = ["open", "open", "refuse"][random(3)];
    else await settle(random(4));
  }
  server.webSockets = "open";
  server.post = () => undefined;
  client.use("ws", "sse", "poll");
  await until(() => heard.length >= MESSAGES && said.length >= MESSAGES, "all messages");
  assert.deepEqual(heard, all(MESSAGES));
  assert.deepEqual(said, all(MESSAGES));
  await Promise.all(sent);
  assert.deepEqual(await Promise.all(answers), all(answers.length).map((n) => n + 1));
  assert.deepEqual(await Promise.all(theirs), all(theirs.length).map((n) => n + 1));
  assert.deepEqual(asked, all(answers.length));
  assert.deepEqual(questions, all(theirs.length));
  assert.equal(client.state.session, session.id); // a request that was given up and came late may have begun another
}
