// Everything around the conversation: rooms, people, who is typing, the
// composer's manners, the drawer and the door.

import * as text from "./text.js";

const SHOWN = 200; // people listed by name; the rest are counted
const LIMIT = 2000; // characters in a message
const TYPING = 4_000; // milliseconds one "typing" is believed

const $ = (id) => document.getElementById(id);

// Rooms and people

export function room(name) {
  $("room-name").textContent = name;
  $("text").placeholder = `Message ${name}`;
}

// rooms: the server's list, plus the present one and those with unsent messages.
export function rooms(list, current, here, unsent) {
  const counts = new Map(list.map(({ name, count }) => [name, count]));
  for (const name of unsent) if (!counts.has(name)) counts.set(name, 0);
  counts.set(current, here);
  const names = [...counts.keys()].sort((a, b) => a.localeCompare(b));
  keepFocus($("rooms"), () =>
    names.map((name) => {
      const a = element("a", { className: "room", href: `#${encodeURIComponent(name)}` }, { testid: "room", room: name });
      if (name === current) a.setAttribute("aria-current", "page");
      a.append(element("span", { className: "hash", ariaHidden: "true", textContent: "#" }), element("span", { className: "label", dir: "auto", textContent: name }));
      if (unsent.has(name) && name !== current) a.append(element("span", { className: "unsent", textContent: "unsent" }));
      const count = counts.get(name);
      if (count) a.append(element("span", { className: "count", textContent: count, title: `${count} here` }));
      return wrapped(a);
    }),
  );
}

export function people(all, myID) {
  const sorted = [...all.values()].sort((a, b) => (b.id === myID) - (a.id === myID) || a.name.localeCompare(b.name));
  $("people-count").textContent = $("crowd-count").textContent = sorted.length;
  const lines = sorted.slice(0, SHOWN).map(({ id, name }) => {
    const line = element("li", { className: "person" }, { testid: "person", person: id });
    line.append(avatar(id, name), element("span", { className: "label", dir: "auto", textContent: name }));
    if (id === myID) line.append(element("span", { className: "you", textContent: "you" }));
    return line;
  });
  if (sorted.length > SHOWN) lines.push(element("li", { className: "more", textContent: `and ${sorted.length - SHOWN} more` }));
  $("people").replaceChildren(...lines);
}

export function me(id, name) {
  const face = $("me-avatar");
  face.textContent = text.initials(name);
  face.style.setProperty("--hue", text.hue(id));
  $("me-name").textContent = name;
}

// The end of the session

export function gone(reason) {
  $("gone").hidden = reason === null;
  $("gone-why").textContent = reason || (reason === null ? "" : "The server closed the connection.");
}

// Typing

const typists = new Map(); // id → { name, timer }

export function typing({ id, name }) {
  clearTimeout(typists.get(id)?.timer);
  typists.set(id, { name, timer: setTimeout(() => stopped(id), TYPING) });
  showTyping();
}

export function stopped(id) {
  clearTimeout(typists.get(id)?.timer);
  if (typists.delete(id)) showTyping();
}

export function nobodyTyping() {
  for (const id of [...typists.keys()]) stopped(id);
}

function showTyping() {
  $("typing").classList.toggle("on", typists.size > 0);
  if (typists.size > 0) $("typing-text").textContent = text.listed([...typists.values()].map(({ name }) => name));
}

// The composer: Enter sends, Shift+Enter breaks the line, and no text is ever
// cut or cleared unless it was taken.

export function composer({ draft, onText, onSend }) {
  const field = $("text");
  const changed = () => {
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight}px`;
    const left = LIMIT - text.length(field.value.trim());
    $("left").hidden = left > 200;
    $("left").textContent = left;
    $("left").classList.toggle("over", left < 0);
    $("send").disabled = left === LIMIT || left < 0;
  };
  const submit = () => {
    if ($("send").disabled || !onSend(field.value.trim())) return;
    field.value = "";
    changed();
    onText("");
  };
  field.value = draft;
  changed();
  field.addEventListener("input", () => {
    changed();
    onText(field.value);
  });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    submit();
  });
  $("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
    field.focus();
  });
  // Keep the phone's keyboard up when the button is tapped.
  $("send").addEventListener("pointerdown", (event) => event.preventDefault());
}

// focus brings the cursor to the composer where that raises no keyboard.
export function focus() {
  if (matchMedia("(hover: hover)").matches) $("text").focus();
}

// The drawer, on narrow screens

export function drawer() {
  const narrow = matchMedia("(max-width: 760px)");
  const set = (open) => {
    $("app").classList.toggle("drawn", open);
    $("side").inert = narrow.matches && !open;
    $("stage").inert = narrow.matches && open;
    $("side-open").ariaExpanded = String(open);
  };
  const open = () => (set(true), $("side-close").focus());
  const close = () => {
    if (!$("app").classList.contains("drawn")) return;
    set(false);
    $("side-open").focus();
  };
  $("side-open").addEventListener("click", open);
  $("crowd").addEventListener("click", open);
  $("side-close").addEventListener("click", close);
  $("shade").addEventListener("click", close);
  addEventListener("keydown", (event) => event.key === "Escape" && close());
  addEventListener("hashchange", close);
  narrow.addEventListener("change", () => set(false));
  set(false);
}

// The door: asks for a name and room on the way in, and later for a new name.

export function door({ name, room, inside }, onEnter) {
  const dialog = $("door");
  $("door-title").textContent = inside ? "Your name" : "Welcome to Troupe";
  $("door-lead").textContent = inside ? "Everyone in the room sees the change." : "Pick a name and walk in.";
  $("door-enter").textContent = inside ? "Save" : "Join";
  $("door-cancel").hidden = !inside;
  $("door-room-label").hidden = inside;
  $("door-name").value = name;
  $("door-room").value = room;
  $("door-cancel").onclick = () => dialog.close();
  dialog.oncancel = (event) => inside || event.preventDefault();
  $("door-form").onsubmit = (event) => {
    const chosen = text.tidy($("door-name").value);
    if (!chosen) {
      event.preventDefault();
      $("door-name").value = "";
      return;
    }
    onEnter(chosen, text.tidy($("door-room").value) || room);
  };
  dialog.onclose = focus;
  dialog.showModal();
  $("door-name").select();
}

// The rest

let toastTimer = 0;

export function toast(words) {
  $("toast").textContent = words;
  $("toast").classList.add("on");
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => $("toast").classList.remove("on"), 4_000);
}

export function title(room, unread) {
  document.title = `${unread ? `(${unread}) ` : ""}${room} · Troupe`;
}

// Where the keyboard of a phone covers the page instead of resizing it, the
// app is as high as what is left to see.
export function keyboard() {
  const seen = window.visualViewport;
  const fit = () => {
    if (seen.scale > 1.01) return; // pinched, not typed
    document.documentElement.style.setProperty("--height", `${seen.height}px`);
    scrollTo(0, 0);
  };
  if (!seen) return;
  seen.addEventListener("resize", fit);
}

function avatar(id, name) {
  const face = element("span", { className: "avatar", ariaHidden: "true", textContent: text.initials(name) });
  face.style.setProperty("--hue", text.hue(id));
  return face;
}

function wrapped(child) {
  const item = document.createElement("li");
  item.append(child);
  return item;
}

// keepFocus redraws a list of links without losing the one being used.
function keepFocus(list, draw) {
  const focused = list.contains(document.activeElement) ? document.activeElement.hash : null;
  list.replaceChildren(...draw());
  if (focused !== null) [...list.querySelectorAll("a")].find((a) => a.hash === focused)?.focus();
}

function element(name, properties, data = {}) {
  const made = Object.assign(document.createElement(name), properties);
  Object.assign(made.dataset, data);
  return made;
}
