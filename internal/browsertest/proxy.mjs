// A network between a page and a server, for tests to break: what comes to its port
// goes to the server's, until it does not.

import { createServer, connect } from "node:net";

export class Network {
  #server;
  #target;
  #pairs = new Set();
  #deaf = false; // takes what comes, and passes nothing on
  #down = false; // takes nothing

  // to is the address of a server; the network listens at a port of its own.
  static async to(target) {
    const network = new Network();
    network.aim(target);
    network.#server = createServer({ pauseOnConnect: true }, (near) => network.#accept(near));
    await new Promise((resolve) => network.#server.listen(0, "127.0.0.1", resolve));
    return network;
  }

  get url() {
    return `http://127.0.0.1:${this.#server.address().port}/`;
  }

  // aim leads what comes from now on to another server.
  aim(target) {
    this.#target = new URL(target);
  }

  #accept(near) {
    near.on("error", () => {});
    if (this.#down) return near.resetAndDestroy();
    const far = connect({ host: this.#target.hostname, port: this.#target.port });
    const pair = [near, far];
    this.#pairs.add(pair);
    far.on("error", () => {});
    for (const [from, to] of [pair, [far, near]]) {
      from.on("data", (chunk) => {
        if (!to.write(chunk)) from.pause();
      });
      to.on("drain", () => this.#deaf || from.resume());
      from.on("end", () => to.end());
      from.on("close", () => {
        this.#pairs.delete(pair);
        if (!this.#deaf) to.destroy();
      });
    }
    if (!this.#deaf) near.resume();
  }

  // cut resets every connection; new ones are welcome.
  cut() {
    for (const pair of this.#pairs) for (const end of pair) end.resetAndDestroy();
  }

  // unplug resets every connection, and refuses new ones.
  unplug() {
    this.#down = true;
    this.cut();
  }

  // vanish leaves connections as they are, and passes nothing on: neither end learns
  // of it.
  vanish() {
    this.#deaf = true;
    for (const pair of this.#pairs) for (const end of pair) end.pause();
  }

  // restore undoes unplug and vanish. What vanished does not come back: connections
  // that were there are reset, as by a router that has forgotten them.
  restore() {
    this.#down = this.#deaf = false;
    this.cut();
  }

  get connections() {
    return this.#pairs.size;
  }

  async close() {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
