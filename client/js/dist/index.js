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

// src/link.ts
var lost = (reason, _blame, cause = "lost") => ({
  code: 1006,
  reason: String(reason?.message ?? reason),
  cause,
  _blame
});
var isFinal = (code) => code < 3e3 ? code < 1011 && ![1001, 1005, 1006].includes(code) : code % 1e3 > 499;
var ACK = "a ";
var Link = class {
  /** index is its place among the transports. */
  constructor(_host, _index) {
    this._host = _host;
    this._index = _index;
    this._abort = new AbortController();
    this._control = [];
    /** Which POSTs are under way: 0 with what has no number, 1 with what has. */
    this._posting = [];
    this._kind = _host._kinds[_index];
  }
  async _start() {
    try {
      this._first = await this._host._hello();
    } catch (e) {
      return this._fail(lost(e));
    }
    if (this._shut) return;
    if (this._kind == "ws") this._runSocket();
    else (this._kind == "sse" ? this._runStream() : this._runPolls()).catch((e) => this._fail(e));
  }
  /**
   * Asks by POST whether the server would let this client in: a WebSocket that does not open does not tell why. The ticket may have been
   * taken, so the hello is another one.
   */
  async _check() {
    const host = this._host;
    try {
      this._first = await host._hello();
      await this._post("check");
      host._trusted = false;
      throw lost("no WebSocket");
    } catch (e) {
      this._fail(e);
    }
  }
  /** Says a message without a number. */
  _say(m) {
    if (this._ws) this._ws.send(this._fill(m));
    else {
      this._control.push(m);
      this._flush(0);
    }
  }
  /**
   * An acknowledgement gets its number when it is written, so that it never falls: of what has come on this connection, but not more
   * than the hello of another one says that is under way.
   */
  _fill(m) {
    return m == ACK ? m + Math.min(this._at, this._host._next?._first?.received ?? this._at) : m;
  }
  /** Acknowledges all that has come. A poll does so by itself. */
  _ack() {
    if (this._kind != "poll") this._say(ACK);
  }
  /** Writes what the window allows. */
  _pump() {
    if (this._ws) for (let item; !this._shut && (item = this._host._out._next()); ) this._ws.send(item._wire);
    else this._flush(1);
  }
  /** Says goodbye, and closes. */
  _bye(code) {
    const m = `b {"code":${code},"end":true}`;
    if (!this._open || this._shut) return this._close();
    if (this._ws) this._ws.send(m);
    else this._post("none", [m], void 0, true).catch(() => {
    });
    this._close();
  }
  /** Closes without a word. Nothing is heard of it any more. */
  _close() {
    if (this._shut) return;
    this._shut = true;
    clearTimeout(this._timer);
    this._abort.abort();
    const ws = this._ws;
    if (ws) {
      ws.onmessage = ws.onclose = null;
      ws.close();
    }
  }
  _fail(why) {
    if (!this._shut) this._host._down(this, why?.cause ? why : lost(why));
  }
  _take(m) {
    if (!this._shut) this._host._message(this, m);
  }
  _runSocket() {
    const hello = base64(utf8(JSON.stringify(this._first))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");
    const ws = new this._host._WebSocket(this._address("ws"), [this._host._protocol, "troupe.hello." + hello]);
    this._ws = ws;
    ws.binaryType = "arraybuffer";
    ws.onerror = () => {
    };
    ws.onmessage = (e) => this._take(typeof e.data == "string" ? e.data : new Uint8Array(e.data));
    ws.onclose = (e) => {
      const { _trusted, _kinds, _link } = this._host;
      if (!this._open) return (_trusted || !_kinds[1]) && !_link ? void this._check() : this._fail(lost("no WebSocket", true));
      const { code, reason } = e;
      this._fail(code == 1005 || code == 1006 ? lost(reason || "closed") : { code, reason, cause: "goodbye", _final: isFinal(code) });
    };
  }
  async _runStream() {
    const reader = (await this._answer("sse", "text/event-stream")).body.getReader();
    const decoder2 = new TextDecoder();
    for (let rest = ""; ; ) {
      const { done, value } = await reader.read();
      if (done) throw lost("closed", !this._open);
      this._host._alive(this);
      const more = decoder2.decode(value, { stream: true });
      rest += more;
      if (!more.includes("\n")) continue;
      const lines = rest.split(/\r?\n/);
      rest = lines.pop();
      for (const line of lines) if (line.startsWith("data:")) this._line(line.slice(5).trimStart());
    }
  }
  async _runPolls() {
    const host = this._host;
    for (; ; ) {
      const at = host._received;
      const text2 = await (await this._answer("poll", "text/plain")).text();
      if (this._shut) return;
      host._alive(this);
      this._at = at;
      for (const line of text2.split("\n")) if (line) this._line(line);
      if (!this._open) throw lost("no answer");
      if (!text2 || host._next) do
        await new Promise((go) => setTimeout(go, 50));
      while (host._next && !this._shut);
      if (this._shut) return;
    }
  }
  _line(line) {
    this._take(line[0] == "~" ? unbase64(line.slice(1)) : line);
  }
  /**
   * What is to be said, one POST at a time. One that fails is made again, with the same numbers. What has a number may have to wait at
   * the server, perhaps for the acknowledgement that has none: so each kind goes its own way.
   */
  async _flush(numbered) {
    if (this._posting[numbered]) return;
    this._posting[numbered] = true;
    await null;
    const out = this._host._out;
    for (let failures = 0; !this._shut; ) {
      const lines = numbered ? [] : this._control.map((m) => this._fill(m));
      const control = lines.length;
      if (numbered) {
        out._rewind();
        for (let item; item = out._next(); ) lines.push(typeof item._wire == "string" ? item._wire : "~" + base64(item._wire));
      }
      if (!lines.length) break;
      const timer = setTimeout(() => this._fail(lost("no answer", false, "dead")), this._host._patience());
      try {
        const m = /^k \d+/.exec(await (await this._post("none", lines, numbered ? out._kept : void 0)).text());
        if (!m) throw lost("no answer");
        failures = 0;
        this._control.splice(0, control);
        this._take(m[0]);
      } catch (e) {
        const why = e;
        const again = [401, 403, 410].includes(why.status);
        if (why._final) this._fail({ ...why, _final: !again });
        else await new Promise((go) => setTimeout(go, this._host._delay(failures++, why._retry)));
      } finally {
        clearTimeout(timer);
      }
    }
    this._posting[numbered] = false;
  }
  _address(scheme) {
    const url = new URL(this._host._url);
    url.protocol = url.protocol.replace(/^(http|ws)/, scheme);
    this._host._options.params?.(url.searchParams);
    return url.href;
  }
  async _answer(down, type) {
    const response = await this._post(down);
    if (!response.headers.get("content-type")?.startsWith(type)) throw lost("no answer", true);
    return response;
  }
  async _post(down, lines = [], from, last) {
    const host = this._host;
    const hello = { ...this._first, ...host._named(), codec: host._protocol, down, from };
    if (this._open) hello.ticket = hello.data = void 0;
    else hello.first = down == "poll" || void 0;
    const response = await (host._options.fetch ?? fetch)(this._address("http"), {
      method: "POST",
      headers: { "content-type": "text/plain;charset=utf-8", ...host._options.headers },
      body: ["h " + JSON.stringify(hello), ...lines].join("\n"),
      cache: "no-store",
      keepalive: last,
      signal: last ? void 0 : this._abort.signal
    });
    if (response.ok) return response;
    const status = response.status;
    const told = await response.json().catch(() => ({}));
    const after = 1e3 * response.headers.get("retry-after") || void 0;
    const retry = told.retry ?? after;
    throw {
      code: told.code ?? "http",
      reason: told.reason ?? response.statusText,
      cause: "refused",
      status,
      _retry: retry,
      _final: retry === void 0 && (!!told.code || status < 500 && ![408, 425, 429].includes(status))
    };
  }
};

// src/outbox.ts
var Outbox = class {
  constructor(limit) {
    this._items = [];
    /** The last number acknowledged, and the last that the server has. */
    this._acked = 0;
    this._kept = 0;
    /** How many items of this session, and how many on this connection, have been written. */
    this._said = 0;
    this._sent = 0;
    this._sentBytes = 0;
    this._bytes = 0;
    /** The server's limits. */
    this._window = 1;
    this._windowBytes = 0;
    this._max = Infinity;
    /** Called when less waits than before. */
    this._waiting = [];
    this._limit = limit;
  }
  /** Puts a message behind all others. */
  _push(wire, done, owed = false) {
    const size = sizeOf(wire);
    const code = size > this._max ? "large" : !owed && this._bytes + size > this._limit ? "full" : "";
    if (code) {
      done(new TroupeError(code));
      return;
    }
    const item = { _wire: wire, _size: size, _said: false, _owed: owed, _done: done };
    this._items.push(item);
    this._bytes += size;
    return item;
  }
  /** The next item for this connection, as the window allows. The caller writes it. */
  _next() {
    for (; ; ) {
      const item = this._items[this._sent];
      if (!item) return;
      if (item._size > this._max) {
        this._remove(item, new TroupeError("large"));
        continue;
      }
      if (this._sent && (this._sent >= this._window || this._sentBytes + item._size > this._windowBytes)) return;
      this._sentBytes += item._size;
      this._said = Math.max(this._said, ++this._sent);
      item._said = true;
      return item;
    }
  }
  /** Takes out what has not been written. */
  _remove(item, error) {
    this._drop(this._items.indexOf(item), 1, error);
  }
  /** All up to number n has been handled. Numbers that were never given are false. */
  _ack(n) {
    const count = n - this._acked;
    if (!(count <= this._said)) return false;
    if (count > 0) {
      const sent = Math.min(count, this._sent);
      for (let i = 0; i < sent; i++) this._sentBytes -= this._items[i]._size;
      this._sent -= sent;
      this._said -= count;
      this._acked = n;
      this._kept = Math.max(this._kept, n);
      this._drop(0, count);
    }
    return true;
  }
  /** All up to number n need not be written again. */
  _keep(n) {
    const count = n - this._acked;
    if (!(count >= 0 && count <= this._said)) return false;
    this._kept = n;
    return true;
  }
  /** What the server does not have is to be written again, on a new connection or in another POST. */
  _rewind() {
    this._sent = this._kept - this._acked;
    this._sentBytes = 0;
    for (let i = 0; i < this._sent; i++) this._sentBytes += this._items[i]._size;
  }
  /**
   * The session is over. What was written in it is closed, what the protocol asked for in it is pointless, and the rest waits for the
   * next session, or is closed, too, if that was all.
   */
  _forget(all) {
    const over = (item) => all || item._said || item._owed;
    const items = this._items;
    this._items = items.filter((item) => !over(item));
    this._said = this._acked = this._kept = 0;
    this._rewind();
    for (const item of items.filter(over)) this._over(item, new TroupeError("closed"));
  }
  _drop(from, count, error) {
    for (const item of this._items.splice(from, count)) this._over(item, error);
  }
  _over(item, error) {
    this._bytes -= item._size;
    item._done(error);
    for (const go of this._waiting.splice(0)) go();
  }
};

// src/talk.ts
var MOST = 1024;
function call(fn, ...args) {
  try {
    fn(...args);
  } catch (e) {
    console.error(e);
  }
}
function add(set, fn) {
  const own = (...args) => fn(...args);
  set.add(own);
  return () => {
    set.delete(own);
  };
}
var Talk = class {
  constructor(_options) {
    this._options = _options;
    this.state = {
      status: "connecting",
      transport: null,
      uid: "",
      session: "",
      resumed: false,
      everOpen: false,
      data: null,
      lost: 0,
      offline: globalThis.navigator?.onLine === false,
      attempt: 0,
      retryAt: 0,
      lastClose: null
    };
    this._watchers = /* @__PURE__ */ new Set();
    this._handlers = /* @__PURE__ */ new Map();
    this._answers = /* @__PURE__ */ new Map();
    /** Loops over events: called for each, and when there will be none. */
    this._streams = /* @__PURE__ */ new Set();
    /** Questions that have no answer yet: ours, and the server's. */
    this._asked = /* @__PURE__ */ new Map();
    this._questions = /* @__PURE__ */ new Map();
    this._lastId = 0;
    this._out = new Outbox(_options.queueBytes ?? 1 << 20);
  }
  on(event, fn) {
    if (!this._handlers.has(event)) this._handlers.set(event, /* @__PURE__ */ new Set());
    return add(this._handlers.get(event), fn);
  }
  watch(fn) {
    return add(this._watchers, fn);
  }
  send(event, data) {
    const sent = new Promise((resolve, reject) => {
      this._say("e ", event, data, (error) => error ? reject(error) : resolve());
    });
    sent.catch(() => {
    });
    return sent;
  }
  async room() {
    const out = this._out;
    while (!this._closed()) {
      if (out._bytes <= out._limit / 2) return;
      await new Promise((go) => out._waiting.push(go));
    }
    throw new TroupeError("closed");
  }
  ask(event, data, { timeout = this._options.askTimeout ?? 1e4, signal } = {}) {
    return new Promise((resolve, reject) => {
      const id = ++this._lastId;
      const stop = (code) => {
        asked._end(new TroupeError(code));
        const item = asked._item;
        if (item?._said) this._owe("c " + id);
        else if (item) this._out._remove(item);
      };
      const cancel = () => stop("canceled");
      const timer = timeout && setTimeout(stop, timeout, "timeout");
      const asked = {
        _end: (error, answer) => {
          clearTimeout(timer);
          signal?.removeEventListener("abort", cancel);
          this._asked.delete(id);
          if (error) reject(error);
          else resolve(answer);
        }
      };
      this._asked.set(id, asked);
      if (signal?.aborted) return cancel();
      signal?.addEventListener("abort", cancel);
      asked._item = this._say(`q ${id} `, event, data, (error) => error && asked._end(error));
    });
  }
  answer(event, fn) {
    this._answers.set(event, fn);
    return () => {
      if (this._answers.get(event) == fn) this._answers.delete(event);
    };
  }
  [Symbol.asyncIterator]() {
    const events = [];
    let lost2 = 0;
    let wake = () => {
    };
    const hear = (event, data) => {
      if (event && events.push({ event, data }) > MOST) {
        const old = events.shift();
        lost2 += old.event == "$gap" ? old.data : 1;
      }
      wake();
    };
    this._streams.add(hear);
    const client = this;
    return (async function* () {
      try {
        for (; ; ) {
          const n = lost2;
          lost2 = 0;
          if (n) yield { event: "$gap", data: n };
          else if (events.length) yield events.shift();
          else if (client._closed()) return;
          else await new Promise((go) => wake = go);
        }
      } finally {
        client._streams.delete(hear);
      }
    })();
  }
  _closed() {
    return this.state.status == "closed";
  }
  /** Changes the state and tells who watches, if anything is different. */
  _set(change) {
    const before = this.state;
    if (Object.entries(change).every(([name, value]) => before[name] === value)) return;
    const now = this.state = { ...before, ...change };
    for (const fn of [...this._watchers]) call(fn, now, before);
  }
  _emit(event, data) {
    for (const name of [event, "*"]) for (const fn of [...this._handlers.get(name) ?? []]) call(fn, data, event);
    for (const hear of this._streams) hear(event, data);
  }
  _gap(n) {
    this._set({ lost: this.state.lost + n });
    this._emit("$gap", n);
  }
  /** Queues what the application says. */
  _say(head, event, data, done) {
    let wire;
    try {
      if (this._closed()) throw new TroupeError("closed");
      if (!/^[^\x00- \x7f-\x9f]+$/.test(event) || sizeOf(event) > 128) throw new Error("not the name of an event: " + event);
      wire = encode(head + event, data, this._options.codec);
    } catch (e) {
      done(e instanceof TroupeError ? e : new TroupeError("invalid", e.message));
      return;
    }
    const item = this._out._push(wire, done);
    this._pump();
    return item;
  }
  /** Queues what the protocol asks of us. */
  _owe(wire, done = () => {
  }) {
    this._out._push(wire, done, true);
    this._pump();
  }
  /** A numbered message, once. Throws if it is malformed; data that cannot be read is the application's affair. */
  _hear(kind, rest) {
    let [event, data] = cut(rest);
    const id = +event;
    const asked = this._asked.get(id);
    let value;
    let error = null;
    if (kind == "q") [event, data] = cut(data);
    try {
      value = kind == "x" ? json(data) : decode(data, this._options.codec);
      if (kind == "x") error = new TroupeError(value.code, value.message, value.data);
    } catch (e) {
      error = new TroupeError("invalid", e.message);
    }
    if (kind == "e" && !error) this._emit(event, value);
    else if (kind == "e") this._gap(1);
    else if (kind == "g") this._gap(id);
    else if (kind == "q") this._reply(id, event, value, error);
    else if (kind == "c") {
      this._questions.get(id)?.abort();
      this._questions.delete(id);
    } else asked?._end(error, value);
  }
  async _reply(id, event, question, error) {
    const abort = new AbortController();
    this._questions.set(id, abort);
    const failure = (e) => {
      const { code, message, data } = e;
      const wire2 = `x ${id} ` + JSON.stringify({ code, message, data });
      return this._options.codec ? utf8(wire2) : wire2;
    };
    let wire;
    try {
      const fn = this._answers.get(event);
      if (!fn) throw new TroupeError("unknown");
      if (error) throw error;
      wire = encode("r " + id, await fn(question, { signal: abort.signal }), this._options.codec);
    } catch (e) {
      if (!(e instanceof TroupeError)) {
        console.error(e);
        e = new TroupeError("failed");
      }
      wire = failure(e);
    }
    if (this._questions.get(id) != abort) return;
    this._questions.delete(id);
    this._owe(wire, (error2) => error2?.code == "large" && this._owe(failure(error2)));
  }
  /** The session is over. What was written in it, nobody knows about; questions that wait to be written go to the next one. */
  _forget(all) {
    for (const asked of [...this._asked.values()]) {
      if (all || asked._item?._said) asked._end(new TroupeError("closed"));
    }
    for (const abort of this._questions.values()) abort.abort();
    this._questions.clear();
    this._out._forget(all);
    if (all) for (const hear of this._streams) hear();
  }
};

// src/session.ts
var EVENTS = ["online", "offline", "focus", "visibilitychange", "pageshow", "pagehide"];
var page = globalThis;
var malformed = (what) => new Error("malformed " + what);
var ask = (from) => typeof from == "function" ? from() : from;
var Session = class extends Talk {
  constructor(url, options) {
    super(options);
    this._received = 0;
    /** What came and has not been acknowledged yet. */
    this._owed = 0;
    this._owedBytes = 0;
    /** The place of the transport that opened last, and of one that did not work. */
    this._start = 0;
    this._attempt = 0;
    this._upgrade = 3e4 /* Upgrade */;
    this._pageEvent = (e) => this._page(e.type);
    this._url = new URL(url, page.location?.href);
    this._WebSocket = options.WebSocket ?? page.WebSocket;
    this._protocol = "troupe.v1." + (options.codec?.name ?? "json");
    this.client = options.client ?? "js-" + Math.random().toString(36).slice(2);
    this._choose(options.transports ?? ["ws", "sse", "poll"]);
    this._begin();
  }
  close() {
    if (this._closed()) return;
    this._leave(true);
    this._end({ code: 1e3, reason: "", cause: "client" });
  }
  reconnect() {
    this._leave(true);
    this._renew();
    this._attempt = this._start = 0;
    if (this._closed()) this._begin();
    else this._connect();
  }
  use(...transports) {
    this._choose(transports);
    if (this._closed()) return;
    this._next?._close();
    this._next = null;
    this._start = 0;
    clearTimeout(this._upgradeTimer);
    if (!this._link) return this._connect();
    this._link._ack();
    if (this._link._kind != this._kinds[0]) this._try(0);
  }
  break() {
    const link = this._link ?? this._next;
    if (link) this._down(link, lost("break()", false, "client"));
  }
  // The life of connections.
  _choose(transports) {
    this._kinds = transports.filter((kind) => kind != "ws" || this._WebSocket);
    if (!this._kinds.length) throw new TroupeError("invalid", "no transport of " + transports);
  }
  _begin() {
    for (const event of EVENTS) page.addEventListener?.(event, this._pageEvent);
    this._connect();
  }
  /** Tries the transport that worked last. */
  _connect() {
    clearTimeout(this._retryTimer);
    if (this._hidden) return;
    this._set({ status: "connecting", retryAt: 0 });
    if (!this._closed()) this._try(Math.min(this._start, this._kinds.length - 1));
  }
  _try(index) {
    const link = this._next = new Link(this, index);
    link._timer = setTimeout(() => this._down(link, lost("no answer", true, "dead")), index + 1 < this._kinds.length ? 5e3 /* Try */ : 15e3 /* LastTry */);
    link._start();
  }
  _down(link, why) {
    const opening = link == this._next;
    if (!opening && link != this._link) return;
    link._close();
    if (opening) {
      this._next = null;
      if (this._link) {
        this._link._ack();
        return this._upgradeLater();
      }
      if (why._blame && link._index + 1 < this._kinds.length) return this._try(link._index + 1);
    } else {
      this._link = null;
      this._attempt = Date.now() - link._since < 5e3 /* Good */ ? 1 : 0;
      this._quiet();
    }
    const { code, reason, cause, status } = why;
    if (opening || status) this._start = 0;
    const lastClose = { code, reason, cause, status };
    if (why._final) return this._end(lastClose);
    if (this._next) return code == 3001 ? void 0 : this._set({ status: "connecting", lastClose });
    this._hinted = why._retry !== void 0;
    const delay = this._delay(this._attempt++, why._retry, cause == "goodbye");
    this._retryTimer = setTimeout(() => this._connect(), delay);
    this._set({ status: "waiting", retryAt: Date.now() + delay, attempt: this._attempt, lastClose });
  }
  /** Drops all connections, saying goodbye if the session is to end. */
  _leave(end) {
    if (end) this._link?._bye(1e3);
    this._link?._close();
    this._next?._close();
    this._link = this._next = null;
    clearTimeout(this._retryTimer);
    this._quiet();
  }
  _end(lastClose) {
    this._leave();
    for (const event of EVENTS) page.removeEventListener?.(event, this._pageEvent);
    this._set({ status: "closed", retryAt: 0, lastClose });
    if (this._closed()) this._renew(true);
  }
  /** The next session is another one. */
  _renew(all = false) {
    this._id = void 0;
    this._received = 0;
    this._forget(all);
  }
  _quiet() {
    clearTimeout(this._ackTimer);
    clearTimeout(this._watchdogTimer);
    clearTimeout(this._upgradeTimer);
    this._ackTimer = 0;
    this._owed = this._owedBytes = 0;
  }
  /** While something else carries the session, what is wanted more is tried from time to time. */
  _upgradeLater() {
    clearTimeout(this._upgradeTimer);
    const want = this._kinds[0];
    const have = this._link._kind;
    if (have == want || want != "ws" && this._kinds.includes(have)) return;
    this._upgradeTimer = setTimeout(() => this._next || this._try(0), this._upgrade * (1 + Math.random() / 4));
    this._upgrade = Math.min(2 * this._upgrade, 6e5 /* UpgradeMost */);
  }
  // What connections ask.
  async _hello() {
    const { token, csrf, ticket, data } = this._options;
    const [t, c, k] = await Promise.all([ask(token), ask(csrf), ask(ticket)]);
    return { v: 1, client: this.client, token: t, csrf: c, ticket: k, data, ...this._named() };
  }
  _named() {
    return this._id ? { session: this._id, secret: this._secret, received: this._received, acked: this._out._acked } : {};
  }
  /** The hint of a goodbye is a slot: the server gave it to this client alone, and spreads all of them itself. */
  _delay(attempt, hint, slot) {
    if (this._options.backoff) return this._options.backoff(attempt, hint);
    if (slot && hint) return hint;
    const most = attempt || hint ? Math.min(3e4, 2 ** attempt * 500) : 100;
    return (hint ?? 0) + Math.random() * most;
  }
  // What connections bring.
  _message(link, m) {
    this._alive(link);
    const out = this._out;
    const [kind, rest] = cut(m);
    try {
      if (kind == "h") this._welcome(link, json(rest));
      else if (kind == "b") {
        const { code, reason = "", retry } = json(rest);
        this._down(link, { code, reason, cause: "goodbye", _retry: retry, _final: isFinal(code) });
      } else if (!link._open) throw malformed(kind);
      else if (kind == "p") link._say("o");
      else if (kind == "t") this._refresh(link);
      else if (kind == "a" && out._ack(+text(rest))) link._pump();
      else if (kind == "k" && out._keep(Math.max(+text(rest), out._kept))) return;
      else if (/^[eqrxcg]$/.test(kind)) this._numbered(link, kind, rest, m);
      else if (kind != "o") throw malformed(kind);
    } catch (e) {
      if (!link._open) return this._down(link, lost(e, true));
      link._bye(1002);
      this._end({ code: 1002, reason: e.message, cause: "protocol" });
    }
  }
  _welcome(link, h) {
    const { everOpen } = this.state;
    if (!h.resumed) this._renew();
    const out = this._out;
    if (h.v != 1 || h.from > this._received || !out._ack(h.acked) || !out._keep(h.received)) throw malformed("h");
    out._rewind();
    this._quiet();
    if (link == this._next) {
      this._link?._close();
      this._link = link;
      this._next = null;
    }
    clearTimeout(link._timer);
    link._open = true;
    link._since ||= Date.now();
    link._at = h.from;
    this._id = h.session;
    this._secret = h.secret;
    this._limits = h;
    out._window = h.window;
    out._windowBytes = h.windowBytes;
    out._max = h.max;
    this._attempt = 0;
    this._start = link._index;
    if (link._kind == "ws") {
      this._upgrade = 2e3 /* UpgradeSoon */;
      this._trusted = true;
    }
    this._alive(link);
    this._watch(this._patience());
    this._upgradeLater();
    this._set({
      status: "open",
      transport: link._kind,
      uid: h.uid ?? "",
      session: h.session,
      resumed: h.resumed,
      everOpen: true,
      data: h.data ?? null,
      attempt: 0,
      retryAt: 0
    });
    if (everOpen && !h.resumed) this._emit("$session", this.state);
    if (!link._shut) link._pump();
  }
  _numbered(link, kind, rest, m) {
    if (++link._at > this._received) {
      this._received = link._at;
      this._hear(kind, rest);
      if (link._shut) return;
    }
    this._owed++;
    this._owedBytes += sizeOf(m);
    if (2 * this._owed >= this._limits.window || 2 * this._owedBytes >= this._limits.windowBytes) this._acknowledge();
    else this._ackTimer ||= setTimeout(() => this._acknowledge(), 500 /* Ack */);
  }
  _acknowledge() {
    clearTimeout(this._ackTimer);
    this._ackTimer = 0;
    if (this._next || !this._owed) return;
    this._owed = this._owedBytes = 0;
    this._link._ack();
  }
  async _refresh(link) {
    try {
      const token = await ask(this._options.token);
      if (!link._shut) link._say("t " + JSON.stringify(token ?? ""));
      link._first.token = token;
    } catch (e) {
      console.error(e);
    }
  }
  _pump() {
    this._link?._pump();
  }
  // Whether the connection is alive.
  _patience() {
    const { ping, pong, hold } = this._limits;
    return (this._link?._kind == "poll" ? Math.max(ping, hold) : ping) + pong;
  }
  _alive(link) {
    if (link != this._link) return;
    this._last = Date.now();
    this._probing = false;
  }
  _watch(ms) {
    clearTimeout(this._watchdogTimer);
    this._due = Date.now() + ms;
    this._watchdogTimer = setTimeout(() => {
      const now = Date.now();
      const left = this._last + this._patience() - now;
      if (now - this._due > (this._probing ? 65e3 /* LateProbe */ : 3e3 /* Late */)) this._probe();
      else if (!this._probing && left > 0) this._watch(left);
      else this._down(this._link, lost("no answer", false, "dead"));
    }, ms);
  }
  /** Asks whether the server is there, and does not wait long. */
  _probe() {
    this._link._say("p");
    this._probing = true;
    this._watch(5e3 /* Probe */);
  }
  /** Things may have changed while nobody looked. */
  _wake(sure) {
    if (this.state.status == "waiting") {
      if (sure || !this._hinted) this._connect();
    } else if (this._link) {
      if (!this._probing && (sure || Date.now() - this._last > 5e3 /* Probe */)) this._probe();
      if (sure) {
        this._upgrade = 2e3 /* UpgradeSoon */;
        this._upgradeLater();
      }
    }
  }
  _page(event) {
    if (event == "pagehide") {
      this._hidden = true;
      this._leave();
      this._set({ status: "waiting", retryAt: 0, lastClose: { code: 1006, reason: event, cause: "client" } });
      return;
    }
    if (event == "pageshow") this._hidden = false;
    if (event[0] == "o") this._set({ offline: event == "offline" });
    if (event == "offline") {
      if (this._link && !this._probing) this._probe();
    } else if (!page.document?.hidden) this._wake(event[0] != "f" && event[0] != "v");
  }
};

// src/index.ts
function connect(url, options = {}) {
  return new Session(url, options);
}
export {
  TroupeError,
  connect
};
