// The promises of the chat page, kept by a real browser against a real server.
//
//   TROUPE_URL   address of the server, e.g. http://127.0.0.1:8080
//   CHROMIUM     the browser; /usr/bin/chromium if not given
//   SCREENSHOTS  directory for pictures of the page; none if not given

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { Network } from "./proxy.mjs";

const address = process.env.TROUPE_URL;
const pictures = process.env.SCREENSHOTS;
const PATIENCE = 20_000; // milliseconds, for whatever waits on the presence grace
const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true };
const DESKTOP = { viewport: { width: 1280, height: 800 } };

let browser;

before(async () => {
  assert.ok(address, "TROUPE_URL must name a running server");
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
});

after(() => browser?.close());

// A Person is one browser context with the page open in it.
class Person {
  static async enter(t, name, room, { network, complains = false, prepare, ...options } = {}) {
    const context = await browser.newContext({ ...DESKTOP, ...options });
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE);
    const person = new Person(name, context, page);
    const problems = [];
    page.on("pageerror", (error) => problems.push(`${name}: ${error}`));
    page.on("console", (line) => ["error", "warning"].includes(line.type()) && problems.push(`${name}: ${line.text()}`));
    t.after(async () => {
      await context.close();
      // Browsers write down each request that a broken network has cost.
      const unexpected = complains ? problems.filter((line) => !/ERR_|WebSocket connection to|Failed to load resource/.test(line)) : problems;
      assert.deepEqual(unexpected, [], "the page complains");
    });
    await prepare?.(page);
    await page.goto(new URL(`#${encodeURIComponent(room)}`, network?.url ?? address).href);
    await person.get("join-name").fill(name);
    await person.get("join-submit").click();
    await person.connected();
    return person;
  }

  constructor(name, context, page) {
    Object.assign(this, { name, context, page });
  }

  get(id) {
    return this.page.getByTestId(id);
  }

  message(text) {
    return this.get("message-text").getByText(text, { exact: true });
  }

  notice(text) {
    return this.get("notice").getByText(text, { exact: true });
  }

  connected() {
    return this.page.locator('[data-testid="connection"][data-state="open"]').waitFor();
  }

  async say(text) {
    await this.get("text").fill(text);
    await this.get("text").press("Enter");
  }

  // sees waits until the room holds exactly these people.
  async sees(...names) {
    const wanted = [...names].sort();
    const listed = () => this.page.locator('[data-testid="person"] .label').allTextContents();
    await poll(async () => assert.deepEqual((await listed()).sort(), wanted));
    assert.equal(await this.get("people-count").textContent(), String(wanted.length));
  }

  // hears waits until the conversation reads exactly like this.
  async hears(...texts) {
    await poll(async () => assert.deepEqual(await this.get("message-text").allTextContents(), texts));
  }

  // nothingPending waits until everything she wrote has come back from the server.
  async nothingPending() {
    await poll(async () => assert.equal(await this.get("pending-message").count(), 0));
  }

  async picture(name) {
    if (!pictures) return;
    await mkdir(pictures, { recursive: true });
    await this.page.screenshot({ path: join(pictures, `${name}.png`) });
  }
}

// poll repeats check until it no longer throws, or fails with its last complaint.
async function poll(check) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

const newRoom = () => `test ${Math.random().toString(36).slice(2, 10)}`;

test("two people in a room see each other and talk in order", async (t) => {
  const room = newRoom();
  const ada = await Person.enter(t, "Ada Lovelace", room);
  await ada.get("empty").waitFor();
  const bob = await Person.enter(t, "Bob", room);
  await ada.sees("Ada Lovelace", "Bob");
  await bob.sees("Ada Lovelace", "Bob");
  await ada.notice("Bob joined").waitFor();

  const said = [];
  for (let i = 1; i <= 5; i++) {
    for (const person of [ada, bob]) {
      const text = `${person.name} says ${i}`;
      said.push(text);
      await person.say(text);
      await (person === ada ? bob : ada).message(text).waitFor();
    }
  }
  await ada.hears(...said);
  await bob.hears(...said);
  await ada.nothingPending(); // all were echoed

  const burst = Array.from({ length: 20 }, (_, i) => `burst ${i}`);
  for (const text of burst) await ada.say(text);
  await bob.hears(...said, ...burst);
  await ada.hears(...said, ...burst);
  await ada.picture("desktop-light");
  await ada.page.emulateMedia({ colorScheme: "dark" });
  await ada.picture("desktop-dark");
});

test("a newcomer reads the history", async (t) => {
  const room = newRoom();
  const ada = await Person.enter(t, "Ada", room);
  await ada.say("before you came");
  await ada.hears("before you came");
  const bob = await Person.enter(t, "Bob", room);
  await bob.hears("before you came");
});

test("a reload is invisible to the others", async (t) => {
  const room = newRoom();
  const ada = await Person.enter(t, "Ada", room);
  const bob = await Person.enter(t, "Bob", room);
  const cleo = await Person.enter(t, "Cleo", room);
  await ada.sees("Ada", "Bob", "Cleo");
  await bob.say("before the reload");
  await ada.message("before the reload").waitFor();
  await bob.get("text").fill("half a thou");

  // Every presence Ada is shown from here on, not only those a poll would catch.
  await ada.page.evaluate(() => {
    window.presences = [];
    const people = document.querySelector('[data-testid="people"]');
    new MutationObserver(() => window.presences.push([...people.querySelectorAll(".label")].map((label) => label.textContent).sort().join())).observe(people, { childList: true });
  });

  await bob.page.reload();
  await bob.connected();
  await bob.sees("Ada", "Bob", "Cleo");
  await bob.hears("before the reload");
  assert.equal(await bob.get("text").inputValue(), "half a thou", "typed text survives");
  await poll(async () => assert.equal(await bob.page.locator('[data-testid="message"].own').count(), 1, "still the same person"));

  // Cleo goes after Bob's reload: when her grace is over, so would his be.
  await cleo.context.close();
  await ada.notice("Cleo left").waitFor();
  await bob.say("after the reload");
  await ada.hears("before the reload", "after the reload");
  await ada.sees("Ada", "Bob");

  assert.deepEqual(await ada.get("notice").allTextContents(), ["Bob joined", "Cleo joined", "Cleo left"]);
  for (const presence of await ada.page.evaluate(() => window.presences)) assert.match(presence, /^Ada,Bob(,Cleo)?$/);
});

test("typing shows, and stops with the message", async (t) => {
  const room = newRoom();
  const ada = await Person.enter(t, "Ada", room);
  const bob = await Person.enter(t, "Bob", room);
  await bob.sees("Ada", "Bob");
  await bob.get("text").pressSequentially("hello");
  await ada.get("typing").getByText("Bob is typing").waitFor();
  await bob.get("text").press("Enter");
  await ada.hears("hello");
  await ada.get("typing").waitFor({ state: "hidden" });
  await bob.get("typing").waitFor({ state: "hidden" });
});

test("a new name is seen by all, and kept", async (t) => {
  const room = newRoom();
  const ada = await Person.enter(t, "Ada", room);
  const bob = await Person.enter(t, "Bob", room);
  await ada.sees("Ada", "Bob");
  await bob.get("rename").click();
  await bob.get("join-name").fill("Robert");
  await bob.get("join-submit").click();
  await ada.notice("Bob is now Robert").waitFor();
  await bob.notice("You are now Robert").waitFor();
  await ada.sees("Ada", "Robert");
  await bob.sees("Ada", "Robert");
  await bob.say("it is me");
  await ada.hears("it is me");
  assert.equal(await ada.get("message-author").last().textContent(), "Robert");
  await bob.page.reload();
  await bob.connected();
  await bob.sees("Ada", "Robert");
});

test("changing rooms moves the person", async (t) => {
  const [first, second] = [newRoom(), newRoom()];
  const ada = await Person.enter(t, "Ada", first);
  const bob = await Person.enter(t, "Bob", first);
  await ada.sees("Ada", "Bob");
  await bob.get("room-input").fill(second);
  await bob.get("room-submit").click();
  await poll(async () => assert.equal(await bob.get("room-name").textContent(), second));
  await bob.sees("Bob");
  await ada.notice("Bob left").waitFor();
  await ada.sees("Ada");

  await bob.say("only here");
  await bob.hears("only here");
  const link = ada.page.locator(`[data-testid="room"][data-room="${second}"]`);
  await link.getByText("1", { exact: true }).waitFor();
  await link.click();
  await ada.sees("Ada", "Bob");
  await ada.hears("only here");
  await bob.notice("Ada joined").waitFor();

  await ada.page.goBack();
  await poll(async () => assert.equal(await ada.get("room-name").textContent(), first));
  await ada.sees("Ada");
});

test("a closed page leaves after the grace", async (t) => {
  const room = newRoom();
  const ada = await Person.enter(t, "Ada", room);
  const bob = await Person.enter(t, "Bob", room);
  await ada.sees("Ada", "Bob");
  await bob.context.close();
  await ada.notice("Bob left").waitFor();
  await ada.sees("Ada");
});

test("what people write is text, never markup", async (t) => {
  const room = newRoom();
  const ada = await Person.enter(t, "Ada", room);
  const bob = await Person.enter(t, "<b>Bob</b><img src=x>", room);
  const nasty = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script> javascript:alert(1)';
  await bob.say(nasty);
  await ada.hears(nasty);
  await ada.sees("Ada", "<b>Bob</b><img src=x>");
  assert.equal(await ada.page.locator("img, .words b, .words a, body script").count(), 0);
  assert.equal(await ada.page.evaluate(() => window.hacked), undefined);

  await bob.say("see https://example.org/a_(b)?c=d&e=f.");
  const link = ada.get("message-text").locator("a");
  await link.waitFor();
  assert.equal(await link.getAttribute("href"), "https://example.org/a_(b)?c=d&e=f");
  assert.match(await link.getAttribute("rel"), /noopener/);
});

test("too long a text is kept and not sent", async (t) => {
  const ada = await Person.enter(t, "Ada", newRoom());
  await ada.get("text").fill("x".repeat(2001));
  await ada.get("characters-left").getByText("-1", { exact: true }).waitFor();
  assert.equal(await ada.get("send").isDisabled(), true);
  await ada.get("text").press("Enter");
  assert.equal((await ada.get("text").inputValue()).length, 2001);
  await ada.get("text").fill("x".repeat(2000));
  await ada.get("text").press("Enter");
  await ada.hears("x".repeat(2000));
});

test("the title counts what a hidden page has not shown", async (t) => {
  const room = newRoom();
  const ada = await Person.enter(t, "Ada", room);
  const bob = await Person.enter(t, "Bob", room);
  const hide = (hidden) =>
    ada.page.evaluate((hidden) => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
  await hide(true);
  await bob.say("one");
  await bob.say("two");
  await poll(async () => assert.equal(await ada.page.title(), `(2) ${room} · Troupe`));
  await hide(false);
  assert.equal(await ada.page.title(), `${room} · Troupe`);
});

test("a reader further up is not pulled down", async (t) => {
  const room = newRoom();
  const ada = await Person.enter(t, "Ada", room);
  const bob = await Person.enter(t, "Bob", room);
  await bob.say(Array.from({ length: 80 }, (_, i) => `line ${i}`).join("\n"));
  await ada.get("message").waitFor();
  const scroller = ada.page.getByRole("region", { name: "Messages" });
  const below = () => scroller.evaluate((it) => it.scrollHeight - it.scrollTop - it.clientHeight);
  await poll(async () => assert.ok((await below()) < 2));
  await scroller.hover();
  await ada.page.mouse.wheel(0, -900);
  await poll(async () => assert.ok((await below()) > 500));
  await bob.say("news");
  await ada.get("new-messages").getByText("1 new message").waitFor();
  assert.ok((await below()) > 500);
  await ada.get("new-messages").click();
  await poll(async () => assert.ok((await below()) < 2));
  await ada.get("new-messages").waitFor({ state: "hidden" });
});

// broken is a network of one's own, to be broken.
async function broken(t) {
  const network = await Network.to(address);
  t.after(() => network.close());
  return { network, complains: true };
}

const TRANSPORTS = { ws: "websocket", sse: "server-sent events", poll: "polls" };

// carried waits until the page shows what carries its session.
const carried = (person, transport) =>
  person.page.locator(`[data-testid="connection"][data-state="open"][data-transport="${transport}"]`).waitFor();

async function choose(person, transport) {
  await person.get("wire-open").click();
  await person.get(`use-${transport}`).check();
  await person.page.keyboard.press("Escape");
}

for (const [transport, name] of Object.entries(TRANSPORTS)) {
  test(`over ${name}: what is said while the network is away arrives once, in order`, async (t) => {
    const room = newRoom();
    const ada = await Person.enter(t, "Ada", room);
    const { network, complains } = await broken(t);
    const bob = await Person.enter(t, "Bob", room, { network, complains });
    await choose(bob, transport);
    await carried(bob, transport);
    await ada.sees("Ada", "Bob");
    await bob.say("before");
    await ada.hears("before");
    await bob.nothingPending(); // his own echo may come later than hers
    const session = await bob.get("connection").getAttribute("data-session");

    network.unplug();
    await bob.page.locator('[data-testid="connection"][data-state="waiting"]').waitFor();
    await bob.get("connection").getByText(/Reconnecting in \d+ s/).waitFor();
    await bob.say("one");
    await bob.say("two");
    await bob.say("two");
    await poll(async () => assert.equal(await bob.get("pending-message").count(), 3));
    if (transport === "ws") await bob.picture("desktop-reconnecting");
    await ada.say("meanwhile");
    await ada.hears("before", "meanwhile");

    network.restore();
    await bob.get("retry").click({ timeout: 2_000 }).catch(() => {}); // unless it came back by itself
    await carried(bob, transport);
    await ada.hears("before", "meanwhile", "one", "two", "two");
    await bob.hears("before", "meanwhile", "one", "two", "two");
    await bob.nothingPending();
    const pill = bob.get("connection");
    assert.deepEqual([await pill.getAttribute("data-session"), await pill.getAttribute("data-resumed"), await pill.getAttribute("data-lost")], [session, "true", "0"]);
  });
}

// By its silence alone it would be found out after 15 s. By the page's clock, 6 pass.
test("a browser without a network does not stay connected, though nothing has been closed", async (t) => {
  const room = newRoom();
  const ada = await Person.enter(t, "Ada", room);
  const { network, complains } = await broken(t);
  const bob = await Person.enter(t, "Bob", room, { network, complains, prepare: (page) => page.clock.install() });
  await bob.say("before");
  await ada.hears("before");
  await bob.nothingPending();
  await bob.page.evaluate(() => (window.told = new Promise((resolve) => addEventListener("offline", () => resolve()))) && undefined);
  await poll(async () => bob.page.clock.pauseAt((await bob.page.evaluate(() => Date.now())) + 1_000));
  network.vanish();
  await bob.context.setOffline(true);
  await bob.page.evaluate(() => window.told);
  await bob.page.clock.runFor(6_000);
  await bob.get("connection").getByText("No network").waitFor();
  await bob.page.clock.resume();
  await bob.say("without");
  network.restore();
  await bob.context.setOffline(false);
  await bob.connected();
  await ada.hears("before", "without");
  await bob.hears("before", "without");
  assert.equal(await bob.get("connection").getAttribute("data-resumed"), "true");
});

test("what was written before a reload arrives once, in order", async (t) => {
  const room = newRoom();
  const ada = await Person.enter(t, "Ada", room);
  const { network, complains } = await broken(t);
  let down = false; // the page can be loaded then, but says nothing and hears nothing
  const prepare = async (page) => {
    await page.route(/\/chat$/, (route) => (down ? route.abort() : route.continue()));
    await page.routeWebSocket(/\/chat$/, (socket) => (down ? socket.close() : socket.connectToServer()));
  };
  const bob = await Person.enter(t, "Bob", room, { network, complains, prepare });
  await bob.say("before");
  await ada.hears("before");
  await bob.nothingPending();
  down = true;
  network.cut();
  await bob.page.locator('[data-testid="connection"][data-state="waiting"]').waitFor();
  for (const text of ["one", "two", "two"]) await bob.say(text);
  await poll(async () => assert.equal(await bob.get("pending-message").count(), 3));
  await ada.say("meanwhile");
  await bob.page.reload(); // the outbox survives even this
  await poll(async () => assert.equal(await bob.get("pending-message").count(), 3));
  down = false;
  await bob.get("retry").click({ timeout: 2_000 }).catch(() => {});
  await bob.connected();
  await ada.hears("before", "meanwhile", "one", "two", "two");
  await bob.hears("before", "meanwhile", "one", "two", "two");
  await bob.nothingPending();
});

test("the session is switched by hand from one transport to the next, and carries on", async (t) => {
  const room = newRoom();
  const ada = await Person.enter(t, "Ada", room);
  const bob = await Person.enter(t, "Bob", room);
  await ada.sees("Ada", "Bob");
  const session = await bob.get("connection").getAttribute("data-session");
  const said = [];
  for (const transport of ["sse", "poll", "ws", "poll", "sse", "ws"]) {
    await choose(bob, transport);
    const texts = [`Bob, before ${transport} is there ${said.length}`, `Ada, meanwhile ${said.length}`];
    await bob.say(texts[0]);
    await ada.message(texts[0]).waitFor();
    await ada.say(texts[1]);
    said.push(...texts);
    await carried(bob, transport);
    await bob.hears(...said);
  }
  await bob.get("wire-open").click();
  await bob.get("wire-session").getByText("Resumed 6 times").waitFor();
  await bob.get("wire-lost").getByText("Nothing").waitFor();
  await bob.picture("desktop-connection");
  await bob.get("break").click();
  await bob.get("wire-session").getByText("Resumed 7 times").waitFor();
  await bob.page.keyboard.press("Escape");
  await bob.say("carries on");
  await ada.hears(...said, "carries on");
  await bob.hears(...said, "carries on");
  assert.equal(await bob.get("connection").getAttribute("data-session"), session);
  assert.deepEqual(await ada.get("notice").allTextContents(), ["Bob joined"]);
});

// The server refuses, as one that asks a person to leave would.
test("a page sent away stays away until asked", async (t) => {
  const { network, complains } = await broken(t);
  const bob = await Person.enter(t, "Bob", newRoom(), { network, complains });
  let tries = 0;
  const strict = createServer((request, answer) => {
    tries++;
    answer.writeHead(403, { "content-type": "application/json" });
    answer.end(JSON.stringify({ code: "forbidden", reason: "You were asked to leave." }));
  });
  await new Promise((resolve) => strict.listen(0, "127.0.0.1", resolve));
  t.after(() => strict.close());
  network.aim(`http://127.0.0.1:${strict.address().port}/`);
  network.cut();
  await bob.get("gone").getByText("You were asked to leave.").waitFor();
  const before = tries;
  await bob.page.evaluate(() => window.dispatchEvent(new Event("online")));
  assert.equal(await bob.get("connection").getAttribute("data-state"), "closed");
  await bob.get("text").fill("kept");
  assert.equal(tries, before);
  network.aim(address);
  network.cut(); // what Chromium keeps to use again
  await bob.get("rejoin").click();
  await bob.connected();
  await bob.get("gone").waitFor({ state: "hidden" });
  assert.equal(await bob.get("text").inputValue(), "kept");
});

test("a phone has room for everything", async (t) => {
  const room = newRoom();
  const ada = await Person.enter(t, "Ada", room);
  const bob = await Person.enter(t, "Bob", room, { ...PHONE, colorScheme: "dark" });
  const inside = async (id) => {
    const box = await bob.get(id).boundingBox();
    const { width, height } = bob.page.viewportSize();
    assert.ok(box && box.x >= 0 && box.y >= 0 && box.x + box.width <= width && box.y + box.height <= height, `${id} is on the screen: ${JSON.stringify(box)}`);
  };
  const sideways = () => bob.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  await ada.say(`a long word: ${"wide".repeat(80)}`);
  await bob.get("message").waitFor();
  await inside("composer");
  assert.equal(await sideways(), 0);

  await bob.get("text").fill("from the phone");
  await bob.get("send").tap();
  await ada.message("from the phone").waitFor();
  await bob.picture("phone-dark");

  await bob.get("drawer").waitFor({ state: "hidden" });
  await bob.get("drawer-open").tap();
  await bob.get("drawer").waitFor();
  await bob.sees("Ada", "Bob");
  await poll(() => inside("drawer"));
  await bob.picture("phone-drawer-dark");
  await bob.get("drawer-close").tap();
  await bob.get("drawer").waitFor({ state: "hidden" });

  // The smallest phone, its keyboard up.
  await bob.page.setViewportSize({ width: 360, height: 380 });
  await poll(() => inside("composer"));
  await poll(() => inside("drawer-open"));
  assert.equal(await sideways(), 0);
  await poll(async () => {
    const last = await bob.get("message").last().boundingBox();
    const composer = await bob.get("composer").boundingBox();
    assert.ok(last.y + last.height <= composer.y, "the newest message is above the composer");
  });
  await bob.picture("phone-keyboard-dark");
});
