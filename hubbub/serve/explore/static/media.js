// Pictures and sounds of segments: fetched once, and the latest kept.

import { bytes } from "../server.js";

const AT_ONCE = 3; // pictures that are fetched at once: a browser opens six connections, and a sound must not wait

class Kept {
  addresses = new Map(); // segment -> promise of an address
  waiting = [];
  running = 0;

  constructor(route, most, atOnce = Infinity) {
    Object.assign(this, { route, most, atOnce });
  }

  /** The address of a segment's file, for an element's `src`. Rejected with a `Trouble`. */
  get(segment) {
    const known = this.addresses.get(segment);
    this.addresses.delete(segment); // the last in order is the latest used
    const address = known ?? this.fetched(segment);
    this.addresses.set(segment, address);
    if (!known) address.catch(() => this.addresses.delete(segment)); // so that it is tried again
    while (this.addresses.size > this.most) this.forget(this.addresses.keys().next().value);
    return address;
  }

  async fetched(segment) {
    if (this.running >= this.atOnce) await new Promise(resolve => this.waiting.push(resolve));
    this.running++;
    try {
      return URL.createObjectURL(await bytes(`${this.route}?segment=${segment}`));
    } finally {
      this.running--;
      this.waiting.pop()?.(); // the newest first: it is what is looked at now
    }
  }

  forget(segment) {
    this.addresses.get(segment)?.then(URL.revokeObjectURL, () => {});
    this.addresses.delete(segment);
  }
}

export const pictures = new Kept("v1/spectrogram", 1500, AT_ONCE);
export const sounds = new Kept("v1/sound", 60);
