// Messages as they are on the wire: text, or bytes.
import type { Codec } from "./api.js";

export type Wire = string | Uint8Array;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export const utf8 = (s: string): Uint8Array => encoder.encode(s);

/** The size of a message as windows count it. */
export const sizeOf = (m: Wire): number => (typeof m == "string" ? utf8(m) : m).length;

export const text = (m: Wire): string => (typeof m == "string" ? m : decoder.decode(m));

export const json = (m: Wire | undefined): any => JSON.parse(text(m!));

/** Cuts the first field off. The rest is undefined if there is none. */
export function cut(m: Wire): [field: string, rest: Wire | undefined] {
  const i = typeof m == "string" ? m.indexOf(" ") : m.indexOf(32);
  if (i < 0) return [text(m), undefined];
  return [text(m.slice(0, i)), typeof m == "string" ? m.slice(i + 1) : m.subarray(i + 1)];
}

/** A message of these fields and, after a space, these bytes. */
export function join(head: string, data: Uint8Array): Uint8Array {
  const front = utf8(head + " ");
  const m = new Uint8Array(front.length + data.length);
  m.set(front);
  m.set(data, front.length);
  return m;
}

/** A message of these fields and this data. Throws what the codec throws. */
export function encode(head: string, data: unknown, codec?: Codec): Wire {
  if (data == null) return head;
  if (codec) return join(head, codec.encode(data));
  if (data instanceof ArrayBuffer) data = new Uint8Array(data);
  if (ArrayBuffer.isView(data)) return join(head, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  const json = JSON.stringify(data);
  return json === undefined ? head : head + " " + json;
}

/** The data of a message. Throws what the codec throws. */
export function decode(data: Wire | undefined, codec?: Codec): unknown {
  if (data === undefined) return null;
  if (typeof data == "string") return JSON.parse(data);
  return codec ? codec.decode(data) : data;
}

export function base64(bytes: Uint8Array): string {
  let s = "";
  for (const b of bytes) s += String.fromCharCode(b);
  return btoa(s);
}

export const unbase64 = (s: string): Uint8Array => Uint8Array.from(atob(s), (c) => c.charCodeAt(0));
