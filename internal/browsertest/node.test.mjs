// The same sessions with Node for the client: server-sent events and polls by its
// fetch, WebSockets by the package ws.
//
//   TROUPE_SESSIONS  ./sessions, built
//   FLAGS            of the server, such as -goroutine

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import WebSocket from "ws";
import { connect } from "../../client/js/dist/index.js";
import { CUTS, MANY, WAYS, play, until } from "./player.mjs";
import { Network } from "./proxy.mjs";
import { start } from "./servers.mjs";

let server;

before(async () => {
  assert.ok(process.env.TROUPE_SESSIONS, "TROUPE_SESSIONS must name the server's program");
  server = await start(process.env.TROUPE_SESSIONS, ...(process.env.FLAGS ?? "").split(" ").filter(Boolean));
});

after(async () => assert.match(await server.stop(), /^opened (\d+), closed \1$/));

const EACH = MANY / CUTS;

for (const [name, transports] of Object.entries({ ...WAYS, "from one to the next": ["ws", "sse", "poll"] })) {
  test(`${name}: a thousand events each way, across ten cuts`, async (t) => {
    const network = await Network.to(server.url);
    const player = play(connect, new URL("events", network.url), { token: "ann", transports, WebSocket });
    t.after(async () => {
      player.client.close();
      await network.close();
    });
    await until(() => player.client.state.status === "open", "open");
    for (let i = 0; i < CUTS; i++) {
      player.say(i * EACH + 1, (i + 1) * EACH);
      if (name === "from one to the next") player.client.use(["sse", "poll", "ws", "poll"][i % 4]);
      if (i % 2) await until(() => player.heard.length >= i * EACH + EACH / 2, "half of it");
      network.cut();
    }
    await until(() => player.heard.length >= MANY, "all of it");
    assert.deepEqual(await player.client.ask("tally"), { up: MANY, wrong: [] });
    assert.deepEqual(player.heard, Array.from({ length: MANY }, (_, i) => i + 1));
    assert.deepEqual([player.gaps, player.renewed], [0, 0]);
    if (transports.length === 1) assert.equal(player.client.state.transport, transports[0]);
  });
}
