// Requests to the server; every error has a message for the reader.

let token = "";

export const setToken = value => { token = value; };

/** An error with a message for the reader. `retry`: after how many seconds to try again; null if that does not help. */
export class Trouble extends Error {
  constructor(words, { status = 0, retry = null } = {}) {
    super(words);
    this.status = status;
    this.retry = retry;
  }
}

const GONE = "The server does not answer. Check that it still runs and that you are connected.";

/** The JSON of a route, to which a form, or an object as JSON, is sent. Throws `Trouble`. */
export const request = (path, body, signal) => answerOf(path, body, signal, reply => reply.json());

/** The bytes of a route, as a blob. Throws `Trouble`. */
export const bytes = (path, signal) => answerOf(path, null, signal, reply => reply.blob());

async function answerOf(path, body, signal, read) {
  let reply, answer;
  try {
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    if (body && !(body instanceof FormData)) {
      headers["Content-Type"] = "application/json";
      body = JSON.stringify(body);
    }
    reply = await fetch(path, { method: body ? "POST" : "GET", body, headers, signal });
    answer = await (reply.ok ? read(reply) : reply.json());
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Trouble(GONE, { retry: 0 });
  }
  if (reply.ok) return answer;
  const wait = reply.headers.get("Retry-After");
  const busy = wait === null ? "" : ` Try again in ${wait} s.`;
  throw new Trouble(sentence(answer.error ?? `The server refused (${reply.status}).`) + busy, {
    status: reply.status,
    retry: wait === null ? null : Number(wait),
  });
}

/**
 * A stream of samples to the server. `begun` is fulfilled once the server accepts it, else rejected with a `Trouble`.
 * `received` is called with each message of the server, `ended` at the end, with a `Trouble` if it failed.
 */
export class Stream {
  dropped = 0; // blocks that were not sent because the connection was too slow
  sent = 0; // samples

  constructor(rate, received, ended) {
    this.rate = rate;
    this.ready = this.over = false;
    this.begun = new Promise((resolve, reject) => { this.settle = { resolve, reject }; });
    this.socket = new WebSocket(new URL("v1/stream", location.href.replace(/^http/, "ws")));
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => this.socket.send(JSON.stringify({ type: "start", rate, encoding: "f32le", token }));
    this.socket.onmessage = event => {
      const message = JSON.parse(event.data);
      if (message.type === "ready") this.settle.resolve(this.ready = true);
      if (message.type === "error") this.finish(ended, new Trouble(sentence(message.error)));
      else received(message);
      if (message.type === "end") this.finish(ended);
    };
    this.socket.onclose = () => this.closed(ended);
  }

  get open() { return this.socket.readyState === WebSocket.OPEN; }

  /** Whether the block was sent; it is dropped if the connection is two seconds behind, so that answers stay current. */
  feed(block) {
    if (!this.ready || !this.open) return false;
    if (this.socket.bufferedAmount > 2 * 4 * this.rate) {
      this.dropped++;
      return false;
    }
    this.socket.send(block);
    this.sent += block.length;
    return true;
  }

  end() {
    if (this.open) this.socket.send('{"type": "end"}');
  }

  finish(ended, trouble) {
    if (this.over) return;
    this.over = true;
    this.socket.close();
    if (this.ready) ended(trouble);
    else this.settle.reject(trouble);
  }

  /** The browser does not say why a socket was refused: another request shows whether the server is gone or busy. */
  async closed(ended) {
    if (this.over) return;
    let trouble = new Trouble("The server has no room for another stream. Wait a moment.", { retry: 1 });
    try {
      await request("readyz");
      if (this.ready) trouble = new Trouble("The connection to the server broke.", { retry: 0 });
    } catch (error) {
      trouble = error;
    }
    this.finish(ended, trouble);
  }
}

const sentence = text => text.charAt(0).toUpperCase() + text.slice(1);
