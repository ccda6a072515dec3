import type { AnyEvents, Client, EventMap, Options } from "./api.js";
import { Session } from "./session.js";

export * from "./api.js";

/**
 * Begins a session with the events endpoint at this URL, which may be relative to the page. Returns at once; throws for options
 * that cannot work.
 */
export function connect<E extends EventMap = AnyEvents>(url: string | URL, options: Options = {}): Client<E> {
  return new Session(url, options) as unknown as Client<E>;
}
