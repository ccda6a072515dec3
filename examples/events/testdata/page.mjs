// The page of the tutorial in Node: its own script, with the client that the server hands out, and no more of a browser than they
// need. node page.mjs URL STEP
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [base, step] = [process.argv[2], Number(process.argv[3])];
const html = await (await fetch(base)).text();

class Element {
  textContent = "";
  value = "";
  children = [];
  listeners = {};
  append(child) {
    this.children.push(child);
  }
  replaceChildren() {
    this.children = [];
  }
  addEventListener(name, f) {
    this.listeners[name] = f;
  }
}

const elements = new Map([...html.matchAll(/id="(\w+)"/g)].map(([, id]) => [id, new Element()]));
globalThis.location = new URL("/?name=ann", base);
globalThis.document = {
  getElementById: (id) => elements.get(id),
  createElement: () => new Element(),
  addEventListener() {},
};
const asked = [];
globalThis.confirm = (question) => asked.push(question) > 0;

const lines = () => elements.get("log").children.map((li) => li.textContent);

async function until(what, f) {
  for (const end = Date.now() + 60000; !f(); await new Promise((go) => setTimeout(go, 5)))
    if (Date.now() > end) throw new Error(`${what}; the log is ${JSON.stringify(lines())}`);
}

function say(text) {
  elements.get("text").value = text;
  elements.get("form").listeners.submit({ preventDefault() {} });
  assert.equal(elements.get("text").value, "");
}

const work = mkdtempSync(join(tmpdir(), "tutorial-"));
try {
  for (const name of ["chat", "troupe"]) {
    const source = await (await fetch(new URL(`/${name}.js`, base))).text();
    writeFileSync(join(work, `${name}.mjs`), source.replaceAll('"/troupe.js"', '"./troupe.mjs"'));
  }
  await import(pathToFileURL(join(work, "chat.mjs")));
  const chat = globalThis.chat;
  const sent = []; // what the page waits for
  const { send } = chat;
  chat.send = (...said) => (sent.push(send.apply(chat, said)), sent.at(-1));

  say("hello");
  await until("hello is heard", () => lines().includes("ann: hello"));
  assert.match(elements.get("state").textContent, /^open, (ws|sse|poll)$/);
  chat.break();
  say("again");
  await until("again is heard after a cut", () => lines().includes("ann: again"));
  assert.deepEqual(lines(), ["ann: hello", "ann: again"]);
  if (step >= 3) await until("ann is here", () => elements.get("here").textContent === "ann");
  await Promise.all(sent); // all was handled, the page is told soon
  if (step >= 4) {
    chat.reconnect(); // another session
    say("more");
    await until("more is heard in another session", () => lines().includes("ann: more"));
    assert.deepEqual(lines(), ["ann: hello", "ann: again", "ann: more"]);
    elements.get("forget").listeners.click();
    await until("all is forgotten", () => lines().length === 0);
    assert.deepEqual(asked, ["Forget all that was said?"]);
  }
  chat.close();
} finally {
  rmSync(work, { recursive: true });
}
