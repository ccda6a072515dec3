// Words, colours and times. Everything a person wrote becomes a text node; no
// function here or anywhere on this page turns it into markup.

export const length = (text) => [...text].length;

export const tidy = (name) => [...name.replace(/\s+/g, " ").trim()].slice(0, 32).join("");

export function initials(name) {
  const words = name.match(/[\p{L}\p{N}]+/gu) ?? [[...name.trim()][0] ?? "?"];
  const letters = words.length > 1 ? [...words[0]][0] + [...words.at(-1)][0] : [...words[0]][0];
  return letters.toLocaleUpperCase();
}

// hue spreads ids over eighteen colours; the same id is always the same colour.
export function hue(id) {
  let hash = 2166136261;
  for (const char of String(id)) hash = Math.imul(hash ^ char.codePointAt(0), 16777619);
  return (((hash ^ (hash >>> 15)) >>> 0) % 18) * 20;
}

const LINK = /\bhttps?:\/\/[^\s<>"']+/giu;
const AFTER_LINK = /[.,;:!?)\]}…]+$/u;

// linked returns text as nodes, its web addresses as links.
export function linked(text) {
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(LINK)) {
    const address = trimmed(match[0]);
    if (!URL.canParse(address)) continue;
    const a = document.createElement("a");
    a.href = address;
    a.textContent = address;
    a.target = "_blank";
    a.rel = "noopener noreferrer nofollow";
    nodes.push(text.slice(end, match.index), a);
    end = match.index + address.length;
  }
  nodes.push(text.slice(end));
  return nodes;
}

// A full stop after an address ends the sentence, not the address; a closing
// bracket belongs to it only when it was opened inside.
function trimmed(address) {
  if (address.endsWith(")") && address.includes("(")) return address;
  return address.replace(AFTER_LINK, "");
}

export const onlyEmoji = (text) => /^(?:\p{Extended_Pictographic}[\p{Emoji_Modifier}\u{FE0F}\u{200D}]*){1,6}$/u.test(text);

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });
const thisYear = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const otherYear = new Intl.DateTimeFormat(undefined, { dateStyle: "long" });

export const time = (at) => clock.format(at);
export const fullTime = (at) => whole.format(at);

export function day(at, now = new Date()) {
  const then = new Date(at);
  const midnight = (date) => new Date(date.getFullYear(), date.getMonth(), date.getDate());
  const days = Math.round((midnight(now) - midnight(then)) / 86_400_000);
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  return (then.getFullYear() === now.getFullYear() ? thisYear : otherYear).format(then);
}

export function listed(names) {
  if (names.length === 1) return `${names[0]} is typing`;
  if (names.length === 2) return `${names[0]} and ${names[1]} are typing`;
  return "Several people are typing";
}
