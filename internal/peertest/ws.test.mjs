// What Node's ws finds: messages in fragments, pings, close codes, compression with
// zlib and context takeover, a thousand connections.
//
//   TROUPE_URL           where the server of server_test.go is, ws:// or wss://
//   TROUPE_BEHIND        set if a proxy is between
//   NODE_EXTRA_CA_CERTS  who has certified it

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, test } from "node:test";
import WebSocket from "ws";

const server = process.env.TROUPE_URL;
const compressed = (path) => path === "/none" || path === "/takeover";

// What a test that failed has left open would keep the process alive.
const sockets = new Set();
after(() => sockets.forEach((socket) => socket.terminate()));

// open is a connection with what has come on it, in order.
async function open(path, options = {}) {
  const socket = new WebSocket(server + path, { perMessageDeflate: false, ...options });
  sockets.add(socket);
  socket.on("close", () => sockets.delete(socket));
  const came = [];
  let ready, failed;
  const note = (...what) => {
    came.push(what);
    ready?.();
  };
  socket.on("message", (data, binary) => note(binary ? data : data.toString()));
  socket.on("pong", (data) => note("pong", data.toString()));
  socket.on("close", (code, reason) => note("close", code, reason.toString()));
  socket.on("error", (error) => {
    failed = error;
    ready?.();
  });
  const next = async () => {
    while (came.length === 0) {
      if (failed) throw failed;
      await new Promise((resolve) => (ready = resolve));
    }
    return came.shift();
  };
  await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
  return { socket, next };
}

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
  const { socket, next } = await open(path, offer && { perMessageDeflate: { threshold: 0, ...offer } });
  assert.equal(socket.extensions, compressed(path) && offer ? "permessage-deflate" : "");
  const agreed = socket._extensions?.["permessage-deflate"]?.params;
  if (answer) assert.deepEqual({ ...agreed }, answer);
  const want = messages();
  for (const m of want) socket.send(m);
  for (const m of want) assert.deepEqual(await next(), [m]);
  socket.close(1000);
  assert.deepEqual(await next(), ["close", 1000, ""]);
}

const offers = [
  {},
  { serverNoContextTakeover: true },
  { clientNoContextTakeover: true },
  { serverNoContextTakeover: true, clientNoContextTakeover: true, serverMaxWindowBits: 10, clientMaxWindowBits: 11 },
  { clientMaxWindowBits: false },
];
const sizes = server.startsWith("ws:") ? [8, 9, 10, 11, 12, 13, 14, 15] : []; // TLS makes no difference
for (const bits of sizes) offers.push({ serverMaxWindowBits: bits, clientMaxWindowBits: 23 - bits });

for (const path of ["/none", "/takeover"]) {
  for (const offer of offers) test(`${path} ${JSON.stringify(offer)}`, () => echoes(path, offer));
}

// What was said before is not said again, in either direction, where context is
// taken over; and is where it is not.
for (const [path, again] of [["/takeover", (n) => n < 100], ["/none", (n) => n > 700]]) {
  const skip = sizes.length === 0 && "the bytes on the wire are those of TLS";
  test(`${path} refers back, or not`, { skip }, async (t) => {
    const { socket, next } = await open(path, { perMessageDeflate: { threshold: 0 } });
    t.after(() => socket.terminate());
    const text = randomBytes(750).toString("hex"); // half of its size by itself
    for (let i = 0; i < 4; i++) {
      const { bytesWritten: out, bytesRead: back } = socket._socket;
      socket.send(text);
      assert.deepEqual(await next(), [text]);
      const took = { out: socket._socket.bytesWritten - out, back: socket._socket.bytesRead - back };
      if (i > 0) assert.ok(again(took.out) && again(took.back), JSON.stringify(took));
    }
    socket.close(1000);
    assert.deepEqual(await next(), ["close", 1000, ""]);
  });
}

test("the answer", async () => {
  await echoes("/none", {}, { server_no_context_takeover: true, client_no_context_takeover: true });
  await echoes("/takeover", {}, { client_max_window_bits: 12 });
});

test("compression that is offered in vain", () => echoes("/echo", {}));

test("no compression", async () => {
  for (const path of ["/echo", "/takeover"]) await echoes(path);
});

for (const path of ["/echo", "/none", "/takeover"]) {
  test(`${path} fragments, with pings between them`, async () => {
    const { socket, next } = await open(path, compressed(path) ? { perMessageDeflate: { threshold: 0 } } : {});
    const piece = "grüß dich ".repeat(1000);
    for (const binary of [false, true]) {
      for (let i = 0; i < 10; i++) socket.send(i === 4 ? "" : piece, { fin: false, binary });
      socket.ping("between");
      socket.send(piece, { fin: true, binary });
      assert.deepEqual(await next(), ["pong", "between"]);
      const whole = piece.repeat(10);
      assert.deepEqual(await next(), [binary ? Buffer.from(whole) : whole]);
    }
    const large = Buffer.alloc(1 << 20, 7);
    for (let at = 0; at < large.length; at += 1000) socket.send(large.subarray(at, at + 1000), { fin: at + 1000 >= large.length });
    assert.deepEqual(await next(), [large]);
    socket.close();
    assert.deepEqual(await next(), ["close", 1005, ""]);
  });
}

test("pings have their data back, up to 125 bytes", async () => {
  const { socket, next } = await open("/echo");
  for (const data of ["", "x", "y".repeat(125)]) {
    socket.ping(data);
    assert.deepEqual(await next(), ["pong", data]);
  }
  socket.pong("unasked");
  socket.send("after it");
  assert.deepEqual(await next(), ["after it"]);
  socket.close(1000);
  await next();
});

for (const code of [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999]) {
  test(`close ${code}, theirs and ours`, async () => {
    const theirs = await open("/close");
    theirs.socket.close(code, "grüß dich");
    assert.equal((await theirs.next())[1], code);
    const ours = await open("/close");
    ours.socket.send(`${code} grüß dich`);
    assert.deepEqual(await ours.next(), ["close", code, "grüß dich"]);
  });
}

test("a message too big is answered with 1009", async () => {
  for (const path of ["/echo", "/takeover"]) {
    const { socket, next } = await open(path, compressed(path) ? { perMessageDeflate: { threshold: 0 } } : {});
    socket.on("error", () => {}); // what is still being sent may find nobody
    socket.send(Buffer.alloc(5 << 20));
    const [, code] = await next();
    // nginx closes both its sides when we have said the last word: what a client is
    // still sending then resets its connection, and may overtake the close frame.
    if (!process.env.TROUPE_BEHIND || code !== 1006) assert.equal(code, 1009);
  }
});

// thousand opens as many, a hundred at a time.
async function thousand(path, options) {
  const all = [];
  while (all.length < 1000) {
    all.push(...(await Promise.all(Array.from({ length: 100 }, () => open(path, options)))));
  }
  return all;
}

test("a thousand connections", async () => {
  const all = await thousand("/takeover", { perMessageDeflate: { threshold: 0 } });
  for (let round = 0; round < 3; round++) {
    for (const [i, { socket }] of all.entries()) socket.send(`client ${i} round ${round}`);
    for (const [i, { next }] of all.entries()) assert.deepEqual(await next(), [`client ${i} round ${round}`]);
  }
  for (const { socket } of all) socket.close(1000);
  for (const { next } of all) assert.deepEqual(await next(), ["close", 1000, ""]);
});

test("a thousand that are torn", async () => {
  const all = await thousand("/echo");
  for (const { socket } of all) socket.terminate();
  for (const { next } of all) assert.equal((await next())[1], 1006);
});
