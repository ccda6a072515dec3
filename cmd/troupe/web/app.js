// A chat page for Troupe: what the server says becomes what is seen, what the
// person does becomes what the server hears.
//
//   troupe.js   the session with the server   log.js   the conversation
//   outbox.js   messages not said yet         view.js  everything around it
//   storage.js  what the browser remembers    wire.js  the session's connection
//                                             text.js  words, colours, times

import { Log } from "./log.js";
import { Outbox } from "./outbox.js";
import { browser, tab, tabID } from "./storage.js";
import { tidy } from "./text.js";
import { connect } from "./troupe.js";
import * as view from "./view.js";
import * as wire from "./wire.js";

const TYPING_EVERY = 2_500; // milliseconds between two "typing" of ours
const CROWD = 40; // people; from here on comings and goings are not written out

// What we want: the name and room to ask for, also after a reconnect.
const me = { id: tabID(), name: browser.get("name") ?? "", room: hashRoom() || browser.get("room") || "lobby" };

// What is: as of the server's last word.
let room = "";
let people = new Map(); // id → person
let roomList = [];
let latest = 0; // server's time of the newest message here
let since = new Map(); // that of the newest one of each node in the last welcome
let asked = { n: 0, ...me }; // name and room the server was last asked for
let inside = false; // it has answered that
let session = null; // from start on
let sessionID = ""; // of the session in which that was
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

// The session. It outlives its connections: only when it is another one, after the
// server was restarted or we were away for too long, do we have to say who we are.

function changed(state) {
  wire.show(state);
  view.gone(state.status === "closed" ? state.lastClose.reason : null);
  if (state.status !== "open") view.nobodyTyping();
  if (state.status === "closed") outbox.closed();
  if (state.session !== sessionID) {
    sessionID = state.session;
    outbox.renew();
    enter();
  }
  pending();
}

// enter asks for the room and name we want.
function enter() {
  asked = { n: asked.n + 1, name: me.name, room: me.room };
  inside = false;
  session.send("enter", asked);
}

// From the server

const on = {
  welcome(message) {
    if (message.n !== asked.n) return; // another was asked for since
    inside = true;
    if (me.name === asked.name) remember("name", message.name);
    // The server may write a room's name differently than we did.
    if (message.room !== asked.room) outbox.move(asked.room, message.room);
    if (me.room === asked.room) {
      remember("room", message.room);
      address(message.room);
    }
    asked.room = message.room;
    asked.name = message.name;
    const back = message.room === room && latest > 0;
    show(message.room, message.people);

    since = new Map(message.history.map(({ node, at }) => [node, at])); // by time: the last one stays
    wire.node(message.node);
    const fresh = log.history(message.history);
    for (const { at } of fresh) latest = Math.max(latest, at);
    const others = fresh.filter(({ from }) => from.id !== me.id);
    if (back && document.hidden) view.title(room, (unread += others.length));
    outbox.said(message.history.map(({ key }) => key));
    // What was wanted while this answer was on its way.
    rename();
    move();
    flush();
  },

  said(message) {
    if (message.at <= (since.get(message.node) ?? 0)) return; // seen in the history, by leaving and coming back at once
    latest = Math.max(latest, message.at);
    view.stopped(message.from.id);
    log.add(message);
    if (message.from.id === me.id) {
      outbox.said([message.key]);
      flush();
    } else if (document.hidden) {
      view.title(room, ++unread);
    }
  },

  // The next are about people.

  joined({ who }) {
    const known = people.has(who.id);
    people.set(who.id, who);
    if (!known && who.id !== me.id && people.size < CROWD) log.notice(`${who.name} joined`);
    draw();
  },

  left({ who }) {
    view.stopped(who.id);
    if (who.id === me.id || !people.delete(who.id)) return;
    if (people.size < CROWD) log.notice(`${who.name} left`);
    draw();
  },

  renamed({ who, was }) {
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

  // And these about what we have said.

  unsaid({ key, why }) {
    if (why) view.toast(why);
    outbox.refused(key, why);
    flush();
  },

  wrong({ event, n, text }) {
    view.toast(text);
    if (event === "enter" && n === asked.n) {
      inside = true; // where we were
      asked.room = room;
      remember("room", room);
      address(room);
    }
    const mine = people.get(me.id);
    if (mine) {
      asked.name = mine.name;
      remember("name", mine.name);
    }
    flush();
  },

  // The server had more for us than it keeps: the room tells it anew.
  $gap: enter,
};

// show makes name the room we are in; the same one again keeps the conversation
// and only brings it up to date.
function show(name, list) {
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
  if (!room || me.room !== room) return false;
  if (!outbox.add(room, text.replaceAll("\r\n", "\n"))) {
    view.toast("Too many messages are waiting to be sent. Your text is kept.");
    return false;
  }
  lastTyping = 0;
  flush();
  log.toBottom();
  return true;
}

// flush gives the session what is to be said here. It waits there for a connection.
function flush() {
  if (inside) {
    for (let item; (item = outbox.next(room)); ) session.send("say", { room, key: item.key, text: item.text });
  }
  pending();
  draw();
}

function pending() {
  const open = session?.state.status === "open";
  log.pending(outbox.in(room).map((item) => ({ ...item, away: item.away && open })));
  wire.waiting(outbox.size);
}

function typed(text) {
  tab.set("draft", text);
  if (text.trim() === "" || Date.now() - lastTyping < TYPING_EVERY || session?.state.status !== "open") return;
  lastTyping = Date.now();
  session.send("typing");
}

function rename() {
  if (!inside || me.name === asked.name) return;
  asked.name = me.name;
  session.send("name", { name: me.name });
}

function move() {
  if (!session || me.room === asked.room) return;
  enter();
  if (session.state.status === "open") return;
  show(me.room, []); // shown empty until the server answers
  pending();
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

document.getElementById("rejoin").addEventListener("click", () => session.reconnect());

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
  show(me.room, []);
  session = connect("chat", { client: me.id, transports: wire.wanted() });
  session.on("*", (message, event) => {
    // What was under way when we left a room may come after the next one's welcome.
    if (event !== "welcome" && (message?.room ?? room) !== room) return;
    if (Object.hasOwn(on, event)) on[event](message); // a newer server may say more
  });
  session.watch(changed);
  wire.control(session);
  changed(session.state);
  view.focus();
}

if (me.name) start();
else
  view.door({ name: "", room: me.room, inside: false }, (name, room) => {
    remember("name", name);
    remember("room", room);
    start();
  });
