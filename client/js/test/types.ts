// What the types allow, and what they do not: checked by tsc, never run.
import { connect, TroupeError, type Client, type State } from "@troupe-actors/client";
import { FakeServer } from "@troupe-actors/client/testing";

interface Said {
  who: string;
  text: string;
}

interface Events {
  in: { said: Said; tick: null; bytes: Uint8Array };
  out: { say: { text: string }; typing: null; move: { x: number } | undefined };
  ask: { history: [{ before: number }, Said[]]; now: [null, number] };
  answer: { confirm: [string, boolean] };
}

const c: Client<Events> = connect<Events>("/events", { token: async () => "t", transports: ["ws", "poll"] });

const off: () => void = c.on("said", (data, event) => {
  const said: Said = data;
  const name: "said" = event;
  void said, name;
});
off();
c.on("tick", (data) => data satisfies null);
c.on("$gap", (n: number) => n);
c.on("$session", (state: State) => state.resumed);
c.on("*", (data: unknown, event: string) => [data, event]);
// @ts-expect-error: no such event
c.on("sayd", () => {});
// @ts-expect-error: not what it brings
c.on("said", (data: number) => data);
// @ts-expect-error: the client says it
c.on("say", () => {});

const sent: Promise<void> = c.send("say", { text: "hi" });
void sent;
c.send("typing");
c.send("typing", null);
c.send("move");
c.send("move", { x: 1 });
// @ts-expect-error: data is missing
c.send("say");
// @ts-expect-error: not its data
c.send("say", { txt: "hi" });
// @ts-expect-error: the server says it
c.send("said", { who: "a", text: "b" });

const history: Promise<Said[]> = c.ask("history", { before: 1 }, { timeout: 5, signal: new AbortController().signal });
const now: Promise<number> = c.ask("now");
void history, now;
// @ts-expect-error: a question without its data
c.ask("history");
// @ts-expect-error: no such question
c.ask("say", { text: "" });
// @ts-expect-error: not an option
c.ask("now", null, { timeoutMs: 5 });

c.answer("confirm", (q: string, { signal }) => !signal.aborted && q == "yes");
c.answer("confirm", async () => true);
// @ts-expect-error: not an answer
c.answer("confirm", () => "yes");
// @ts-expect-error: the client asks it
c.answer("history", () => []);

async function loop() {
  for await (const e of c) {
    if (e.event == "said") e.data.text satisfies string;
    else if (e.event == "$gap") e.data satisfies number;
    else if (e.event == "$session") e.data satisfies State;
    // @ts-expect-error: no such event
    else if (e.event == "say") return;
  }
}
void loop;

// @ts-expect-error: a state is not changed
c.state.status = "open";
// @ts-expect-error: not a status
if (c.state.status == "opened") throw new TroupeError("x");
c.watch((now, before) => now.status != before.status);
c.use("sse");
c.use("ws", "sse", "poll");
// @ts-expect-error: no transport
c.use("carrier pigeon");
// @ts-expect-error: no option
connect("/events", { tokens: "" });

// Without types everything goes.
const any = connect("/events");
any.on("x", (data) => data.y.z);
any.send("x", 1);
any.ask("x").then((answer) => answer.y);
any.answer("x", () => 1);

// A map with one section has no events of the others.
const one = connect<{ in: { said: Said } }>("/events");
one.on("said", (data) => data.text);
// @ts-expect-error: there are none
one.send("say", 1);

const server = new FakeServer({ heard: (session, event, data) => session.emit(event, data) });
connect<Events>("http://test/", server.options);
