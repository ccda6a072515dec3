// Messages the server has not sent back yet, oldest first.
//
// An item leaves the outbox only when its echo is seen, live or in a room's
// history, or when the person throws it away. It survives a reload.

const BOUND = 50; // items kept
const WINDOW = 8; // items on their way at once
const TRIES = 3;

export class Outbox {
  #items;
  #save;

  constructor(items, save) {
    // Whatever was on its way before a reload may or may not have arrived.
    this.#items = items;
    this.#save = save;
  }

  in(room) {
    return this.#items.filter((item) => item.room === room);
  }

  rooms() {
    return new Set(this.#items.map((item) => item.room));
  }

  // add keeps text for room; false when the outbox is full. latest is the
  // server's time of the newest message seen there: the echo must be newer.
  add(room, text, latest) {
    if (this.#items.length >= BOUND) return false;
    this.#items.push({ key: crypto.getRandomValues(new Uint32Array(2)).join("-"), room, text, after: latest, tries: 0, away: false, failed: false });
    this.#save(this.#items);
    return true;
  }

  // next gives an item to send now, if one may be sent, and counts it as away.
  next(room) {
    const items = this.in(room);
    if (items.filter((item) => item.away).length >= WINDOW) return null;
    const item = items.find((item) => !item.away && !item.failed);
    if (!item) return null;
    if (item.tries >= TRIES) {
      item.failed = true;
      this.#save(this.#items);
      return this.next(room);
    }
    item.away = true;
    item.tries++;
    item.since = Date.now();
    this.#save(this.#items);
    return item;
  }

  // echoed takes out the item that came back live. Echoes keep our order, so
  // should the server have tidied the text, it is the oldest one away.
  echoed(room, { text, at }) {
    const away = this.in(room).filter((item) => item.away || item.failed);
    this.#take(away.find((item) => item.text === text) ?? away.find((item) => item.away), at);
  }

  // reconcile takes out what our own part of a history shows to have arrived,
  // and lets the rest be sent again.
  reconcile(room, own) {
    for (const { text, at } of own) {
      this.#take(this.in(room).find((item) => item.tries > 0 && item.text === text && at > item.after), at);
    }
    for (const item of this.in(room)) item.away = false;
    this.#save(this.#items);
  }

  // overdue says whether an item has been away for longer than ms.
  overdue(ms) {
    return this.#items.some((item) => item.away && Date.now() - item.since > ms);
  }

  // refused marks the oldest item on its way, or all of them: the server said
  // no, so only the person may send them again.
  refused(room, all = false) {
    const away = this.in(room).filter((item) => item.away);
    for (const item of all ? away : away.slice(0, 1)) Object.assign(item, { away: false, failed: true });
    this.#save(this.#items);
  }

  again(key) {
    for (const item of this.#items) if (item.key === key) Object.assign(item, { failed: false, away: false, tries: Math.min(item.tries, 1) });
    this.#save(this.#items);
  }

  discard(key) {
    this.#items = this.#items.filter((item) => item.key !== key);
    this.#save(this.#items);
  }

  // move follows a room whose name the server wrote differently.
  move(from, to) {
    for (const item of this.in(from)) item.room = to;
    this.#save(this.#items);
  }

  #take(item, at) {
    if (!item) return;
    this.#items = this.#items.filter((other) => other !== item);
    // One echo answers one item, even when the next says the same words.
    for (const other of this.in(item.room)) other.after = Math.max(other.after, at);
    this.#save(this.#items);
  }
}
