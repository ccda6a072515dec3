/** What carries a session. */
export type Transport = "ws" | "sse" | "poll";
/**
 * The events of an application. Every section is optional; one that is missing has no events.
 *
 * - `in`: events that the server says, name to data
 * - `out`: events that the client says, name to data
 * - `ask`: questions that the client asks, name to `[question, answer]`
 * - `answer`: questions that the server asks, name to `[question, answer]`
 */
export interface EventMap {
    in?: object;
    out?: object;
    ask?: object;
    answer?: object;
}
/** Events without types: any name, any data. */
export interface AnyEvents {
    in: Record<string, any>;
    out: Record<string, any>;
    ask: Record<string, [any, any]>;
    answer: Record<string, [any, any]>;
}
/** One section of an event map. */
export type Section<E, S extends string> = S extends keyof E ? NonNullable<E[S]> : {};
/** The names in a section. */
export type Name<E, S extends string> = keyof Section<E, S> & string;
/** The data of an event. */
export type Data<E, S extends string, N> = N extends keyof Section<E, S> ? Section<E, S>[N] : never;
/** What is asked. */
export type Question<E, S extends string, N> = Data<E, S, N> extends readonly [infer Q, any] ? Q : never;
/** What is answered. */
export type Answer<E, S extends string, N> = Data<E, S, N> extends readonly [any, infer A] ? A : never;
/** Data that may be left out where it may be null or undefined. */
export type Given<D, Rest extends any[] = []> = undefined extends D ? [data?: D, ...rest: Rest] : null extends D ? [data?: D, ...rest: Rest] : [data: D, ...rest: Rest];
/** What `for await` gives: an event of the server, or one of the client's own. */
export type Incoming<E extends EventMap> = {
    [N in Name<E, "in">]: {
        event: N;
        data: Data<E, "in", N>;
    };
}[Name<E, "in">] | {
    event: "$gap";
    data: number;
} | {
    event: "$session";
    data: State;
};
/**
 * Why something did not happen. The client's own codes: `closed` (the session ended; whether the server acted is not known),
 * `timeout`, `canceled`, `full` (the queue has no room), `large` (the server takes no message of this size), `invalid`
 * (a name or data that cannot be said, or an answer that cannot be read). The server's own: `unknown`, `invalid`, `failed`,
 * `timeout`, `canceled`, `duplicate`. All others are the application's.
 */
export declare class TroupeError extends Error {
    readonly code: string;
    readonly data: unknown;
    constructor(code: string, message?: string, data?: unknown);
}
/** How a connection, or an attempt at one, ended. */
export interface Close {
    /** The code of the goodbye or of the WebSocket (1006: none), or the code of a refusal, as "unauthorized". */
    readonly code: number | string;
    readonly reason: string;
    /**
     * `goodbye`: the server said so; `refused`: the server let nobody in; `lost`: the connection broke, or did not come about;
     * `dead`: nothing came for too long; `client`: this side wanted it; `protocol`: the server said what a server does not say.
     */
    readonly cause: "goodbye" | "refused" | "lost" | "dead" | "client" | "protocol";
    /** The HTTP status of a refusal. */
    readonly status?: number;
}
/** What a client is doing: a value, replaced at each change and never changed itself. */
export interface State {
    /**
     * `connecting`: an attempt is under way; `open`; `waiting`: the next attempt is at `retryAt`;
     * `closed`: by `close()`, or by a server that does not want this client back. Only `reconnect()` leads out of it.
     */
    readonly status: "connecting" | "open" | "waiting" | "closed";
    /** What carries the session, or did last. */
    readonly transport: Transport | null;
    /** The user that the server takes this client for; "" for nobody. */
    readonly uid: string;
    /** The name of the session; "" before the first. */
    readonly session: string;
    /** Whether the last hello went on with the session there was. */
    readonly resumed: boolean;
    readonly everOpen: boolean;
    /** What the application said in the server's hello. */
    readonly data: unknown;
    /** How many messages of the server have been lost, each told by a `$gap`. */
    readonly lost: number;
    /** Whether the browser says that there is no network. */
    readonly offline: boolean;
    /** How many attempts have failed in a row; a connection that broke soon counts as one. */
    readonly attempt: number;
    /** When the next attempt is made, in ms since 1970; 0 if none is waited for. */
    readonly retryAt: number;
    /** How the last connection or attempt ended. */
    readonly lastClose: Close | null;
}
/** A codec other than JSON. The name is that of the subprotocol: "msgpack" for troupe.v1.msgpack. */
export interface Codec {
    readonly name: string;
    encode(data: unknown): Uint8Array;
    decode(bytes: Uint8Array): unknown;
}
/** A string, or what is asked for one before each connection. */
export type Secret = string | (() => string | Promise<string>);
/** All are optional. */
export interface Options {
    /** What this client is called, 1 to 64 characters of A-Z a-z 0-9 . _ -; default a random name. */
    client?: string;
    /** Says who this is. Asked for again when the server wants a fresh one. */
    token?: Secret;
    /** Against forged requests, where the server wants one. */
    csrf?: Secret;
    /** A one-time ticket. */
    ticket?: Secret;
    /** Anything, for the application: part of each hello. */
    data?: unknown;
    /** Which to try, in this order; default `["ws", "sse", "poll"]`. */
    transports?: readonly Transport[];
    /** Default JSON, with Uint8Array as bytes. */
    codec?: Codec;
    /** Default the global one; without one, sessions are carried by SSE and polls. */
    WebSocket?: new (url: string, protocols: string[]) => any;
    /** Default the global one. */
    fetch?: (url: string, init: any) => Promise<any>;
    /** Added to each POST. */
    headers?: Record<string, string>;
    /** May add to the query of each request. What is in it gets logged: no secrets. */
    params?: (query: URLSearchParams) => void;
    /**
     * How long to wait before an attempt, in ms. `attempt` is how many failed in a row, `hint` what the server asked for.
     * Default: `hint`, and a random part that grows from 0.1 s to 30 s; after a goodbye `hint` alone, which is this client's own slot.
     */
    backoff?: (attempt: number, hint: number | undefined) => number;
    /** How much may wait to be acknowledged, in bytes; default 1 MiB. */
    queueBytes?: number;
    /** How long `ask` waits, in ms; default 10 s; 0 for as long as it takes. */
    askTimeout?: number;
}
export interface AskOptions {
    /** In ms; default `askTimeout`; 0 for as long as it takes. */
    timeout?: number;
    /** Cancels the question. */
    signal?: AbortSignal;
}
/** A session with a server, over whatever connections it takes. */
export interface Client<E extends EventMap = AnyEvents> extends AsyncIterable<Incoming<E>> {
    /** What the client is doing now. */
    readonly state: State;
    /** What this client is called. */
    readonly client: string;
    /** Calls `fn` for each event of this name, in order. Binary data is a Uint8Array, no data is null. Returns what ends it. */
    on<N extends Name<E, "in">>(event: N, fn: (data: Data<E, "in", N>, event: N) => void): () => void;
    /** Calls `fn` when `n` messages of the server have been lost, where they would have come. */
    on(event: "$gap", fn: (n: number) => void): () => void;
    /** Calls `fn` when a session that could not be resumed has been replaced: what was to come in the old one will not come. */
    on(event: "$session", fn: (state: State) => void): () => void;
    /** Calls `fn` for each event, the client's own included. */
    on(event: "*", fn: (data: unknown, event: string) => void): () => void;
    /**
     * Says an event. What is said waits for a connection, in order, and is handled once. The promise is kept when the server has
     * acknowledged it, and rejected with a TroupeError `full`, `large`, `invalid` or `closed`. Nobody needs to wait for it.
     */
    send<N extends Name<E, "out">>(event: N, ...data: Given<Data<E, "out", N>>): Promise<void>;
    /** Waits until at most half of the queue is in use. Rejected with `closed`. */
    room(): Promise<void>;
    /**
     * Asks the server. Rejected with a TroupeError: what the server answered, or `timeout`, `canceled`, `full`, `large`, `invalid`,
     * `closed`.
     */
    ask<N extends Name<E, "ask">>(event: N, ...data: Given<Question<E, "ask", N>, [options?: AskOptions]>): Promise<Answer<E, "ask", N>>;
    /**
     * Answers the server's questions of this name. A TroupeError that `fn` throws is told to the server, anything else as `failed`.
     * `signal` is aborted when the answer is not wanted any more. Returns what ends it.
     */
    answer<N extends Name<E, "answer">>(event: N, fn: (question: Question<E, "answer", N>, context: {
        signal: AbortSignal;
    }) => Answer<E, "answer", N> | Promise<Answer<E, "answer", N>>): () => void;
    /** Calls `fn` at each change of the state. Returns what ends it. */
    watch(fn: (now: State, before: State) => void): () => void;
    /** Ends the session. What has not been acknowledged is rejected with `closed`. */
    close(): void;
    /**
     * Ends the session and begins another at once, as who logged in or out does. What has not been written yet is said in the new one.
     * Leads out of `closed`, too.
     */
    reconnect(): void;
    /** From now on only these transports, in this order. The session moves to the first one if it can. */
    use(...transports: Transport[]): void;
    /** For tests: drops the connection, as a broken network does. */
    break(): void;
}
/**
 * Begins a session with the events endpoint at this URL, which may be relative to the page. Returns at once; throws for options
 * that cannot work.
 */
export declare function connect<E extends EventMap = AnyEvents>(url: string | URL, options?: Options): Client<E>;
