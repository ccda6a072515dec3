// A chat page for Troupe: what the server says becomes what is seen, what the
// person does becomes what the server hears.
//
//   connection.js  one WebSocket, kept open      log.js   the conversation
//   outbox.js      messages not echoed yet       view.js  everything around it
//   storage.js     what the browser remembers    text.js  words, colours, times

import { Connection } from "./connection.js";
import { Log } from "./log.js";
import { Outbox } from "./outbox.js";
import { browser, tab, tabID } from "./storage.js";
import { tidy } from "./text.js";
import * as view from "./view.js";

const TYPING_EVERY = 2_500; // milliseconds between two "typing" of ours
const ECHO_WITHIN = 10_000; // milliseconds; later, the connection is taken for dead
const CROWD = 40; // people; from here on comings and goings are not written out

// What we want: the name and room to ask for, also after a reconnect.
const me = { id: tabID(), name: browser.get("name") ?? "", room: hashRoom() || browser.get("room") || "lobby" };

// What is: as of the server's last word.
let room = "";
let people = new Map(); // id → person
let roomList = [];
let latest = 0; // server's time of the newest message here
let since = 0; // that of the newest one in the last welcome
let asked = { ...me }; // name and room the server was last asked for
let switching = 0; // room changes asked for and not answered
let unread = 0;
let lastTyping = 0;
let drawing = false;

const outbox = new Outbox(tab.get("outbox") ?? [], (items) => tab.set("outbox", items));

const log = new Log({
  me: () => me.id,
  onPending(action, key) {
    outbox[action](key);
    flush();
  },
});

const connection = new Connection({
  url() {
    asked = { ...me };
    const url = new URL("chat", document.baseURI);
    url.protocol = url.protocol.replace("http", "ws");
    url.hash = "";
    url.search = new URLSearchParams(me);
    return url;
  },
  onMessage(message) {
    // What was under way when we left a room may come after the next one's welcome.
    if (message.t !== "welcome" && (message.room ?? room) !== room) return;
    if (Object.hasOwn(on, message.t)) on[message.t](message); // a newer server may say more
  },
  onState(state, detail) {
    switching = 0;
    view.connection(state, detail);
    view.gone(state === "closed" ? detail : null);
    if (state !== "open") view.nobodyTyping();
    if (state === "closed") outbox.refused(room, true);
    log.pending(outbox.in(room));
  },
});

// From the server

const on = {
  welcome(message) {
    if (switching > 0) switching--;
    me.id = message.id;
    tab.set("id", message.id);
    if (me.name === asked.name) remember("name", message.name);
    if (switching === 0) {
      // The server may write a room's name differently than we did.
      if (message.room !== asked.room) outbox.move(asked.room, message.room);
      if (me.room === asked.room) {
        remember("room", message.room);
        address(message.room);
      }
      asked.room = message.room;
    }
    const back = message.room === room && latest > 0;
    enter(message.room, message.people);

    since = message.history.at(-1)?.at ?? 0;
    const fresh = log.history(message.history);
    const own = fresh.filter(({ from }) => from.id === me.id);
    for (const { at } of fresh) latest = Math.max(latest, at);
    if (back && document.hidden) view.title(room, (unread += fresh.length - own.length));
    outbox.reconcile(room, own);
    // What was wanted while this answer was on its way.
    rename();
    move();
    flush();
  },

  msg(message) {
    if (message.at <= since) return; // seen in the history, by leaving and coming back at once
    latest = Math.max(latest, message.at);
    view.stopped(message.from.id);
    log.add(message);
    if (message.from.id === me.id) {
      outbox.echoed(room, message);
      flush();
    } else if (document.hidden) {
      view.title(room, ++unread);
    }
  },

  join({ who }) {
    const known = people.has(who.id);
    people.set(who.id, who);
    if (!known && who.id !== me.id && people.size < CROWD) log.notice(`${who.name} joined`);
    draw();
  },

  leave({ who }) {
    view.stopped(who.id);
    if (who.id === me.id || !people.delete(who.id)) return;
    if (people.size < CROWD) log.notice(`${who.name} left`);
    draw();
  },

  rename({ who, was }) {
    people.set(who.id, who);
    if (who.id === me.id && me.name === asked.name) {
      asked.name = who.name; // perhaps tidied by the server
      remember("name", who.name);
    }
    log.notice(who.id === me.id ? `You are now ${who.name}` : `${was} is now ${who.name}`);
    draw();
  },

  typing({ who }) {
    if (who.id !== me.id) view.typing(who);
  },

  rooms(message) {
    roomList = message.rooms;
    draw();
  },

  error({ text }) {
    view.toast(text);
    if (switching > 0) {
      switching--;
      asked.room = room;
      remember("room", room);
      address(room);
    }
    const mine = people.get(me.id);
    if (mine) {
      asked.name = mine.name;
      remember("name", mine.name);
    }
    outbox.refused(room);
    flush();
  },
};

// enter makes name the room we are in; coming back to the same one after a
// lost connection keeps the conversation and only brings it up to date.
function enter(name, list) {
  people = new Map(list.map((person) => [person.id, person]));
  if (name !== room) {
    room = name;
    latest = 0;
    unread = 0;
    log.clear();
    view.nobodyTyping();
  }
  view.room(room);
  view.title(room, unread);
  draw();
}

// From the person

// say takes text into the outbox; false leaves it in the composer.
function say(text) {
  if (switching > 0 || !room) return false;
  if (!outbox.add(room, text.replaceAll("\r\n", "\n"), latest)) {
    view.toast("Too many messages are waiting to be sent. Your text is kept.");
    return false;
  }
  lastTyping = 0;
  flush();
  log.toBottom();
  return true;
}

function flush() {
  if (connection.isOpen && switching === 0) {
    for (let item; (item = outbox.next(room)); ) connection.send({ t: "say", text: item.text });
  }
  log.pending(outbox.in(room));
  draw();
}

function typed(text) {
  tab.set("draft", text);
  if (text.trim() === "" || Date.now() - lastTyping < TYPING_EVERY) return;
  lastTyping = Date.now();
  connection.send({ t: "typing" });
}

function rename() {
  if (me.name === asked.name || !connection.send({ t: "name", name: me.name })) return;
  asked.name = me.name;
}

function move() {
  if (me.room === asked.room) return;
  if (connection.send({ t: "room", room: me.room })) {
    asked.room = me.room;
    switching++;
  } else {
    enter(me.room, []); // shown empty until the server answers
    log.pending(outbox.in(room));
  }
}

function remember(what, value) {
  me[what] = value;
  browser.set(what, value);
}

function address(room) {
  history.replaceState(null, "", `#${encodeURIComponent(room)}`);
}

// draw redraws rooms and people, once for any number of changes in a row.
function draw() {
  if (drawing) return;
  drawing = true;
  queueMicrotask(() => {
    drawing = false;
    view.me(me.id, me.name);
    view.people(people, me.id);
    view.rooms(roomList, room, people.size, outbox.rooms());
  });
}

function hashRoom() {
  try {
    return tidy(decodeURIComponent(location.hash.slice(1)));
  } catch {
    return "";
  }
}

// Wiring

addEventListener("hashchange", () => {
  remember("room", hashRoom() || "lobby");
  move();
  view.focus();
});

document.addEventListener("visibilitychange", () => {
  if (document.hidden || !room) return;
  view.title(room, (unread = 0));
});

// An echo that does not come means a connection that only looks open.
setInterval(() => connection.isOpen && outbox.overdue(ECHO_WITHIN) && connection.retry(), 1_000);

document.getElementById("pill-retry").addEventListener("click", () => connection.retry());
document.getElementById("rejoin").addEventListener("click", () => connection.retry());

document.getElementById("rename").addEventListener("click", () =>
  view.door({ name: me.name, room, inside: true }, (name) => {
    remember("name", name);
    rename();
    draw();
  }),
);

document.getElementById("new-room").addEventListener("submit", (event) => {
  event.preventDefault();
  const field = document.getElementById("new-room-name");
  const name = tidy(field.value);
  if (!name) return field.focus();
  field.value = "";
  location.hash = encodeURIComponent(name);
});

document.getElementById("invite").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(location.href);
    view.toast("Link copied. Send it to someone.");
  } catch {
    view.toast(`Share this address: ${location.href}`);
  }
});

view.keyboard();
view.drawer();
view.composer({ draft: tab.get("draft") ?? "", onText: typed, onSend: say });

function start() {
  enter(me.room, []);
  connection.retry();
  view.focus();
}

if (me.name) start();
else
  view.door({ name: "", room: me.room, inside: false }, (name, room) => {
    remember("name", name);
    remember("room", room);
    start();
  });
