// The clients of the rolling restart: JavaScript ones, who say numbers to all.
//
//   node roll.mjs URL COUNT
//
// For each line on standard input it prints one: "look" tells how they are, "hush"
// has them say no more, and tells when all they said has its outcome.

import { createInterface } from "node:readline";
import { connect } from "../../client/js/dist/index.js";
import WebSocket from "../../client/js/node_modules/ws/wrapper.mjs";

const [url, count] = process.argv.slice(2);
const SAY_EVERY = 250;

// The balancer does not keep a client to its node, which streams and polls need.
const transports = ["ws"];

function join(uid) {
  const p = { uid, said: 0, kept: [], unknown: [], sessions: 0, wrong: 0, twice: 0, heard: 0, outcomes: [], waits: [] };
  const c = connect(url, { token: uid, WebSocket, transports });
  const ever = new Set(); // over all sessions of this client
  let last = new Map(); // of this session, by the speaker's session
  let session;
  c.on("said", ({ from, session: of, n }) => {
    if (c.state.session !== session) [session, last] = [c.state.session, new Map()];
    p.heard++;
    if (n <= (last.get(of) ?? 0)) p.wrong++;
    last.set(of, n);
    if (ever.has(`${from} ${n}`)) p.twice++;
    ever.add(`${from} ${n}`);
  });
  c.on("$session", () => p.sessions++);
  let gone; // when it was said goodbye to
  c.watch((now, before) => {
    if (before.status === "open" && now.lastClose?.cause === "goodbye") gone = performance.now();
    if (now.status === "connecting" && gone !== undefined) {
      p.waits.push(performance.now() - gone);
      gone = undefined;
    }
  });
  p.timer = setInterval(() => {
    const n = ++p.said;
    p.outcomes.push(
      c.send("say", n).then(
        () => p.kept.push(n),
        (e) => p.unknown.push([n, e.code]),
      ),
    );
  }, SAY_EVERY);
  p.client = c;
  return p;
}

const guests = Array.from({ length: Number(count) }, (_, i) => join(`js${i}`));

const tell = () =>
  console.log(
    JSON.stringify(
      guests.map(({ uid, said, kept, unknown, sessions, wrong, twice, heard, waits, client }) => ({
        uid, said, kept, unknown: unknown.map(([n]) => n), codes: unknown.map(([, c]) => c), sessions, wrong, twice, heard, waits,
        status: client.state.status, transport: client.state.transport ?? "",
      })),
    ),
  );

for await (const line of createInterface({ input: process.stdin })) {
  if (line === "hush") {
    for (const g of guests) clearInterval(g.timer);
    await Promise.all(guests.flatMap((g) => g.outcomes));
  }
  tell();
}
process.exit(0);
