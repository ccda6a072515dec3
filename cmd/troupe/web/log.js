// The conversation: messages in groups, days between them, notices, and at the
// end what has not been sent yet. It follows the newest line only while the
// reader is at the bottom.

import * as text from "./text.js";

const GROUP = 5 * 60_000; // one person's messages this close together share a heading
const KEPT = 600; // lines in the page
const NEAR = 60; // pixels from the bottom that still count as the bottom

export class Log {
  #scroller = document.querySelector("#scroller");
  #list = document.querySelector("#log");
  #pending = document.querySelector("#pending");
  #empty = document.querySelector("#quiet");
  #news = document.querySelector("#news");
  #me;
  #onPending;
  #last = null; // the newest message, when no notice came after it
  #day = "";
  #known = new Set(); // messages shown, to add only the rest of a history
  #unread = 0;
  #following = true;
  #height = 0; // of the scroller, when last looked at
  #ready = false; // a history has come, even an empty one

  // me() is our id; onPending(action, key) is "again" or "discard".
  constructor({ me, onPending }) {
    this.#me = me;
    this.#onPending = onPending;
    this.#scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.#news.addEventListener("click", () => this.toBottom());
    // The keyboard of a phone, a growing composer, a turned screen.
    const sizes = new ResizeObserver(() => {
      this.#height = this.#scroller.clientHeight;
      if (this.#following) this.#jump();
    });
    sizes.observe(this.#scroller);
    sizes.observe(this.#list);
  }

  clear() {
    this.#list.replaceChildren();
    this.#known.clear();
    this.#last = null;
    this.#day = "";
    this.#heard(0);
    this.#following = true;
    this.#ready = false;
    this.#settle();
  }

  // history adds what is not shown yet, and returns those messages.
  history(messages) {
    this.#list.ariaBusy = "true"; // not a wall of text for a screen reader
    const fresh = messages.filter((message) => !this.#known.has(key(message)));
    for (const message of fresh) this.#append(message);
    this.#list.ariaBusy = "false";
    this.#ready = true;
    if (!this.#following) this.#heard(this.#unread + fresh.length);
    this.#settle();
    return fresh;
  }

  add(message) {
    this.#append(message);
    if (!this.#following && message.from.id !== this.#me()) this.#heard(this.#unread + 1);
    this.#settle();
  }

  notice(words) {
    this.#separate(Date.now());
    this.#list.append(element("li", { className: "notice", dir: "auto", textContent: words, testid: "notice" }));
    this.#last = null;
    this.#settle();
  }

  // pending shows the outbox of this room.
  pending(items) {
    this.#pending.replaceChildren(
      ...items.map((item, i) => {
        const line = element("li", { className: "line own", testid: "pending-message" });
        line.classList.toggle("first", i === 0 && this.#last?.from.id !== this.#me());
        line.classList.toggle("failed", item.failed);
        const bubble = element("div", { className: "bubble" });
        bubble.append(words(item.text), element("span", { className: "at", textContent: item.failed ? "Not delivered" : item.away ? "Sending…" : "Waiting" }));
        line.append(bubble);
        if (item.failed) line.append(this.#choice("Try again", "again", item.key), this.#choice("Discard", "discard", item.key));
        return line;
      }),
    );
    this.#settle();
  }

  toBottom() {
    this.#following = true;
    this.#jump();
  }

  #append(message) {
    const { from, at } = message;
    this.#separate(at);
    const own = from.id === this.#me();
    const first = !this.#last || this.#last.from.id !== from.id || this.#last.from.name !== from.name || at - this.#last.at > GROUP;

    const line = element("li", { className: own ? "line own" : "line", testid: "message" });
    line.classList.toggle("first", first);
    line.dataset.from = from.id;
    line.style.setProperty("--hue", text.hue(from.id));
    if (first) {
      if (!own) line.append(element("span", { className: "avatar", ariaHidden: "true", textContent: text.initials(from.name) }));
      line.append(element("span", { className: own ? "unseen" : "author", dir: "auto", textContent: own ? "You" : from.name, testid: "message-author" }));
    }
    const bubble = element("div", { className: "bubble" });
    bubble.classList.toggle("emoji", text.onlyEmoji(message.text));
    const when = element("time", { className: "at", textContent: text.time(at), title: text.fullTime(at) });
    when.dateTime = new Date(at).toISOString();
    bubble.append(words(message.text), when);
    line.append(bubble);

    this.#list.append(line);
    this.#last = message;
    this.#known.add(key(message));
    if (this.#following) while (this.#list.childElementCount > KEPT) this.#list.firstElementChild.remove();
  }

  #separate(at) {
    const day = text.day(at);
    if (day === this.#day) return;
    this.#day = day;
    this.#last = null;
    this.#list.append(element("li", { className: "day", textContent: day }));
  }

  #choice(label, action, key) {
    const button = element("button", { className: "choice", type: "button", textContent: label, testid: action });
    button.addEventListener("click", () => this.#onPending(action, key));
    return button;
  }

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    if (clientHeight !== this.#height) return; // resized, not scrolled by the reader
    this.#following = scrollHeight - scrollTop - clientHeight < NEAR;
    if (this.#following) this.#heard(0);
  }

  #heard(unread) {
    this.#unread = unread;
    this.#news.hidden = unread === 0;
    this.#news.lastElementChild.textContent = unread === 1 ? "1 new message" : `${unread} new messages`;
  }

  #settle() {
    this.#empty.hidden = !this.#ready || Boolean(this.#list.querySelector(".line") || this.#pending.firstElementChild);
    if (this.#following) this.#jump();
  }

  #jump() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }
}

const key = ({ from, text, at }) => `${at} ${from.id} ${text}`;

function words(value) {
  const span = element("span", { className: "words", dir: "auto", testid: "message-text" });
  span.append(...text.linked(value));
  return span;
}

function element(name, { testid, ...properties }) {
  const made = Object.assign(document.createElement(name), properties);
  if (testid) made.dataset.testid = testid;
  return made;
}
