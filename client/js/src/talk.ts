// What the application says and hears, whatever carries it.
import { TroupeError } from "./api.js";
import type { AskOptions, Options, State } from "./api.js";
import { Outbox, type Item } from "./outbox.js";
import { cut, decode, encode, json, sizeOf, utf8, type Wire } from "./wire.js";

export type Fn = (...args: any[]) => any;

/** A question of ours. */
interface Asked {
  _item?: Item;
  _end(error: TroupeError | null, answer?: unknown): void;
}

/** How many events wait for a loop that is busy. The oldest make room for more, and are told as a gap. */
const MOST = 1024;

/** Calls what the application gave. What it throws is its own affair. */
function call(fn: Fn, ...args: unknown[]): void {
  try {
    fn(...args);
  } catch (e) {
    console.error(e);
  }
}

/** Adds fn, even if it is there already, and returns what takes it away. */
function add(set: Set<Fn>, fn: Fn): () => void {
  const own: Fn = (...args) => fn(...args);
  set.add(own);
  return () => {
    set.delete(own);
  };
}

export abstract class Talk {
  state: State = {
    status: "connecting",
    transport: null,
    uid: "",
    session: "",
    resumed: false,
    everOpen: false,
    data: null,
    lost: 0,
    offline: (globalThis as any).navigator?.onLine === false,
    attempt: 0,
    retryAt: 0,
    lastClose: null,
  };

  readonly _watchers = new Set<Fn>();
  readonly _handlers = new Map<string, Set<Fn>>();
  readonly _answers = new Map<string, Fn>();
  /** Loops over events: called for each, and when there will be none. */
  readonly _streams = new Set<Fn>();
  /** Questions that have no answer yet: ours, and the server's. */
  readonly _asked = new Map<number, Asked>();
  readonly _questions = new Map<number, AbortController>();
  _lastId = 0;

  readonly _out: Outbox;

  constructor(readonly _options: Options) {
    this._out = new Outbox(_options.queueBytes ?? 1 << 20);
  }

  /** Something is there to be written. */
  abstract _pump(): void;

  on(event: string, fn: Fn): () => void {
    if (!this._handlers.has(event)) this._handlers.set(event, new Set());
    return add(this._handlers.get(event)!, fn);
  }

  watch(fn: Fn): () => void {
    return add(this._watchers, fn);
  }

  send(event: string, data?: unknown): Promise<void> {
    const sent = new Promise<void>((resolve, reject) => {
      this._say("e ", event, data, (error) => (error ? reject(error) : resolve()));
    });
    sent.catch(() => {}); // who does not wait for it need not hear of it
    return sent;
  }

  async room(): Promise<void> {
    const out = this._out;
    while (!this._closed()) {
      if (out._bytes <= out._limit / 2) return;
      await new Promise<void>((go) => out._waiting.push(go));
    }
    throw new TroupeError("closed");
  }

  ask(event: string, data?: unknown, { timeout = this._options.askTimeout ?? 10_000, signal }: AskOptions = {}): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const id = ++this._lastId;
      const stop = (code: string) => {
        asked._end(new TroupeError(code));
        const item = asked._item;
        if (item?._said) this._owe("c " + id);
        else if (item) this._out._remove(item);
      };
      const cancel = () => stop("canceled");
      const timer = timeout && setTimeout(stop, timeout, "timeout");
      const asked: Asked = {
        _end: (error, answer) => {
          clearTimeout(timer);
          signal?.removeEventListener("abort", cancel);
          this._asked.delete(id);
          if (error) reject(error);
          else resolve(answer);
        },
      };
      this._asked.set(id, asked);
      if (signal?.aborted) return cancel();
      signal?.addEventListener("abort", cancel);
      asked._item = this._say(`q ${id} `, event, data, (error) => error && asked._end(error));
    });
  }

  answer(event: string, fn: Fn): () => void {
    this._answers.set(event, fn);
    return () => {
      if (this._answers.get(event) == fn) this._answers.delete(event);
    };
  }

  [Symbol.asyncIterator](): AsyncIterator<unknown> {
    const events: { event: string; data: unknown }[] = [];
    let lost = 0;
    let wake = () => {};
    const hear = (event?: string, data?: unknown) => {
      if (event && events.push({ event, data }) > MOST) {
        const old = events.shift()!;
        lost += old.event == "$gap" ? (old.data as number) : 1;
      }
      wake();
    };
    this._streams.add(hear);
    const client = this;
    return (async function* () {
      try {
        for (;;) {
          const n = lost;
          lost = 0;
          if (n) yield { event: "$gap", data: n };
          else if (events.length) yield events.shift();
          else if (client._closed()) return;
          else await new Promise<void>((go) => (wake = go));
        }
      } finally {
        client._streams.delete(hear);
      }
    })();
  }

  _closed(): boolean {
    return this.state.status == "closed";
  }

  /** Changes the state and tells who watches, if anything is different. */
  _set(change: Partial<State>): void {
    const before: any = this.state;
    if (Object.entries(change).every(([name, value]) => before[name] === value)) return;
    const now = (this.state = { ...before, ...change });
    for (const fn of [...this._watchers]) call(fn, now, before);
  }

  _emit(event: string, data: unknown): void {
    for (const name of [event, "*"]) for (const fn of [...(this._handlers.get(name) ?? [])]) call(fn, data, event);
    for (const hear of this._streams) hear(event, data);
  }

  _gap(n: number): void {
    this._set({ lost: this.state.lost + n });
    this._emit("$gap", n);
  }

  /** Queues what the application says. */
  _say(head: string, event: string, data: unknown, done: Item["_done"]): Item | undefined {
    let wire: Wire;
    try {
      if (this._closed()) throw new TroupeError("closed");
      if (!/^[^\x00- \x7f-\x9f]+$/.test(event) || sizeOf(event) > 128) throw new Error("not the name of an event: " + event);
      wire = encode(head + event, data, this._options.codec);
    } catch (e) {
      done(e instanceof TroupeError ? e : new TroupeError("invalid", (e as Error).message));
      return;
    }
    const item = this._out._push(wire, done);
    this._pump();
    return item;
  }

  /** Queues what the protocol asks of us. */
  _owe(wire: Wire, done: Item["_done"] = () => {}): void {
    this._out._push(wire, done, true);
    this._pump();
  }

  /** A numbered message, once. Throws if it is malformed; data that cannot be read is the application's affair. */
  _hear(kind: string, rest: Wire): void {
    let [event, data] = cut(rest);
    const id = +event;
    const asked = this._asked.get(id);
    let value: any;
    let error = null;
    if (kind == "q") [event, data] = cut(data!);
    try {
      value = kind == "x" ? json(data) : decode(data, this._options.codec);
      if (kind == "x") error = new TroupeError(value.code, value.message, value.data);
    } catch (e) {
      error = new TroupeError("invalid", (e as Error).message);
    }
    if (kind == "e" && !error) this._emit(event, value);
    else if (kind == "e") this._gap(1); // nobody can hear it
    else if (kind == "g") this._gap(id);
    else if (kind == "q") this._reply(id, event, value, error);
    else if (kind == "c") {
      this._questions.get(id)?.abort();
      this._questions.delete(id);
    } else asked?._end(error, value);
  }

  async _reply(id: number, event: string, question: unknown, error: TroupeError | null): Promise<void> {
    const abort = new AbortController();
    this._questions.set(id, abort);
    const failure = (e: unknown): Wire => {
      const { code, message, data } = e as TroupeError;
      const wire = `x ${id} ` + JSON.stringify({ code, message, data });
      return this._options.codec ? utf8(wire) : wire;
    };
    let wire: Wire;
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
    if (this._questions.get(id) != abort) return; // nobody waits for it
    this._questions.delete(id);
    this._owe(wire, (error) => error?.code == "large" && this._owe(failure(error)));
  }

  /** The session is over. What was written in it, nobody knows about; questions that wait to be written go to the next one. */
  _forget(all: boolean): void {
    for (const asked of [...this._asked.values()]) {
      if (all || asked._item?._said) asked._end(new TroupeError("closed"));
    }
    for (const abort of this._questions.values()) abort.abort();
    this._questions.clear();
    this._out._forget(all);
    if (all) for (const hear of this._streams) hear();
  }
}
