// src/api.ts
var TroupeError = class extends Error {
  constructor(code, message = code, data = null) {
    super(message);
    this.name = "TroupeError";
    this.code = code;
    this.data = data;
  }
};

// src/wire.ts
var encoder = new TextEncoder();
var decoder = new TextDecoder();
var utf8 = (s) => encoder.encode(s);
var sizeOf = (m) => (typeof m == "string" ? utf8(m) : m).length;
var text = (m) => typeof m == "string" ? m : decoder.decode(m);
var json = (m) => JSON.parse(text(m));
function cut(m) {
  const i = typeof m == "string" ? m.indexOf(" ") : m.indexOf(32);
  if (i < 0) return [text(m), void 0];
  return [text(m.slice(0, i)), typeof m == "string" ? m.slice(i + 1) : m.subarray(i + 1)];
}
function join(head, data) {
  const front = utf8(head + " ");
  const m = new Uint8Array(front.length + data.length);
  m.set(front);
  m.set(data, front.length);
  return m;
}
function encode(head, data, codec) {
  if (data == null) return head;
  if (codec) return join(head, codec.encode(data));
  if (data instanceof ArrayBuffer) data = new Uint8Array(data);
  if (ArrayBuffer.isView(data)) return join(head, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  const json2 = JSON.stringify(data);
  return json2 === void 0 ? head : head + " " + json2;
}
function decode(data, codec) {
  if (data === void 0) return null;
  if (typeof data == "string") return JSON.parse(data);
  return codec ? codec.decode(data) : data;
}
function base64(bytes) {
  let s = "";
  for (const b of bytes) s += String.fromCharCode(b);
  return btoa(s);
}
var unbase64 = (s) => Uint8Array.from(atob(s), (c) => c.charCodeAt(0));

// src/testing.ts
var FakeSession = class {
  constructor(server, hello) {
    this.server = server;
    this.hello = hello;
    this.secret = Math.random().toString(36).slice(2);
    /** The client's hellos, the last one last. */
    this.hellos = [];
    /** Messages of the client, as they came: those without numbers, and those that came twice, included. */
    this.wire = [];
    /** Numbers: of the client's last message, and of the last of ours that it acknowledged. */
    this.received = 0;
    this.acknowledged = 0;
    this.ended = false;
    this.at = 0;
    this.told = 0;
    this.out = [];
    this.sent = 0;
    this.questions = /* @__PURE__ */ new Map();
    this.asked = /* @__PURE__ */ new Map();
    this.lastId = 0;
    this.id = `session-${server.sessions.size + 1}`;
  }
  /** Says an event. */
  emit(event, data) {
    this.say(encode("e " + event, data, this.server.codec));
  }
  /** Asks the client. */
  ask(event, data) {
    const id = ++this.lastId;
    const answer = new Promise((resolve, reject) => this.questions.set(id, { resolve, reject }));
    this.say(encode(`q ${id} ${event}`, data, this.server.codec));
    return Object.assign(answer, { cancel: () => this.say("c " + id) });
  }
  /** Tells that n messages are lost. */
  gap(n) {
    this.say("g " + n);
  }
  /** Says a numbered message, as it is. */
  say(m) {
    this.out.push(m);
    this.flush();
  }
  /** Says a message without a number, or one that no server says. */
  raw(m) {
    this.link?.send(m);
    this.link?.flush?.();
  }
  /** Acknowledges what came. */
  acknowledge() {
    this.told = this.received;
    this.raw("a " + this.received);
  }
  /** Says goodbye. */
  bye(code, reason = "", more = {}) {
    this.raw(`b ${JSON.stringify({ code, reason, ...more })}`);
    this.drop(code, reason);
  }
  /** Drops the connection without a word. */
  cut() {
    this.drop(1006, "");
  }
  /** Forgets the session, as after its grace. */
  expire() {
    this.server.sessions.delete(this.id);
    this.cut();
  }
  drop(code, reason) {
    const link = this.link;
    this.link = void 0;
    link?.end(code, reason);
  }
  /** @internal A connection begins to carry this session. */
  attach(link, hello, resumed) {
    if (this.link) {
      this.raw('b {"code":3001,"reason":"moved"}');
      this.drop(3001, "moved");
    }
    this.hellos.push(hello);
    this.sent = 0;
    if (resumed) this.has(hello.received);
    this.link = link;
    this.at = this.told = this.received;
    const { id: session, secret, received } = this;
    const from = this.acknowledged;
    const numbers = { session, secret, resumed, from, received, acked: received, lost: 0 };
    link.send("h " + JSON.stringify({ v: 1, ...this.server.hello, ...numbers }));
    this.flush();
  }
  /** @internal A poll that goes on. */
  again(link, hello) {
    const old = this.link;
    this.link = void 0;
    old?.end(1e3, "");
    this.sent = 0;
    this.has(hello.received);
    this.link = link;
    if (this.server.acknowledge && hello.acked < this.received) this.acknowledge();
    this.flush();
  }
  /** @internal What a client said on a connection, or in a POST behind a number. Returns the number of what comes before the next. */
  take(m, from) {
    const numbered = /^[eqrxc]$/.test(cut(m)[0]);
    const n = from === void 0 ? this.at += +numbered : from + +numbered;
    const late = from !== void 0 && text(m).startsWith("a ") && +text(m).slice(2) < this.acknowledged;
    if (!late) this.hear(m, numbered && n);
    return n;
  }
  hear(m, n) {
    const { server } = this;
    const [kind, rest] = cut(m);
    this.wire.push(text(m));
    if (kind == "p") return this.raw("o");
    if (kind == "o" || kind == "t") return;
    if (kind == "a") return this.has(+text(rest));
    if (kind == "b") {
      this.ended = !!json(rest).end;
      if (this.ended) server.sessions.delete(this.id);
      return this.drop(1e3, "");
    }
    if (n === false) return server.wrong("no such message: " + kind);
    if (n <= this.received) return;
    this.received = n;
    if (this.received - this.told > server.window) server.wrong("more than the window");
    if (sizeOf(m) > server.max) server.wrong("larger than max");
    if (server.acknowledge && this.link?.kind == "ws") this.acknowledge();
    this.numbered(kind, rest);
  }
  numbered(kind, rest) {
    const { server } = this;
    const [field, data] = cut(rest);
    const question = this.questions.get(+field);
    if (kind == "e") server.heard(this, field, decode(data, server.codec));
    else if (kind == "q") this.answer(+field, ...cut(data));
    else if (kind == "c") this.asked.get(+field)?.abort();
    else if (kind == "r") question?.resolve(decode(data, server.codec));
    else {
      const e = json(data);
      question?.reject(new TroupeError(e.code, e.message, e.data));
    }
  }
  async answer(id, event, data) {
    const { codec } = this.server;
    const abort = new AbortController();
    this.asked.set(id, abort);
    let m;
    try {
      m = encode("r " + id, await this.server.asked(this, event, decode(data, codec), abort.signal), codec);
    } catch (e) {
      const { code = "failed", message = "", data: data2 } = e;
      const told = JSON.stringify({ code, message, data: data2 });
      m = codec ? join("x " + id, utf8(told)) : `x ${id} ${told}`;
    }
    if (!abort.signal.aborted) this.say(m);
  }
  /** @internal Whether the client can have received so much and no more. */
  knows(n) {
    return n >= this.acknowledged && n <= this.acknowledged + this.out.length;
  }
  /** The client has all up to number n. */
  has(n) {
    if (!this.knows(n) || this.link && n > this.acknowledged + this.sent) {
      return this.server.wrong(`acknowledges ${n}, of ${this.acknowledged} to ${this.acknowledged + this.sent}`);
    }
    this.out.splice(0, n - this.acknowledged);
    this.sent = Math.max(0, this.sent - (n - this.acknowledged));
    this.acknowledged = n;
    this.flush();
  }
  flush() {
    while (this.link && this.sent < this.out.length && this.sent < this.server.window) this.link.send(this.out[this.sent++]);
    this.link?.flush?.();
  }
};
var FakeServer = class {
  constructor(behaviour = {}) {
    this.hello = { uid: "ann", ping: 25e3, pong: 1e4, hold: 2e4, grace: 12e4, window: 256, windowBytes: 262144, max: 4194304 };
    this.webSockets = "open";
    this.streams = "open";
    this.polls = "open";
    this.acknowledge = true;
    this.refuse = () => void 0;
    this.post = () => void 0;
    this.heard = () => {
    };
    this.later = queueMicrotask;
    this.carry = (go) => this.later(go);
    this.asked = () => {
      throw new TroupeError("unknown");
    };
    this.sessions = /* @__PURE__ */ new Map();
    /** All hellos that came, those of POSTs included. */
    this.requests = [];
    /** What the client did that the protocol does not allow. */
    this.errors = [];
    const { hello, ...rest } = behaviour;
    Object.assign(this, rest);
    Object.assign(this.hello, hello);
    const server = this;
    this.options = {
      WebSocket: class extends FakeWebSocket {
        constructor(url, protocols) {
          super(server, url, protocols);
        }
      },
      fetch: (url, init) => this.fetch(url, init),
      codec: this.codec
    };
  }
  get window() {
    return this.hello.window;
  }
  get max() {
    return this.hello.max;
  }
  /** Ends all connections, and knows nothing of their sessions. */
  restart() {
    for (const session of [...this.sessions.values()]) session.expire();
  }
  /** @internal */
  wrong(what) {
    this.errors.push(what);
  }
  /** @internal The session of a hello, and whether it is the one the hello names. */
  enter(hello) {
    const old = this.sessions.get(hello.session);
    if (old && old.secret === hello.secret && old.knows(hello.received)) return [old, true];
    const session = new FakeSession(this, hello);
    this.sessions.set(session.id, session);
    this.session = session;
    return [session, false];
  }
  async fetch(_url, { body, signal }) {
    await new Promise((go) => this.carry(go));
    const lines = body.split("\n").map((line2) => line2[0] == "~" ? unbase64(line2.slice(1)) : line2);
    const hello = json(lines.shift().slice(2));
    this.requests.push(hello);
    const { down } = hello;
    if (down == "sse" && this.streams == "break") throw new TypeError("fetch failed");
    if (down == "poll" && this.polls == "break") throw new TypeError("fetch failed");
    const fault = down == "none" ? this.post(hello) : this.refuse(hello);
    if (fault == "lost") throw new TypeError("fetch failed");
    if (fault && typeof fault != "string") return refusal(fault);
    if (down == "check") return new Response("");
    if (down == "none") {
      const session2 = this.sessions.get(hello.session);
      if (session2?.secret !== hello.secret || !session2.knows(hello.received)) return refusal({ status: 410, code: "session" });
      if (hello.from > session2.received) return refusal({ status: 400, code: "numbers" });
      let from = hello.from ?? 0;
      for (const m of lines) from = session2.take(m, from);
      if (fault == "silent") await aborted(signal);
      if (fault) throw new TypeError("fetch failed");
      if (this.acknowledge) session2.acknowledge();
      return new Response("k " + session2.received);
    }
    const [session, resumed] = this.enter(hello);
    return down == "sse" ? this.stream(session, hello, resumed, signal) : this.poll(session, hello, resumed, signal);
  }
  stream(session, hello, resumed, signal) {
    if (this.streams == "buffer") return aborted(signal);
    let to;
    const over = (close) => {
      try {
        close();
      } catch {
      }
    };
    const body = new ReadableStream({ start: (controller) => void (to = controller), cancel: () => over(() => {
    }) });
    const link = {
      kind: "sse",
      send: (m) => this.later(() => send(m)),
      end: (code) => this.later(() => over(() => code == 1006 ? to.error(new TypeError("network")) : to.close()))
    };
    const send = (m) => {
      try {
        to.enqueue(utf8(`data: ${line(m)}

`));
      } catch {
      }
    };
    signal?.addEventListener("abort", () => {
      over(() => to.error(signal.reason));
      if (session.link == link) session.link = void 0;
    });
    session.attach(link, hello, resumed);
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  }
  poll(session, hello, resumed, signal) {
    return new Promise((resolve, reject) => {
      const lines = [];
      const answer = (status) => {
        clearTimeout(hold);
        signal?.removeEventListener("abort", abort);
        link.send = () => {
        };
        link.flush = void 0;
        const headers = { "content-type": "text/plain; charset=utf-8" };
        this.later(() => status ? resolve(new Response(lines.join("\n"), { headers })) : reject(new TypeError("network")));
      };
      const hold = this.polls == "open" ? setTimeout(() => answer(200), this.hello.hold) : void 0;
      const link = {
        kind: "poll",
        send: (m) => void lines.push(line(m)),
        flush: () => void (lines.length && this.polls == "open" && answer(200)),
        end: (code) => answer(code == 1006 ? 0 : 200)
      };
      const abort = () => answer(0);
      signal?.addEventListener("abort", abort);
      if (resumed && !hello.first && session.link?.kind == "poll") session.again(link, hello);
      else session.attach(link, hello, resumed);
    });
  }
};
var aborted = (signal) => new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
var line = (m) => typeof m == "string" ? m : "~" + base64(m);
function refusal({ status, headers, ...body }) {
  const told = body.code ? JSON.stringify(body) : "<html>";
  return new Response(told, { status, headers: { "content-type": body.code ? "application/json" : "text/html", ...headers } });
}
var FakeWebSocket = class {
  constructor(server, url, protocols) {
    this.server = server;
    this.url = url;
    this.onmessage = null;
    this.onclose = null;
    this.onerror = null;
    this.readyState = 0;
    this.link = {
      kind: "ws",
      send: (m) => server.later(() => this.readyState == 1 && this.onmessage?.({ data: typeof m == "string" ? m : m.slice().buffer })),
      end: (code, reason) => server.later(() => this.over(code, reason))
    };
    server.later(() => this.open(protocols));
  }
  open([protocol, hidden]) {
    const { server } = this;
    const hello = json(unbase64(hidden.replace("troupe.hello.", "").replace(/-/g, "+").replace(/_/g, "/")));
    server.requests.push({ ...hello, protocol, down: "ws" });
    if (server.webSockets == "silent" || this.readyState) return;
    if (server.webSockets == "refuse" || server.refuse(hello)) {
      this.onerror?.({});
      return this.over(1006, "");
    }
    this.readyState = 1;
    const [session, resumed] = server.enter(hello);
    this.session = session;
    session.attach(this.link, hello, resumed);
  }
  send(m) {
    if (this.readyState == 0) throw new Error("connecting");
    this.server.later(() => this.session?.link == this.link && this.session.take(typeof m == "string" ? m : m.slice()));
  }
  close() {
    if (this.readyState > 1) return;
    this.readyState = 2;
    this.server.later(() => {
      if (this.session?.link == this.link) this.session.link = void 0;
      this.over(1005, "");
    });
  }
  over(code, reason) {
    if (this.readyState == 3) return;
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }
};
export {
  FakeServer,
  FakeSession
};
