// What this browser remembers: name and room for every tab, id, draft and
// outbox for this tab. All of it may fail (private windows, full disks), and
// then the page simply remembers less.

function get(store, key) {
  try {
    return JSON.parse(window[store].getItem(`troupe.${key}`));
  } catch {
    return null;
  }
}

function set(store, key, value) {
  try {
    if (value === null) window[store].removeItem(`troupe.${key}`);
    else window[store].setItem(`troupe.${key}`, JSON.stringify(value));
  } catch {
    // Remember less.
  }
}

export const browser = {
  get: (key) => get("localStorage", key),
  set: (key, value) => set("localStorage", key, value),
};

export const tab = {
  get: (key) => get("sessionStorage", key),
  set: (key, value) => set("sessionStorage", key, value),
};

// tabID is random per tab and survives a reload. A duplicated tab is handed a
// copy of sessionStorage while the first still runs and must not share its id:
// only a page that was seen leaving, or that the browser discarded, passes it on.
export function tabID() {
  let id = tab.get("id");
  if (!id || !(tab.get("left") || document.wasDiscarded)) {
    id = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    tab.set("id", id);
    tab.set("outbox", null);
  }
  tab.set("left", null);
  addEventListener("pagehide", () => tab.set("left", true));
  addEventListener("pageshow", () => tab.set("left", null));
  return id;
}
