import type { Codec } from "./index.js";
type Wire = string | Uint8Array;
/** A refusal, as HTTP says it. */
export interface Refusal {
    status: number;
    code?: string;
    reason?: string;
    retry?: number;
    headers?: Record<string, string>;
}
/** What a fake server does. All may be changed at any time. */
export interface Behaviour {
    /** What the hello says besides session, secret, resumed and numbers: uid, ping, pong, hold, window, windowBytes, max, data. */
    hello: Record<string, unknown>;
    /** `refuse`: no upgrade; `silent`: neither an answer nor an end. */
    webSockets: "open" | "refuse" | "silent";
    /** `buffer`: as a proxy that keeps the stream to itself; `break`: as a server that is not there; `silent`: nothing comes. */
    streams: "open" | "buffer" | "break";
    polls: "open" | "silent" | "break";
    /** Whether the client's messages are acknowledged as they come. */
    acknowledge: boolean;
    /** Who is not let in. Called with the client's hello. */
    refuse(hello: any): Refusal | undefined;
    /** A POST that carries messages is lost before the server has it, or its answer is, or is never given; or it is refused. */
    post(hello: any): "lost" | "answer lost" | "silent" | Refusal | undefined;
    /** What the client said: an event. */
    heard(session: FakeSession, event: string, data: any): void;
    /** What the client asks. What is thrown is told: a TroupeError as it is. */
    asked(session: FakeSession, event: string, data: any, signal: AbortSignal): unknown;
    /** Brings something to the other side. Default: as a microtask. */
    later(go: () => void): void;
    /** Brings a POST to the server; POSTs need not keep their order. Default: as `later` does. */
    carry(go: () => void): void;
    codec?: Codec;
}
interface Link {
    readonly kind: "ws" | "sse" | "poll";
    send(m: Wire): void;
    /** A poll takes what there is and is over. */
    flush?(): void;
    end(code: number, reason: string): void;
}
/** A session as the server has it. */
export declare class FakeSession {
    readonly server: FakeServer;
    readonly hello: any;
    readonly id: string;
    readonly secret: string;
    /** The client's hellos, the last one last. */
    readonly hellos: any[];
    /** Messages of the client, as they came: those without numbers, and those that came twice, included. */
    readonly wire: string[];
    /** Numbers: of the client's last message, and of the last of ours that it acknowledged. */
    received: number;
    acknowledged: number;
    link: Link | undefined;
    ended: boolean;
    private at;
    private told;
    private out;
    private sent;
    private questions;
    private asked;
    private lastId;
    constructor(server: FakeServer, hello: any);
    /** Says an event. */
    emit(event: string, data?: unknown): void;
    /** Asks the client. */
    ask(event: string, data?: unknown): Promise<any> & {
        cancel(): void;
    };
    /** Tells that n messages are lost. */
    gap(n: number): void;
    /** Says a numbered message, as it is. */
    say(m: Wire): void;
    /** Says a message without a number, or one that no server says. */
    raw(m: Wire): void;
    /** Acknowledges what came. */
    acknowledge(): void;
    /** Says goodbye. */
    bye(code: number, reason?: string, more?: object): void;
    /** Drops the connection without a word. */
    cut(): void;
    /** Forgets the session, as after its grace. */
    expire(): void;
    private drop;
    /** @internal A connection begins to carry this session. */
    attach(link: Link, hello: any, resumed: boolean): void;
    /** @internal A poll that goes on. */
    again(link: Link, hello: any): void;
    /** @internal What a client said on a connection, or in a POST behind a number. Returns the number of what comes before the next. */
    take(m: Wire, from?: number): number;
    private hear;
    private numbered;
    private answer;
    /** @internal Whether the client can have received so much and no more. */
    knows(n: number): boolean;
    /** The client has all up to number n. */
    private has;
    private flush;
}
/**
 * A server that speaks the protocol in memory. Give `server.options` to `connect`, with any URL.
 *
 *     const server = new FakeServer({ heard: (session, event, data) => session.emit("said", data) });
 *     const client = connect("http://test/events", server.options);
 */
export declare class FakeServer implements Behaviour {
    hello: Record<string, unknown>;
    webSockets: Behaviour["webSockets"];
    streams: Behaviour["streams"];
    polls: Behaviour["polls"];
    acknowledge: boolean;
    codec?: Codec;
    refuse: Behaviour["refuse"];
    post: Behaviour["post"];
    heard: Behaviour["heard"];
    later: Behaviour["later"];
    carry: Behaviour["carry"];
    asked: Behaviour["asked"];
    readonly sessions: Map<string, FakeSession>;
    /** The last session that began. */
    session: FakeSession;
    /** All hellos that came, those of POSTs included. */
    readonly requests: any[];
    /** What the client did that the protocol does not allow. */
    readonly errors: string[];
    /** What `connect` needs. */
    readonly options: {
        WebSocket: any;
        fetch: any;
        codec?: Codec;
    };
    constructor(behaviour?: Partial<Behaviour>);
    get window(): number;
    get max(): number;
    /** Ends all connections, and knows nothing of their sessions. */
    restart(): void;
    /** @internal */
    wrong(what: string): void;
    /** @internal The session of a hello, and whether it is the one the hello names. */
    enter(hello: any): [FakeSession, boolean];
    private fetch;
    private stream;
    private poll;
}
export {};
