// What a person said, on its way to the server: in order, one at a time, until the server has answered that it is stored.
// It is also kept in the browser, so that a closed page sends it when it is opened again. The server knows each request by
// its number, so one that is sent twice counts once.

import { request } from "../server.js";

const WAITS_S = [1, 2, 4, 8];

export const number = () => [...crypto.getRandomValues(new Uint8Array(16))].map(b => b.toString(16).padStart(2, "0")).join("");

export class Outbox {
  waiting = []; // { path, body }
  tries = 0;
  timer = null;
  sending = false;

  /** Callbacks: `stored(answer, item)`, `refused(trouble, item)`, and `changed(waiting, trouble)`, where `trouble` is why the
   * first one has not arrived. */
  constructor(archive, { stored, refused, changed }) {
    Object.assign(this, { stored, refused, changed });
    this.prefix = `hubbub.unsaved.${archive}.`;
    this.key = this.prefix + number();
    for (const key of Object.keys(localStorage).filter(key => key.startsWith(this.prefix))) {
      this.waiting.push(...JSON.parse(localStorage.getItem(key)));
      localStorage.removeItem(key);
    }
    this.keep();
    this.send();
  }

  add(path, body) {
    const item = { path, body: { ...body, request: number() } };
    this.waiting.push(item);
    this.keep();
    this.changed(this.waiting, null);
    this.send();
    return item;
  }

  keep() {
    if (this.waiting.length) localStorage.setItem(this.key, JSON.stringify(this.waiting));
    else localStorage.removeItem(this.key);
  }

  async send() {
    if (this.sending) return;
    clearTimeout(this.timer);
    this.sending = true;
    let trouble = null;
    while (this.waiting.length && !trouble) {
      const item = this.waiting[0];
      try {
        const answer = await request(item.path, item.body);
        this.done();
        this.stored(answer, item);
      } catch (error) {
        if ([400, 413, 422].includes(error.status)) {
          this.done();
          this.refused(error, item);
        } else trouble = error;
      }
    }
    this.sending = false;
    this.changed(this.waiting, trouble);
    if (trouble) this.timer = setTimeout(() => this.send(), 1000 * WAITS_S[Math.min(this.tries++, WAITS_S.length - 1)]);
  }

  done() {
    this.waiting.shift();
    this.tries = 0;
    this.keep();
  }
}
