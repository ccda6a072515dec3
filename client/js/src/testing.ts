// A server in memory, for tests: of this client, and of what is built on it.
import { TroupeError, type Codec } from "./api.js";
import { base64, cut, decode, encode, join, json, sizeOf, text, unbase64, utf8, type Wire } from "./wire.js";

/** A refusal, as HTTP says it. */
export interface Refusal {
  status: number;
  code?: string;
  reason?: string;
  retry?: number;
  headers?: Record<string, string>;
}

/** What a fake server does. All may be changed at any time. */
export interface Behaviour {
  /** What the hello says besides session, secret, resumed and numbers: uid, ping, pong, hold, window, windowBytes, max, data. */
  hello: Record<string, unknown>;
  /** `refuse`: no upgrade; `silent`: neither an answer nor an end. */
  webSockets: "open" | "refuse" | "silent";
  /** `buffer`: as a proxy that keeps the stream to itself; `break`: as a server that is not there; `silent`: nothing comes. */
  streams: "open" | "buffer" | "break";
  polls: "open" | "silent" | "break";
  /** Whether the client's messages are acknowledged as they come. */
  acknowledge: boolean;
  /** Who is not let in. Called with the client's hello. */
  refuse(hello: any): Refusal | undefined;
  /** A POST that carries messages is lost before the server has it, or its answer is, or is never given; or it is refused. */
  post(hello: any): "lost" | "answer lost" | "silent" | Refusal | undefined;
  /** What the client said: an event. */
  heard(session: FakeSession, event: string, data: any): void;
  /** What the client asks. What is thrown is told: a TroupeError as it is. */
  asked(session: FakeSession, event: string, data: any, signal: AbortSignal): unknown;
  /** Brings something to the other side. Default: as a microtask. */
  later(go: () => void): void;
  /** Brings a POST to the server; POSTs need not keep their order. Default: as `later` does. */
  carry(go: () => void): void;
  codec?: Codec;
}

interface Link {
  readonly kind: "ws" | "sse" | "poll";
  send(m: Wire): void;
  /** A poll takes what there is and is over. */
  flush?(): void;
  end(code: number, reason: string): void;
}

/** A session as the server has it. */
export class FakeSession {
  readonly id: string;
  readonly secret = Math.random().toString(36).slice(2);
  /** The client's hellos, the last one last. */
  readonly hellos: any[] = [];
  /** Messages of the client, as they came: those without numbers, and those that came twice, included. */
  readonly wire: string[] = [];
  /** Numbers: of the client's last message, and of the last of ours that it acknowledged. */
  received = 0;
  acknowledged = 0;
  link: Link | undefined;
  ended = false;

  private at = 0;
  private told = 0;
  private out: Wire[] = [];
  private sent = 0;
  private questions = new Map<number, { resolve(data: any): void; reject(e: unknown): void }>();
  private asked = new Map<number, AbortController>();
  private lastId = 0;

  constructor(
    readonly server: FakeServer,
    readonly hello: any,
  ) {
    this.id = `session-${server.sessions.size + 1}`;
  }

  /** Says an event. */
  emit(event: string, data?: unknown): void {
    this.say(encode("e " + event, data, this.server.codec));
  }

  /** Asks the client. */
  ask(event: string, data?: unknown): Promise<any> & { cancel(): void } {
    const id = ++this.lastId;
    const answer = new Promise((resolve, reject) => this.questions.set(id, { resolve, reject }));
    this.say(encode(`q ${id} ${event}`, data, this.server.codec));
    return Object.assign(answer, { cancel: () => this.say("c " + id) });
  }

  /** Tells that n messages are lost. */
  gap(n: number): void {
    this.say("g " + n);
  }

  /** Says a numbered message, as it is. */
  say(m: Wire): void {
    this.out.push(m);
    this.flush();
  }

  /** Says a message without a number, or one that no server says. */
  raw(m: Wire): void {
    this.link?.send(m);
    this.link?.flush?.();
  }

  /** Acknowledges what came. */
  acknowledge(): void {
    this.told = this.received;
    this.raw("a " + this.received);
  }

  /** Says goodbye. */
  bye(code: number, reason = "", more: object = {}): void {
    this.raw(`b ${JSON.stringify({ code, reason, ...more })}`);
    this.drop(code, reason);
  }

  /** Drops the connection without a word. */
  cut(): void {
    this.drop(1006, "");
  }

  /** Forgets the session, as after its grace. */
  expire(): void {
    this.server.sessions.delete(this.id);
    this.cut();
  }

  private drop(code: number, reason: string): void {
    const link = this.link;
    this.link = undefined;
    link?.end(code, reason);
  }

  /** @internal A connection begins to carry this session. */
  attach(link: Link, hello: any, resumed: boolean): void {
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
  again(link: Link, hello: any): void {
    const old = this.link;
    this.link = undefined;
    old?.end(1000, "");
    this.sent = 0;
    this.has(hello.received);
    this.link = link;
    if (this.server.acknowledge && hello.acked < this.received) this.acknowledge(); // the last answer may have been lost
    this.flush();
  }

  /** @internal What a client said on a connection, or in a POST behind a number. Returns the number of what comes before the next. */
  take(m: Wire, from?: number): number {
    const numbered = /^[eqrxc]$/.test(cut(m)[0]);
    const n = from === undefined ? (this.at += +numbered) : from + +numbered;
    const late = from !== undefined && text(m).startsWith("a ") && +text(m).slice(2) < this.acknowledged; // by a POST that was given up
    if (!late) this.hear(m, numbered && n);
    return n;
  }

  private hear(m: Wire, n: number | false): void {
    const { server } = this;
    const [kind, rest] = cut(m);
    this.wire.push(text(m));
    if (kind == "p") return this.raw("o");
    if (kind == "o" || kind == "t") return;
    if (kind == "a") return this.has(+text(rest!));
    if (kind == "b") {
      this.ended = !!json(rest).end;
      if (this.ended) server.sessions.delete(this.id);
      return this.drop(1000, "");
    }
    if (n === false) return server.wrong("no such message: " + kind);
    if (n <= this.received) return;
    this.received = n;
    if (this.received - this.told > server.window) server.wrong("more than the window");
    if (sizeOf(m) > server.max) server.wrong("larger than max");
    if (server.acknowledge && this.link?.kind == "ws") this.acknowledge();
    this.numbered(kind, rest!);
  }

  private numbered(kind: string, rest: Wire): void {
    const { server } = this;
    const [field, data] = cut(rest);
    const question = this.questions.get(+field);
    if (kind == "e") server.heard(this, field, decode(data, server.codec));
    else if (kind == "q") this.answer(+field, ...cut(data!));
    else if (kind == "c") this.asked.get(+field)?.abort();
    else if (kind == "r") question?.resolve(decode(data, server.codec));
    else {
      const e = json(data);
      question?.reject(new TroupeError(e.code, e.message, e.data));
    }
  }

  private async answer(id: number, event: string, data: Wire | undefined): Promise<void> {
    const { codec } = this.server;
    const abort = new AbortController();
    this.asked.set(id, abort);
    let m: Wire;
    try {
      m = encode("r " + id, await this.server.asked(this, event, decode(data, codec), abort.signal), codec);
    } catch (e) {
      const { code = "failed", message = "", data } = e as TroupeError;
      const told = JSON.stringify({ code, message, data });
      m = codec ? join("x " + id, utf8(told)) : `x ${id} ${told}`;
    }
    if (!abort.signal.aborted) this.say(m);
  }

  /** @internal Whether the client can have received so much and no more. */
  knows(n: number): boolean {
    return n >= this.acknowledged && n <= this.acknowledged + this.out.length;
  }

  /** The client has all up to number n. */
  private has(n: number): void {
    if (!this.knows(n) || (this.link && n > this.acknowledged + this.sent)) {
      return this.server.wrong(`acknowledges ${n}, of ${this.acknowledged} to ${this.acknowledged + this.sent}`);
    }
    this.out.splice(0, n - this.acknowledged);
    this.sent = Math.max(0, this.sent - (n - this.acknowledged));
    this.acknowledged = n;
    this.flush();
  }

  private flush(): void {
    while (this.link && this.sent < this.out.length && this.sent < this.server.window) this.link.send(this.out[this.sent++]);
    this.link?.flush?.();
  }
}

/**
 * A server that speaks the protocol in memory. Give `server.options` to `connect`, with any URL.
 *
 *     const server = new FakeServer({ heard: (session, event, data) => session.emit("said", data) });
 *     const client = connect("http://test/events", server.options);
 */
export class FakeServer implements Behaviour {
  hello: Record<string, unknown> = { uid: "ann", ping: 25_000, pong: 10_000, hold: 20_000, grace: 120_000, window: 256, windowBytes: 262_144, max: 4_194_304 };
  webSockets: Behaviour["webSockets"] = "open";
  streams: Behaviour["streams"] = "open";
  polls: Behaviour["polls"] = "open";
  acknowledge = true;
  codec?: Codec;
  refuse: Behaviour["refuse"] = () => undefined;
  post: Behaviour["post"] = () => undefined;
  heard: Behaviour["heard"] = () => {};
  later: Behaviour["later"] = queueMicrotask;
  carry: Behaviour["carry"] = (go) => this.later(go);
  asked: Behaviour["asked"] = () => {
    throw new TroupeError("unknown");
  };

  readonly sessions = new Map<string, FakeSession>();
  /** The last session that began. */
  session!: FakeSession;
  /** All hellos that came, those of POSTs included. */
  readonly requests: any[] = [];
  /** What the client did that the protocol does not allow. */
  readonly errors: string[] = [];
  /** What `connect` needs. */
  readonly options: { WebSocket: any; fetch: any; codec?: Codec };

  constructor(behaviour: Partial<Behaviour> = {}) {
    const { hello, ...rest } = behaviour;
    Object.assign(this, rest);
    Object.assign(this.hello, hello);
    const server = this;
    this.options = {
      WebSocket: class extends FakeWebSocket {
        constructor(url: string, protocols: string[]) {
          super(server, url, protocols);
        }
      },
      fetch: (url: string, init: any) => this.fetch(url, init),
      codec: this.codec,
    };
  }

  get window(): number {
    return this.hello.window as number;
  }

  get max(): number {
    return this.hello.max as number;
  }

  /** Ends all connections, and knows nothing of their sessions. */
  restart(): void {
    for (const session of [...this.sessions.values()]) session.expire();
  }

  /** @internal */
  wrong(what: string): void {
    this.errors.push(what);
  }

  /** @internal The session of a hello, and whether it is the one the hello names. */
  enter(hello: any): [FakeSession, boolean] {
    const old = this.sessions.get(hello.session);
    if (old && old.secret === hello.secret && old.knows(hello.received)) return [old, true];
    const session = new FakeSession(this, hello);
    this.sessions.set(session.id, session);
    this.session = session;
    return [session, false];
  }

  private async fetch(_url: string, { body, signal }: { body: string; signal?: AbortSignal }): Promise<Response> {
    await new Promise<void>((go) => this.carry(go));
    const lines = body.split("\n").map((line): Wire => (line[0] == "~" ? unbase64(line.slice(1)) : line));
    const hello = json((lines.shift() as string).slice(2));
    this.requests.push(hello);
    const { down } = hello;
    if (down == "sse" && this.streams == "break") throw new TypeError("fetch failed");
    if (down == "poll" && this.polls == "break") throw new TypeError("fetch failed");
    const fault = down == "none" ? this.post(hello) : this.refuse(hello);
    if (fault == "lost") throw new TypeError("fetch failed");
    if (fault && typeof fault != "string") return refusal(fault);
    if (down == "check") return new Response("");
    if (down == "none") {
      const session = this.sessions.get(hello.session);
      if (session?.secret !== hello.secret || !session!.knows(hello.received)) return refusal({ status: 410, code: "session" });
      if (hello.from > session!.received) return refusal({ status: 400, code: "numbers" });
      let from = hello.from ?? 0;
      for (const m of lines) from = session!.take(m, from);
      if (fault == "silent") await aborted(signal);
      if (fault) throw new TypeError("fetch failed");
      if (this.acknowledge) session!.acknowledge();
      return new Response("k " + session!.received);
    }
    const [session, resumed] = this.enter(hello);
    return down == "sse" ? this.stream(session, hello, resumed, signal) : this.poll(session, hello, resumed, signal);
  }

  private stream(session: FakeSession, hello: any, resumed: boolean, signal?: AbortSignal): Promise<Response> | Response {
    if (this.streams == "buffer") return aborted(signal);
    let to!: ReadableStreamDefaultController;
    const over = (close: () => void) => {
      try {
        close();
      } catch {} // it is closed already
    };
    const body = new ReadableStream({ start: (controller) => void (to = controller), cancel: () => over(() => {}) });
    const link: Link = {
      kind: "sse",
      send: (m) => this.later(() => send(m)),
      end: (code) => this.later(() => over(() => (code == 1006 ? to.error(new TypeError("network")) : to.close()))),
    };
    const send = (m: Wire) => {
      try {
        to.enqueue(utf8(`data: ${line(m)}\n\n`));
      } catch {} // it is closed already
    };
    signal?.addEventListener("abort", () => {
      over(() => to.error(signal.reason));
      if (session.link == link) session.link = undefined;
    });
    session.attach(link, hello, resumed);
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  }

  private poll(session: FakeSession, hello: any, resumed: boolean, signal?: AbortSignal): Promise<Response> {
    return new Promise((resolve, reject) => {
      const lines: string[] = [];
      const answer = (status: number) => {
        clearTimeout(hold);
        signal?.removeEventListener("abort", abort);
        link.send = () => {};
        link.flush = undefined;
        const headers = { "content-type": "text/plain; charset=utf-8" };
        this.later(() => (status ? resolve(new Response(lines.join("\n"), { headers })) : reject(new TypeError("network"))));
      };
      const hold = this.polls == "open" ? setTimeout(() => answer(200), this.hello.hold as number) : undefined;
      const link: Link = {
        kind: "poll",
        send: (m) => void lines.push(line(m)),
        flush: () => void (lines.length && this.polls == "open" && answer(200)),
        end: (code) => answer(code == 1006 ? 0 : 200),
      };
      const abort = () => answer(0);
      signal?.addEventListener("abort", abort);
      if (resumed && !hello.first && session.link?.kind == "poll") session.again(link, hello);
      else session.attach(link, hello, resumed);
    });
  }
}

const aborted = (signal?: AbortSignal) =>
  new Promise<never>((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));

const line = (m: Wire): string => (typeof m == "string" ? m : "~" + base64(m));

function refusal({ status, headers, ...body }: Refusal): Response {
  const told = body.code ? JSON.stringify(body) : "<html>";
  return new Response(told, { status, headers: { "content-type": body.code ? "application/json" : "text/html", ...headers } });
}

class FakeWebSocket {
  onmessage: ((e: any) => void) | null = null;
  onclose: ((e: any) => void) | null = null;
  onerror: ((e: any) => void) | null = null;
  readyState = 0;
  private session: FakeSession | undefined;
  private link: Link;

  constructor(
    private server: FakeServer,
    readonly url: string,
    protocols: string[],
  ) {
    this.link = {
      kind: "ws",
      send: (m) => server.later(() => this.readyState == 1 && this.onmessage?.({ data: typeof m == "string" ? m : m.slice().buffer })),
      end: (code, reason) => server.later(() => this.over(code, reason)),
    };
    server.later(() => this.open(protocols));
  }

  private open([protocol, hidden]: string[]): void {
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

  send(m: string | Uint8Array): void {
    if (this.readyState == 0) throw new Error("connecting");
    this.server.later(() => this.session?.link == this.link && this.session.take(typeof m == "string" ? m : m.slice()));
  }

  close(): void {
    if (this.readyState > 1) return;
    this.readyState = 2;
    this.server.later(() => {
      if (this.session?.link == this.link) this.session.link = undefined;
      this.over(1005, "");
    });
  }

  private over(code: number, reason: string): void {
    if (this.readyState == 3) return;
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }
}
