// A connection: a WebSocket, or an answer that streams, or polls, with POSTs beside them.
import type { Close, Transport } from "./api.js";
import type { Session } from "./session.js";
import { base64, unbase64, utf8, type Wire } from "./wire.js";

/** Why a connection ended. */
export interface Down extends Close {
  /** In ms: when the server wants to see the client again. */
  _retry?: number;
  /** There is no use in trying again. */
  _final?: boolean;
  /** The transport may be what failed: another one may work. */
  _blame?: boolean;
}

export const lost = (reason: unknown, _blame?: boolean, cause: Down["cause"] = "lost"): Down => ({
  code: 1006,
  reason: String((reason as Error)?.message ?? reason),
  cause,
  _blame,
});

/** Whether a goodbye with this code is for good. */
export const isFinal = (code: number): boolean =>
  code < 3000 ? code < 1011 && ![1001, 1005, 1006].includes(code) : code % 1000 > 499;

const ACK = "a ";

export class Link {
  /** The number of the last message that came here. */
  _at!: number;
  /** The server's hello has come. */
  _open?: boolean;
  _shut?: boolean;
  /** When it opened. */
  _since?: number;
  _timer: any;

  _ws: any;
  _first: any;
  _abort = new AbortController();
  _control: string[] = [];
  /** Which POSTs are under way: 0 with what has no number, 1 with what has. */
  _posting: boolean[] = [];

  readonly _kind: Transport;

  /** index is its place among the transports. */
  constructor(
    readonly _host: Session,
    readonly _index: number,
  ) {
    this._kind = _host._kinds[_index];
  }

  async _start(): Promise<void> {
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
  async _check(): Promise<void> {
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
  _say(m: string): void {
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
  _fill(m: string): string {
    return m == ACK ? m + Math.min(this._at, this._host._next?._first?.received ?? this._at) : m;
  }

  /** Acknowledges all that has come. A poll does so by itself. */
  _ack(): void {
    if (this._kind != "poll") this._say(ACK);
  }

  /** Writes what the window allows. */
  _pump(): void {
    if (this._ws) for (let item; !this._shut && (item = this._host._out._next()); ) this._ws.send(item._wire);
    else this._flush(1);
  }

  /** Says goodbye, and closes. */
  _bye(code: number): void {
    const m = `b {"code":${code},"end":true}`;
    if (!this._open || this._shut) return this._close();
    if (this._ws) this._ws.send(m);
    else this._post("none", [m], undefined, true).catch(() => {});
    this._close();
  }

  /** Closes without a word. Nothing is heard of it any more. */
  _close(): void {
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

  _fail(why: unknown): void {
    if (!this._shut) this._host._down(this, (why as Down)?.cause ? (why as Down) : lost(why));
  }

  _take(m: Wire): void {
    if (!this._shut) this._host._message(this, m);
  }

  _runSocket(): void {
    const hello = base64(utf8(JSON.stringify(this._first)))
      .replace(/\+/g, "-")
      .replace(/\//g, "_")
      .replace(/=/g, "");
    const ws = new this._host._WebSocket(this._address("ws"), [this._host._protocol, "troupe.hello." + hello]);
    this._ws = ws;
    ws.binaryType = "arraybuffer";
    ws.onerror = () => {}; // onclose follows
    ws.onmessage = (e: any) => this._take(typeof e.data == "string" ? e.data : new Uint8Array(e.data));
    ws.onclose = (e: any) => {
      const { _trusted, _kinds, _link } = this._host;
      if (!this._open) return (_trusted || !_kinds[1]) && !_link ? void this._check() : this._fail(lost("no WebSocket", true));
      const { code, reason } = e;
      this._fail(code == 1005 || code == 1006 ? lost(reason || "closed") : { code, reason, cause: "goodbye", _final: isFinal(code) });
    };
  }

  async _runStream(): Promise<void> {
    const reader = (await this._answer("sse", "text/event-stream")).body.getReader();
    const decoder = new TextDecoder();
    for (let rest = ""; ; ) {
      const { done, value } = await reader.read();
      if (done) throw lost("closed", !this._open);
      this._host._alive(this);
      const more = decoder.decode(value, { stream: true });
      rest += more;
      if (!more.includes("\n")) continue;
      const lines = rest.split(/\r?\n/);
      rest = lines.pop()!;
      for (const line of lines) if (line.startsWith("data:")) this._line(line.slice(5).trimStart());
    }
  }

  async _runPolls(): Promise<void> {
    const host = this._host;
    for (;;) {
      const at = host._received;
      const text: string = await (await this._answer("poll", "text/plain")).text();
      if (this._shut) return;
      host._alive(this);
      this._at = at;
      for (const line of text.split("\n")) if (line) this._line(line);
      if (!this._open) throw lost("no answer");
      // Who answers at once and with nothing is not asked in a loop. And to ask is to acknowledge: not while another connection opens.
      if (!text || host._next) do await new Promise((go) => setTimeout(go, 50)); while (host._next && !this._shut);
      if (this._shut) return;
    }
  }

  _line(line: string): void {
    this._take(line[0] == "~" ? unbase64(line.slice(1)) : line);
  }

  /**
   * What is to be said, one POST at a time. One that fails is made again, with the same numbers. What has a number may have to wait at
   * the server, perhaps for the acknowledgement that has none: so each kind goes its own way.
   */
  async _flush(numbered: 0 | 1): Promise<void> {
    if (this._posting[numbered]) return;
    this._posting[numbered] = true;
    await null; // what is said at one go is one POST
    const out = this._host._out;
    for (let failures = 0; !this._shut; ) {
      const lines = numbered ? [] : this._control.map((m) => this._fill(m));
      const control = lines.length;
      if (numbered) {
        out._rewind();
        for (let item; (item = out._next()); ) lines.push(typeof item._wire == "string" ? item._wire : "~" + base64(item._wire));
      }
      if (!lines.length) break;
      const timer = setTimeout(() => this._fail(lost("no answer", false, "dead")), this._host._patience());
      try {
        const m = /^k \d+/.exec(await (await this._post("none", lines, numbered ? out._kept : undefined)).text());
        if (!m) throw lost("no answer");
        failures = 0;
        this._control.splice(0, control);
        this._take(m[0]);
      } catch (e) {
        const why = e as Down;
        const again = [401, 403, 410].includes(why.status!); // a hello may be heard
        if (why._final) this._fail({ ...why, _final: !again });
        else await new Promise((go) => setTimeout(go, this._host._delay(failures++, why._retry)));
      } finally {
        clearTimeout(timer);
      }
    }
    this._posting[numbered] = false;
  }

  _address(scheme: string): string {
    const url = new URL(this._host._url);
    url.protocol = url.protocol.replace(/^(http|ws)/, scheme);
    this._host._options.params?.(url.searchParams);
    return url.href;
  }

  async _answer(down: string, type: string): Promise<any> {
    const response = await this._post(down);
    if (!response.headers.get("content-type")?.startsWith(type)) throw lost("no answer", true);
    return response;
  }

  async _post(down: string, lines: string[] = [], from?: number, last?: boolean): Promise<any> {
    const host = this._host;
    const hello = { ...this._first, ...host._named(), codec: host._protocol, down, from };
    if (this._open) (hello as any).ticket = (hello as any).data = undefined; // they were for the first
    else (hello as any).first = down == "poll" || undefined;
    const response = await (host._options.fetch ?? fetch)(this._address("http"), {
      method: "POST",
      headers: { "content-type": "text/plain;charset=utf-8", ...host._options.headers },
      body: ["h " + JSON.stringify(hello), ...lines].join("\n"),
      cache: "no-store",
      keepalive: last,
      signal: last ? undefined : this._abort.signal,
    });
    if (response.ok) return response;
    const status = response.status;
    const told = await response.json().catch(() => ({}));
    const after = 1000 * response.headers.get("retry-after") || undefined;
    const retry = told.retry ?? after;
    throw {
      code: told.code ?? "http",
      reason: told.reason ?? response.statusText,
      cause: "refused",
      status,
      _retry: retry,
      _final: retry === undefined && (!!told.code || (status < 500 && ![408, 425, 429].includes(status))),
    } satisfies Down;
  }
}
