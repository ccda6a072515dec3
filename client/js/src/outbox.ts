// What the client has to say, from send() until it is acknowledged.
import { TroupeError } from "./api.js";
import { sizeOf, type Wire } from "./wire.js";

export interface Item {
  readonly _wire: Wire;
  readonly _size: number;
  /** Written in this session. From then on only the server knows whether it was handled. */
  _said: boolean;
  /** The protocol owes it to the server: there is room for it always, and it is about this session. */
  readonly _owed: boolean;
  /** Called once: acknowledged, or what went wrong. */
  readonly _done: (error?: TroupeError) => void;
}

/**
 * A queue whose first part has been written. Its first item has the number after _acked; numbers are given by being written,
 * and start again with each session.
 */
export class Outbox {
  _items: Item[] = [];
  /** The last number acknowledged, and the last that the server has. */
  _acked = 0;
  _kept = 0;
  /** How many items of this session, and how many on this connection, have been written. */
  _said = 0;
  _sent = 0;
  _sentBytes = 0;
  _bytes = 0;
  /** The server's limits. */
  _window = 1;
  _windowBytes = 0;
  _max = Infinity;
  /** Called when less waits than before. */
  _waiting: (() => void)[] = [];
  _limit: number;

  constructor(limit: number) {
    this._limit = limit;
  }

  /** Puts a message behind all others. */
  _push(wire: Wire, done: Item["_done"], owed = false): Item | undefined {
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
  _next(): Item | undefined {
    for (;;) {
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
  _remove(item: Item, error?: TroupeError): void {
    this._drop(this._items.indexOf(item), 1, error);
  }

  /** All up to number n has been handled. Numbers that were never given are false. */
  _ack(n: number): boolean {
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
  _keep(n: number): boolean {
    const count = n - this._acked;
    if (!(count >= 0 && count <= this._said)) return false;
    this._kept = n;
    return true;
  }

  /** What the server does not have is to be written again, on a new connection or in another POST. */
  _rewind(): void {
    this._sent = this._kept - this._acked;
    this._sentBytes = 0;
    for (let i = 0; i < this._sent; i++) this._sentBytes += this._items[i]._size;
  }

  /**
   * The session is over. What was written in it is closed, what the protocol asked for in it is pointless, and the rest waits for the
   * next session, or is closed, too, if that was all.
   */
  _forget(all: boolean): void {
    const over = (item: Item) => all || item._said || item._owed;
    const items = this._items;
    this._items = items.filter((item) => !over(item));
    this._said = this._acked = this._kept = 0;
    this._rewind();
    for (const item of items.filter(over)) this._over(item, new TroupeError("closed"));
  }

  _drop(from: number, count: number, error?: TroupeError): void {
    for (const item of this._items.splice(from, count)) this._over(item, error);
  }

  _over(item: Item, error?: TroupeError): void {
    this._bytes -= item._size;
    item._done(error);
    for (const go of this._waiting.splice(0)) go();
  }
}
