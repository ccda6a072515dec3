// One WebSocket, kept open for as long as the page wants it.
//
//   connecting ──► open ──► waiting ──► connecting ──► …
//                    │         └─ offline (the browser sees no network)
//                    └─► closed (the server sent us away; only retry() leaves)
//
// A connection counts as open when the server's first frame arrives, so that a
// proxy which accepts and then goes silent is not mistaken for a server.

const GOING_AWAY = 1001;
const POLICY = 1008;
const TRY_LATER = 1013;

const LEAST = 500; // milliseconds, as all below
const MOST = 20_000;
const DRAIN_SPREAD = 4_000; // a restarted server gets its clients back over this long
const PATIENCE = 10_000; // for the first frame
const STEADY = 10_000; // open this long, the next failure starts from LEAST again

// Full jitter: anywhere between LEAST and a ceiling that doubles, so that
// clients who lost the same server do not come back in step.
export function delay(code, attempt, random = Math.random()) {
  let ceiling = Math.min(MOST, 2 * LEAST * 2 ** attempt);
  if (code === GOING_AWAY) ceiling = DRAIN_SPREAD;
  if (code === TRY_LATER) ceiling = MOST;
  return LEAST + random * (ceiling - LEAST);
}

export class Connection {
  #url;
  #onMessage;
  #onState;
  #socket = null;
  #open = false;
  #state = "idle";
  #attempt = 0;
  #timer = 0; // the next try, or the patience of the present one
  #steady = 0;

  // url is asked for afresh on every try. onState receives the state and, for
  // "waiting", the time of the next try; for "closed", the server's reason.
  constructor({ url, onMessage, onState }) {
    this.#url = url;
    this.#onMessage = onMessage;
    this.#onState = onState;

    addEventListener("online", () => this.#hurry());
    addEventListener("offline", () => this.#state === "waiting" && this.#wait(0));
    document.addEventListener("visibilitychange", () => document.hidden || this.#hurry());
    // A page that keeps its socket cannot be kept for the back button.
    addEventListener("pagehide", () => this.#drop());
    addEventListener("pageshow", (event) => event.persisted && this.#state !== "closed" && this.retry());
  }

  get isOpen() {
    return this.#open;
  }

  // send reports whether the message was handed to the socket, which is not
  // yet to say that the server has it.
  send(message) {
    if (!this.#open || this.#socket.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  // retry connects now, dropping whatever there was.
  retry() {
    this.#drop();
    this.#set("connecting");
    const socket = (this.#socket = new WebSocket(this.#url()));
    this.#timer = setTimeout(() => this.#lost(socket, 0, ""), PATIENCE);
    socket.onmessage = (event) => this.#received(socket, event.data);
    socket.onclose = (event) => this.#lost(socket, event.code, event.reason);
  }

  #received(socket, text) {
    if (socket !== this.#socket) return;
    if (!this.#open) {
      clearTimeout(this.#timer);
      this.#open = true;
      this.#steady = setTimeout(() => (this.#attempt = 0), STEADY);
      this.#set("open");
    }
    this.#onMessage(JSON.parse(text));
  }

  #lost(socket, code, reason) {
    if (socket !== this.#socket) return; // an earlier socket, already given up
    this.#drop();
    if (code === POLICY) return this.#set("closed", reason);
    this.#wait(delay(code, this.#attempt++));
  }

  #wait(ms) {
    clearTimeout(this.#timer);
    // "offline" is a hint that can be wrong, so it slows the tries but does not stop them.
    const offline = navigator.onLine === false;
    const pause = offline ? MOST : ms;
    this.#timer = setTimeout(() => this.retry(), pause);
    this.#set(offline ? "offline" : "waiting", Date.now() + pause);
  }

  #hurry() {
    if (this.#state === "waiting" || this.#state === "offline") this.retry();
  }

  #drop() {
    clearTimeout(this.#timer);
    clearTimeout(this.#steady);
    this.#open = false;
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  #set(state, detail) {
    this.#state = state;
    this.#onState(state, detail);
  }
}
