// What carries the session, for people to see and to play with.

import { tab } from "./storage.js";

const $ = (id) => document.getElementById(id);

const NAMES = { ws: "WebSocket", sse: "server-sent events", poll: "polls" };
const SHORT = { ws: "WebSocket", sse: "Events", poll: "Polls" };
const ALL = "ws sse poll";

let ticking = 0;
let before = { status: "", transport: null, session: "" };
let resumed = 0; // how often this session was

// wanted is what the person chose in this tab, at first what the session can.
export const wanted = () => (tab.get("transports") ?? ALL).split(" ");

// control lets the person choose, and cut.
export function control(session) {
  const choice = $("wire-choice");
  const chosen = wanted().join(" ");
  for (const input of choice.querySelectorAll("input")) input.checked = input.value === chosen;
  choice.addEventListener("change", ({ target }) => {
    tab.set("transports", target.value);
    session.use(...target.value.split(" "));
  });
  $("break").addEventListener("click", () => session.break());
  $("pill-retry").addEventListener("click", () => session.use(...wanted()));
}

// show shows a state of the session.
export function show(now) {
  const state = now.status === "waiting" && now.offline ? "offline" : now.status;
  const pill = $("pill");
  Object.assign(pill.dataset, { state, transport: now.transport ?? "", resumed: now.resumed, session: now.session, lost: now.lost });
  $("pill-retry").hidden = now.status !== "waiting";
  clearInterval(ticking);
  const words = () => {
    $("pill-text").textContent = short(now, state);
    $("wire-now").textContent = long(now, state);
  };
  words();
  if (state === "waiting") ticking = setInterval(words, 250);
  if (now.session !== before.session) resumed = 0;
  else if (now.status === "open" && (before.status !== "open" || before.transport !== now.transport)) resumed++;
  $("wire-session").textContent = now.session === "" ? "None yet" : resumed === 0 ? "New" : `Resumed ${times(resumed)}`;
  $("wire-lost").textContent = now.lost === 0 ? "Nothing" : `${now.lost} ${now.lost === 1 ? "message" : "messages"}`;
  announce(now, state);
  before = now;
}

// announce is for those who do not see the dot: what lasts, not every try.
function announce(now, state) {
  const same = now.session === before.session;
  let words = { waiting: "Connection lost, trying again", offline: "No network", closed: "Disconnected" }[state];
  if (state === "open") words = `Connected over ${NAMES[now.transport]}` + (before.session && !same ? ", in a new session" : "");
  if (words && $("announce").textContent !== words) $("announce").textContent = words;
}

function short(now, state) {
  if (state === "open") return `Connected · ${SHORT[now.transport]}`;
  if (state === "offline") return "No network";
  if (state === "closed") return "Disconnected";
  if (state === "waiting") return `Reconnecting in ${seconds(now)} s`;
  return "Connecting…";
}

function long(now, state) {
  if (state === "open") return `Open over ${NAMES[now.transport]}`;
  if (state === "offline") return "The browser sees no network";
  if (state === "waiting") return `The next try is in ${seconds(now)} s`;
  return short(now, state);
}

const seconds = (now) => Math.max(1, Math.ceil((now.retryAt - Date.now()) / 1000));

const times = (n) => (n === 1 ? "once" : n === 2 ? "twice" : `${n} times`);

// waiting shows how many messages have not been said yet.
export function waiting(n) {
  $("wire-waiting").textContent = n === 0 ? "Nothing" : `${n} ${n === 1 ? "message" : "messages"}`;
}

// node shows which node of a cluster has let us in, if there is one.
export function node(name) {
  $("me-node").hidden = !name;
  $("me-node").textContent = name ? `on ${name}` : "";
  $("wire-node").textContent = name ?? "The only one";
}
