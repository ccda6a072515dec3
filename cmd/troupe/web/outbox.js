// Messages that have not come back from the server yet, oldest first.
//
// An item is given to the session once, which brings it to the server once, over
// whatever connections. Only when there is a new session, after a reload or a
// restart of the server, is it given again: the key it was born with has the room
// say it once. It leaves when the room has said it, or when the person throws it
// away, and survives a reload.

const BOUND = 50; // items kept

export class Outbox {
  #items;
  #save;

  constructor(items, save) {
    this.#items = items;
    this.#save = save;
    this.renew();
  }

  in(room) {
    return this.#items.filter((item) => item.room === room);
  }

  rooms() {
    return new Set(this.#items.map((item) => item.room));
  }

  get size() {
    return this.#items.length;
  }

  // add keeps text for room; false when the outbox is full.
  add(room, text) {
    if (this.#items.length >= BOUND) return false;
    this.#items.push({ key: crypto.getRandomValues(new Uint32Array(2)).join("-"), room, text, away: false, failed: false });
    this.#save(this.#items);
    return true;
  }

  // next gives an item for the session, if there is one, and counts it as away.
  next(room) {
    const item = this.in(room).find((item) => !item.away && !item.failed);
    if (item) item.away = true;
    return item;
  }

  // renew is a new session: what the last one was given may have arrived or not.
  renew() {
    for (const item of this.#items) item.away = false;
  }

  // said is what a room has said, to be found here or not.
  said(keys) {
    const known = new Set(keys);
    this.#items = this.#items.filter((item) => !known.has(item.key));
    this.#save(this.#items);
  }

  // refused marks an item as the person's affair: the server has said no. Without
  // a reason it only came too early, or too late.
  refused(key, why) {
    const item = this.#items.find((item) => item.key === key && item.away);
    if (item) Object.assign(item, { away: false, failed: why !== "" });
    this.#save(this.#items);
  }

  // closed is the end of the session without another to come.
  closed() {
    for (const item of this.#items) if (item.away) Object.assign(item, { away: false, failed: true });
    this.#save(this.#items);
  }

  again(key) {
    for (const item of this.#items) if (item.key === key) Object.assign(item, { failed: false, away: false });
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
}
