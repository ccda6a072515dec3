// What a client does in these tests, in a page as well as in Node.

export const WAYS = { ws: ["ws"], sse: ["sse"], poll: ["poll"], "by itself": ["ws", "sse", "poll"] };
export const MANY = 1_000;
export const CUTS = 10;

// play begins a session and notes what comes. It stands for itself, so that its text
// can be given to a page.
export function play(connect, url, options) {
  const player = { heard: [], pushed: [], states: [], hints: [], gaps: 0, renewed: 0, attempts: 0 };
  const client = connect(url, {
    ...options,
    backoff: (attempt, hint) => {
      player.hints.push(hint ?? null);
      return hint ?? 20;
    },
  });
  player.client = client;
  client.on("down", (n) => player.heard.push(n));
  client.on("pushed", (n) => player.pushed.push(n));
  client.on("$gap", (n) => (player.gaps += n));
  client.on("$session", () => player.renewed++);
  client.watch((now, before) => {
    const { status, transport, resumed, session, retryAt, lastClose } = now;
    player.states.push({ status, transport, resumed, session, retryAt, lastClose });
    if (now.status === "connecting" && before.status !== "connecting") player.attempts++;
  });
  player.say = (from, to) => {
    for (let n = from; n <= to; n++) client.send("up", n);
  };
  return player;
}

// until repeats look until it says something that is true.
export async function until(look, what, patience = 30_000) {
  const end = Date.now() + patience;
  for (;;) {
    const value = await look();
    if (value) return value;
    if (Date.now() > end) throw new Error(`in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
