// A session, and the connections that carry it, one after another.
import { TroupeError } from "./api.js";
import type { Close, Options, Secret, Transport } from "./api.js";
import { isFinal, Link, lost, type Down } from "./link.js";
import { Talk } from "./talk.js";
import { cut, json, sizeOf, text, type Wire } from "./wire.js";

/** All in ms. An enum, as its values are put where they are used: that is smaller. */
const enum Ms {
  /** How long a transport has to bring the server's hello, if there is another one to try; and if there is not. */
  Try = 5_000,
  LastTry = 15_000,
  /** How long a connection that may be dead has to say something. */
  Probe = 5_000,
  /** A timer this late was frozen: the machine slept, or the tab did. That of a probe may be as late as hidden pages are served. */
  Late = 3_000,
  LateProbe = 65_000,
  /** A connection that lived so long was a good one. */
  Good = 5_000,
  /** How long an acknowledgement waits for more to acknowledge. */
  Ack = 500,
  /** When a WebSocket is tried again: at first, if there was one before, and at most. Each time it doubles. */
  Upgrade = 30_000,
  UpgradeSoon = 2_000,
  UpgradeMost = 600_000,
}

/** What a browser tells of its page and its network. */
const EVENTS = ["online", "offline", "focus", "visibilitychange", "pageshow", "pagehide"];
const page: any = globalThis;

const malformed = (what: string) => new Error("malformed " + what);

const ask = (from?: Secret) => (typeof from == "function" ? from() : from);

export class Session extends Talk {
  readonly client: string;
  readonly _protocol: string;
  readonly _url: URL;
  readonly _WebSocket: any;
  _kinds!: Transport[];

  /** What carries the session. */
  _link?: Link | null;
  /** What is to carry it: the only one, or one beside. */
  _next?: Link | null;

  /** Of the session: its name, its secret, the number of the last message that came, the server's hello. */
  _id?: string;
  _secret?: string;
  _received = 0;
  _limits: any;
  /** What came and has not been acknowledged yet. */
  _owed = 0;
  _owedBytes = 0;

  /** The place of the transport that opened last, and of one that did not work. */
  _start = 0;
  _attempt = 0;
  /** The server said when to come back. */
  _hinted?: boolean;
  _upgrade: number = Ms.Upgrade;
  /** WebSockets have worked: one that does not open may be the server's doing, and is tried once more before anything else. */
  _trusted?: boolean;
  /** The page is hidden, perhaps for good. */
  _hidden?: boolean;
  readonly _pageEvent = (e: Event) => this._page(e.type);

  /** When something came last, when the watchdog is due, and whether it waits for the answer to a probe. */
  _last!: number;
  _due!: number;
  _probing?: boolean;

  _retryTimer: any;
  _ackTimer: any;
  _watchdogTimer: any;
  _upgradeTimer: any;

  constructor(url: string | URL, options: Options) {
    super(options);
    this._url = new URL(url, page.location?.href);
    this._WebSocket = options.WebSocket ?? page.WebSocket;
    this._protocol = "troupe.v1." + (options.codec?.name ?? "json");
    this.client = options.client ?? "js-" + Math.random().toString(36).slice(2);
    this._choose(options.transports ?? ["ws", "sse", "poll"]);
    this._begin();
  }

  close(): void {
    if (this._closed()) return;
    this._leave(true);
    this._end({ code: 1000, reason: "", cause: "client" });
  }

  reconnect(): void {
    this._leave(true);
    this._renew();
    this._attempt = this._start = 0;
    if (this._closed()) this._begin();
    else this._connect();
  }

  use(...transports: Transport[]): void {
    this._choose(transports);
    if (this._closed()) return;
    this._next?._close();
    this._next = null;
    this._start = 0;
    clearTimeout(this._upgradeTimer);
    if (!this._link) return this._connect();
    this._link._ack(); // which may have had to wait for the one that is dropped
    if (this._link._kind != this._kinds[0]) this._try(0);
  }

  break(): void {
    const link = this._link ?? this._next;
    if (link) this._down(link, lost("break()", false, "client"));
  }

  // The life of connections.

  _choose(transports: readonly Transport[]): void {
    this._kinds = transports.filter((kind) => kind != "ws" || this._WebSocket);
    if (!this._kinds.length) throw new TroupeError("invalid", "no transport of " + transports);
  }

  _begin(): void {
    for (const event of EVENTS) page.addEventListener?.(event, this._pageEvent);
    this._connect();
  }

  /** Tries the transport that worked last. */
  _connect(): void {
    clearTimeout(this._retryTimer);
    if (this._hidden) return;
    this._set({ status: "connecting", retryAt: 0 });
    if (!this._closed()) this._try(Math.min(this._start, this._kinds.length - 1));
  }

  _try(index: number): void {
    const link = (this._next = new Link(this, index));
    link._timer = setTimeout(() => this._down(link, lost("no answer", true, "dead")), index + 1 < this._kinds.length ? Ms.Try : Ms.LastTry);
    link._start();
  }

  _down(link: Link, why: Down): void {
    const opening = link == this._next;
    if (!opening && link != this._link) return;
    link._close();
    if (opening) {
      this._next = null;
      if (this._link) {
        this._link._ack(); // which had to wait
        return this._upgradeLater();
      }
      if (why._blame && link._index + 1 < this._kinds.length) return this._try(link._index + 1);
    } else {
      this._link = null;
      this._attempt = Date.now() - link._since! < Ms.Good ? 1 : 0;
      this._quiet();
    }
    const { code, reason, cause, status } = why;
    if (opening || status) this._start = 0; // one that was open and is refused what it POSTs may not find the server that has it
    const lastClose: Close = { code, reason, cause, status };
    if (why._final) return this._end(lastClose);
    if (this._next) return code == 3001 ? undefined : this._set({ status: "connecting", lastClose }); // the one beside takes over
    this._hinted = why._retry !== undefined;
    const delay = this._delay(this._attempt++, why._retry, cause == "goodbye");
    this._retryTimer = setTimeout(() => this._connect(), delay);
    this._set({ status: "waiting", retryAt: Date.now() + delay, attempt: this._attempt, lastClose });
  }

  /** Drops all connections, saying goodbye if the session is to end. */
  _leave(end?: boolean): void {
    if (end) this._link?._bye(1000);
    this._link?._close();
    this._next?._close();
    this._link = this._next = null;
    clearTimeout(this._retryTimer);
    this._quiet();
  }

  _end(lastClose: Close): void {
    this._leave();
    for (const event of EVENTS) page.removeEventListener?.(event, this._pageEvent);
    this._set({ status: "closed", retryAt: 0, lastClose });
    if (this._closed()) this._renew(true);
  }

  /** The next session is another one. */
  _renew(all = false): void {
    this._id = undefined;
    this._received = 0;
    this._forget(all);
  }

  _quiet(): void {
    clearTimeout(this._ackTimer);
    clearTimeout(this._watchdogTimer);
    clearTimeout(this._upgradeTimer);
    this._ackTimer = 0;
    this._owed = this._owedBytes = 0;
  }

  /** While something else carries the session, what is wanted more is tried from time to time. */
  _upgradeLater(): void {
    clearTimeout(this._upgradeTimer);
    const want = this._kinds[0];
    const have = this._link!._kind;
    if (have == want || (want != "ws" && this._kinds.includes(have))) return;
    this._upgradeTimer = setTimeout(() => this._next || this._try(0), this._upgrade * (1 + Math.random() / 4));
    this._upgrade = Math.min(2 * this._upgrade, Ms.UpgradeMost);
  }

  // What connections ask.

  async _hello(): Promise<object> {
    const { token, csrf, ticket, data } = this._options;
    const [t, c, k] = await Promise.all([ask(token), ask(csrf), ask(ticket)]);
    return { v: 1, client: this.client, token: t, csrf: c, ticket: k, data, ...this._named() };
  }

  _named(): object {
    return this._id ? { session: this._id, secret: this._secret, received: this._received, acked: this._out._acked } : {};
  }

  /** The hint of a goodbye is a slot: the server gave it to this client alone, and spreads all of them itself. */
  _delay(attempt: number, hint?: number, slot?: boolean): number {
    if (this._options.backoff) return this._options.backoff(attempt, hint);
    if (slot && hint) return hint;
    const most = attempt || hint ? Math.min(30_000, 2 ** attempt * 500) : 100;
    return (hint ?? 0) + Math.random() * most;
  }

  // What connections bring.

  _message(link: Link, m: Wire): void {
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
      else if (kind == "a" && out._ack(+text(rest!))) link._pump();
      else if (kind == "k" && out._keep(Math.max(+text(rest!), out._kept))) return;
      else if (/^[eqrxcg]$/.test(kind)) this._numbered(link, kind, rest!, m);
      else if (kind != "o") throw malformed(kind);
    } catch (e) {
      if (!link._open) return this._down(link, lost(e, true));
      link._bye(1002);
      this._end({ code: 1002, reason: (e as Error).message, cause: "protocol" });
    }
  }

  _welcome(link: Link, h: any): void {
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
      this._upgrade = Ms.UpgradeSoon;
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
      retryAt: 0,
    });
    if (everOpen && !h.resumed) this._emit("$session", this.state);
    if (!link._shut) link._pump();
  }

  _numbered(link: Link, kind: string, rest: Wire, m: Wire): void {
    if (++link._at > this._received) {
      this._received = link._at;
      this._hear(kind, rest);
      if (link._shut) return;
    }
    this._owed++;
    this._owedBytes += sizeOf(m);
    if (2 * this._owed >= this._limits.window || 2 * this._owedBytes >= this._limits.windowBytes) this._acknowledge();
    else this._ackTimer ||= setTimeout(() => this._acknowledge(), Ms.Ack);
  }

  _acknowledge(): void {
    clearTimeout(this._ackTimer);
    this._ackTimer = 0;
    if (this._next || !this._owed) return; // a hello is under way, which tells less
    this._owed = this._owedBytes = 0;
    this._link!._ack();
  }

  async _refresh(link: Link): Promise<void> {
    try {
      const token = await ask(this._options.token);
      if (!link._shut) link._say("t " + JSON.stringify(token ?? ""));
      link._first.token = token;
    } catch (e) {
      console.error(e); // the server waits, and says 3003
    }
  }

  _pump(): void {
    this._link?._pump();
  }

  // Whether the connection is alive.

  _patience(): number {
    const { ping, pong, hold } = this._limits;
    return (this._link?._kind == "poll" ? Math.max(ping, hold) : ping) + pong;
  }

  _alive(link: Link): void {
    if (link != this._link) return;
    this._last = Date.now();
    this._probing = false;
  }

  _watch(ms: number): void {
    clearTimeout(this._watchdogTimer);
    this._due = Date.now() + ms;
    this._watchdogTimer = setTimeout(() => {
      const now = Date.now();
      const left = this._last + this._patience() - now;
      if (now - this._due > (this._probing ? Ms.LateProbe : Ms.Late)) this._probe();
      else if (!this._probing && left > 0) this._watch(left);
      else this._down(this._link!, lost("no answer", false, "dead"));
    }, ms);
  }

  /** Asks whether the server is there, and does not wait long. */
  _probe(): void {
    this._link!._say("p");
    this._probing = true;
    this._watch(Ms.Probe);
  }

  /** Things may have changed while nobody looked. */
  _wake(sure: boolean): void {
    if (this.state.status == "waiting") {
      if (sure || !this._hinted) this._connect();
    } else if (this._link) {
      if (!this._probing && (sure || Date.now() - this._last > Ms.Probe)) this._probe();
      if (sure) {
        this._upgrade = Ms.UpgradeSoon;
        this._upgradeLater();
      }
    }
  }

  _page(event: string): void {
    if (event == "pagehide") {
      this._hidden = true;
      this._leave();
      this._set({ status: "waiting", retryAt: 0, lastClose: { code: 1006, reason: event, cause: "client" } });
      return;
    }
    if (event == "pageshow") this._hidden = false;
    if (event[0] == "o") this._set({ offline: event == "offline" });
    if (event == "offline") {
      if (this._link && !this._probing) this._probe(); // a server on this machine is there still
    } else if (!page.document?.hidden) this._wake(event[0] != "f" && event[0] != "v");
  }
}
