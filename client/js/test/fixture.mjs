// What the tests share. TROUPE_CLIENT names the build they are run with.
import { afterEach } from "node:test";
import assert from "node:assert/strict";
import { FakeServer } from "../dist/testing.js";

const entry = process.env.TROUPE_CLIENT ?? "index.js";
export const { connect, TroupeError } = await import(`../dist/${entry}`);
export { FakeServer };

const open = [];

/** A server and a client that knows it. Closed after the test; what the client did against the protocol fails it. */
export function pair(behaviour = {}, options = {}) {
  const server = new FakeServer(behaviour);
  const client = connect("http://test/events", { ...server.options, backoff: () => 0, ...options });
  open.push({ server, client });
  return { server, client };
}

afterEach(() => {
  for (const { server, client } of open.splice(0)) {
    client.close();
    assert.deepEqual(server.errors, []);
  }
});

/** Waits until it is so, without a clock: as long as the test may take. */
export async function until(isSo, what = isSo) {
  const deadline = performance.now() + 30_000;
  while (!isSo()) {
    if (performance.now() > deadline) throw new Error("it never came: " + what);
    await new Promise((go) => setImmediate(go));
  }
}

export const opened = (client) => until(() => client.state.status == "open");

/** Lets everything that can happen without a clock happen. */
export async function settle(rounds = 20) {
  for (let i = 0; i < rounds; i++) await new Promise((go) => setImmediate(go));
}

export const rejects = (promise, code) => assert.rejects(promise, (e) => e instanceof TroupeError && e.code == code);
