// Code generated from Go types by troupe. DO NOT EDIT.

/** The events of this application, for connect. */
export interface Events {
  /** What the server says. */
  in: {
    nodes: PageNode;
    posted: Post;
    who: Record<string, boolean> | null;
    "who-again": string;
  };
  /** What clients say. */
  out: {
    blob: Uint8Array;
    post: Post;
    "typing/stop": unknown;
  };
  /** What clients ask, and the answers. */
  ask: {
    count: [number | null, number];
    list: [{ After: string; }, PagePost];
  };
  /** What the server asks, and the answers. */
  answer: {
    confirm: [string, boolean];
  };
}

export interface PagePost {
  items: Post[] | null;
  More: boolean;
}

export interface Post {
  id: string;
  Nick?: string;
  color: Color;
  at: string;
  until?: string;
  blob: string | null;
  raw: unknown;
  any?: unknown;
  scores: Record<string, number> | null;
  "by-level"?: Record<string, Color[] | null>;
  pair: number[];
  big: string;
  addr: string;
  opt: string | null;
  took?: number;
  inner: { a: number; };
  tree: Tree;
  node: Node;
}

export type Color = string;

export type Tree = Tree[] | null;

export interface Node {
  value: number;
  next: Node | null;
  kids?: Node[];
}

export interface PageNode {
  items: Node[] | null;
  More: boolean;
}
