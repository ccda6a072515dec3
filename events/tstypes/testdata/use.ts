// How the types are used, checked and never run: what must be an error says so.
import { connect } from "../../../client/js/dist/index.js";
import type { Events, Post } from "./events.js";

const client = connect<Events>("/events");

client.on("posted", (post) => {
  const id: string = post.id;
  const nick: string | undefined = post.Nick;
  const until: string | undefined = post.until;
  const scores: Record<string, number> | null = post.scores;
  const deep: number | undefined = post.node.next?.kids?.[0]?.value;
  // @ts-expect-error it has no such field
  post.Hidden;
  // @ts-expect-error it may be null
  post.opt.length;
  void [id, nick, until, scores, deep];
});
client.on("who", (who) => void who?.["ann"]);
// @ts-expect-error nobody says this
client.on("nothing", () => {});

declare const post: Post;
void client.send("post", post);
void client.send("blob", new Uint8Array(1));
void client.send("typing/stop");
// @ts-expect-error that is no post
void client.send("post", 1);

void client.ask("list", { After: "x" }).then((page) => page.items?.[0]?.color.length);
void client.ask("count", null).then((n) => n.toFixed());
client.answer("confirm", (text) => text.length > 1);
// @ts-expect-error the answer is a boolean
client.answer("confirm", (text) => text);
