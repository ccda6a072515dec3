// Compression as Node's ws speaks it, which takes context over with zlib.
//
//   TROUPE_ECHO  host and port of ./echo, which it prints

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import WebSocket from "ws";

const address = process.env.TROUPE_ECHO;
assert.ok(address, "TROUPE_ECHO must name a running server");

// messages are like each other, of many sizes, and every fifth is noise.
function messages() {
  const all = ["", "x"];
  for (let i = 0; i < 150; i++) {
    let s = "";
    while (s.length < (i * i * 7) % 40_000) {
      s += JSON.stringify({ id: i * s.length, user: `user-${i % 7}`, room: "lobby", text: "hello grüß dich" });
    }
    all.push(i % 5 ? s : Buffer.from(Array.from({ length: i * 40 }, () => Math.random() * 256)));
  }
  all.push("a".repeat(1_000_000));
  return all;
}

async function echoes(path, offer, answer) {
  const socket = new WebSocket(`ws://${address}${path}`, { perMessageDeflate: { threshold: 0, ...offer } });
  const failed = new Promise((_, reject) => socket.once("error", reject).once("close", (code) => reject(new Error(`closed ${code}`))));
  failed.catch(() => {});
  await Promise.race([new Promise((open) => socket.once("open", open)), failed]);
  assert.equal(socket.extensions, "permessage-deflate");
  const agreed = socket._extensions?.["permessage-deflate"]?.params;
  if (answer) assert.deepEqual({ ...agreed }, answer);
  const want = messages();
  const got = new Promise((done) => {
    const all = [];
    socket.on("message", (data, binary) => {
      all.push(binary ? data : data.toString());
      if (all.length === want.length) done(all);
    });
  });
  for (const m of want) socket.send(m);
  assert.deepEqual(await Promise.race([got, failed]), want);
  const closed = new Promise((done) => socket.once("close", done));
  socket.close(1000);
  assert.equal(await closed, 1000);
}

const offers = [
  {},
  { serverNoContextTakeover: true },
  { clientNoContextTakeover: true },
  { serverNoContextTakeover: true, clientNoContextTakeover: true, serverMaxWindowBits: 10, clientMaxWindowBits: 11 },
  { clientMaxWindowBits: false },
];
for (let bits = 8; bits <= 15; bits++) offers.push({ serverMaxWindowBits: bits, clientMaxWindowBits: 23 - bits });

for (const path of ["/none", "/takeover"]) {
  for (const offer of offers) test(`${path} ${JSON.stringify(offer)}`, () => echoes(path, offer));
}

// What was said before is not said again, in either direction, where context is
// taken over; and is where it is not.
for (const [path, again] of [["/takeover", (n) => n < 100], ["/none", (n) => n > 700]]) {
  test(`${path} refers back, or not`, async (t) => {
    const socket = new WebSocket(`ws://${address}${path}`, { perMessageDeflate: { threshold: 0 } });
    t.after(() => socket.close(1000));
    await new Promise((open, failed) => socket.once("open", open).once("error", failed));
    const text = randomBytes(750).toString("hex"); // half of its size by itself
    for (let i = 0; i < 4; i++) {
      const { bytesWritten: out, bytesRead: back } = socket._socket;
      const got = new Promise((done) => socket.once("message", (data) => done(data.toString())));
      socket.send(text);
      assert.equal(await got, text);
      const took = { out: socket._socket.bytesWritten - out, back: socket._socket.bytesRead - back };
      if (i > 0) assert.ok(again(took.out) && again(took.back), JSON.stringify(took));
    }
  });
}

test("the answer", async () => {
  await echoes("/none", {}, { server_no_context_takeover: true, client_no_context_takeover: true });
  await echoes("/takeover", {}, { client_max_window_bits: 12 });
});
