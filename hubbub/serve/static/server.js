// What the page asks of the server; every way it can go wrong, in words.

let token = "";

export const tell = value => { token = value; };

/** Something that did not work, in words for the reader. `retry` are seconds, where asking again may help. */
export class Trouble extends Error {
  constructor(words, { status = 0, retry = null } = {}) {
    super(words);
    this.status = status;
    this.retry = retry;
  }
}

const GONE = "The server does not answer. See whether it still runs and whether you are connected.";

/** The JSON of a route. Throws `Trouble`. */
export async function ask(path, body, signal) {
  let reply, answer;
  try {
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    reply = await fetch(path, { method: body ? "POST" : "GET", body, headers, signal });
    answer = await reply.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Trouble(GONE, { retry: 0 });
  }
  if (reply.ok) return answer;
  const wait = reply.headers.get("Retry-After");
  const busy = wait === null ? "" : ` The server asks for ${wait} s of patience.`;
  throw new Trouble(sentence(answer.error ?? `The server refused (${reply.status}).`) + busy, {
    status: reply.status,
    retry: wait === null ? null : Number(wait),
  });
}

/**
 * Samples to the server, what it hears back. `begun` is fulfilled once the server listens, else rejected with a
 * `Trouble`. `said` gets each message of the server; `ended` is told when the stream is over, with a `Trouble` unless
 * all went well.
 */
export class Stream {
  dropped = 0; // blocks that were not sent because the line was full
  sent = 0; // samples

  constructor(rate, said, ended) {
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
      else said(message);
      if (message.type === "end") this.finish(ended);
    };
    this.socket.onclose = () => this.closed(ended);
  }

  get open() { return this.socket.readyState === WebSocket.OPEN; }

  /** Whether the block was sent. A line that is two seconds behind takes no more, so that answers stay fresh. */
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

  /** A refused socket tells a page nothing: whether the server is gone or busy is found out by asking it. */
  async closed(ended) {
    if (this.over) return;
    let trouble = new Trouble("The server took no stream: it has as many as it takes. Wait a moment.", { retry: 1 });
    try {
      await ask("readyz");
      if (this.ready) trouble = new Trouble("The line to the server broke.", { retry: 0 });
    } catch (error) {
      trouble = error;
    }
    this.finish(ended, trouble);
  }
}

const sentence = text => text.charAt(0).toUpperCase() + text.slice(1);
