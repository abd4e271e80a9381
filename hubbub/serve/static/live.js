// The microphone, streamed to the server; the last two minutes of sound and segments are kept.

import { Rolling } from "./draw.js";
import { Stream, Trouble } from "./server.js";

export const WINDOW_S = 12; // visible part of the stream
const KEPT_S = 120;

const REFUSALS = {
  NotAllowedError: "The microphone was refused. Allow it for this page in the browser's settings, then press the button again.",
  NotFoundError: "There is no microphone here. Plug one in, then press the button again.",
  NotReadableError: "Another program uses the microphone. Close it, then press the button again.",
};

export class Live {
  segments = [];
  kept = []; // blocks
  behind = 0; // seconds from the newest sample sent to the newest segment answered

  /** Callbacks: `segment(segment)`, `event(event)`, `moved()` for new sound, and once `ended(trouble, decision)`. */
  constructor(wave, spectrogram, callbacks) {
    Object.assign(this, { wave, spectrogram, callbacks });
  }

  get seconds() { return this.stream.sent / this.stream.rate; }
  get dropped() { return this.stream.dropped; }

  /** Throws `Trouble` if there is no microphone or the server refuses the stream. */
  async start() {
    if (!navigator.mediaDevices) {
      throw new Trouble("The browser allows the microphone only on pages from this machine or over https.");
    }
    try {
      const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
      this.microphone = await navigator.mediaDevices.getUserMedia({ audio: plain });
    } catch (error) {
      throw new Trouble(REFUSALS[error.name] ?? `The microphone cannot be used: ${error.message}`);
    }
    this.context = new AudioContext();
    await this.context.audioWorklet.addModule(new URL("capture.js", import.meta.url));
    const { sampleRate } = this.context;
    this.rolling = new Rolling(this.wave, this.spectrogram, sampleRate, WINDOW_S);
    this.stream = new Stream(sampleRate, message => this.receive(message), trouble => this.close(trouble));
    const capture = new AudioWorkletNode(this.context, "capture", { numberOfOutputs: 0 });
    capture.port.onmessage = event => this.take(event.data);
    try {
      await this.stream.begun;
    } catch (trouble) {
      this.release();
      throw trouble;
    }
    this.context.createMediaStreamSource(this.microphone).connect(capture);
  }

  /** End the stream; the last answers and `ended` follow. */
  stop() {
    this.release();
    this.stream.end();
  }

  /** Stop without further callbacks. */
  leave() {
    this.callbacks = { segment() {}, event() {}, moved() {}, ended() {} };
    this.stop();
  }

  /** The sound that was kept and its segments, with times from its start. */
  recording() {
    const samples = new Float32Array(this.kept.reduce((sum, block) => sum + block.length, 0));
    let at = 0;
    for (const block of this.kept) {
      samples.set(block, at);
      at += block.length;
    }
    const from = this.seconds - samples.length / this.stream.rate;
    const segments = this.segments.filter(({ start }) => start >= from);
    const shifted = segments.map(one => ({ ...one, start: one.start - from, end: one.end - from }));
    return { samples, rate: this.stream.rate, segments: shifted, from };
  }

  take(block) {
    if (!this.stream.feed(block)) return;
    this.rolling.feed(block);
    this.kept.push(block);
    if (this.kept.length * block.length > KEPT_S * this.stream.rate) this.kept.shift();
    this.callbacks.moved();
  }

  receive(message) {
    if (message.type === "event") this.callbacks.event(message);
    if (message.type === "end") this.decision = message;
    if (message.type !== "segment") return;
    const { scores, ...segment } = message;
    this.segments.push(segment);
    while (this.segments[0]?.end < this.seconds - KEPT_S) this.segments.shift();
    this.behind = Math.max(this.seconds - segment.end, 0);
    this.callbacks.segment(message);
  }

  close(trouble) {
    this.release();
    this.callbacks.ended(trouble, this.decision);
  }

  release() {
    this.microphone.getTracks().forEach(track => track.stop());
    this.context.close().catch(() => {});
  }
}
