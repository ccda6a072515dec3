import { connect } from "/troupe.js";

const at = (id) => document.getElementById(id);
const name = new URLSearchParams(location.search).get("name") ?? "";
const chat = connect("/events", { token: name });
globalThis.chat = chat; // for the console

function show(text) {
  const line = document.createElement("li");
  line.textContent = text;
  at("log").append(line);
}

function hear({ n, who, text }) {
  if (n <= last) return; // the history had it
  last = n;
  show(`${who}: ${text}`);
}

chat.watch(({ status, transport }) => (at("state").textContent = `${status}, ${transport ?? "no connection yet"}`));
chat.on("said", (m) => hear(m));

at("form").addEventListener("submit", (e) => {
  e.preventDefault();
  chat.send("say", { text: at("text").value }).catch((error) => show(`(not said: ${error.code})`));
  at("text").value = "";
});

// Who is here.
const here = new Set();
let seen = 0;
chat.on("here", ({ n, all, joined, left }) => {
  if (!all && n <= seen) return;
  if (all) here.clear();
  joined?.forEach((uid) => here.add(uid));
  left?.forEach((uid) => here.delete(uid));
  seen = n;
  at("here").textContent = [...here].sort().join(", ");
});
chat.on("$gap", () => chat.send("who"));

// What was said before we came, and in another session than the last.
let last = 0;
async function catchUp() {
  for (const m of await chat.ask("history", 20)) hear(m);
}
chat.on("$session", catchUp);
catchUp();

// The server asks back.
chat.answer("confirm", (question) => confirm(question));
chat.on("forgotten", () => at("log").replaceChildren());
at("forget").addEventListener("click", async () => {
  if (!(await chat.ask("forget"))) show("(not forgotten)");
});
