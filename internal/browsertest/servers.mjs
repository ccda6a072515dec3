// The servers of these tests: each a process of its own.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

// start runs a program and waits for its address.
export async function start(program, ...flags) {
  const process = spawn(program, flags, { stdio: ["ignore", "pipe", "inherit"] });
  const lines = [];
  const reader = createInterface({ input: process.stdout });
  const url = await new Promise((resolve, reject) => {
    reader.on("line", (line) => {
      lines.push(line);
      const at = /serving (http\S+)/.exec(line);
      if (at) resolve(at[1]);
    });
    process.once("exit", (code) => reject(new Error(`${program} ended with ${code}`)));
  });
  const ended = once(process, "exit");
  return {
    url,
    async stop(signal = "SIGTERM") {
      process.kill(signal);
      await ended;
      return lines.at(-1);
    },
  };
}
