// The microphone, heard by the server while it goes on; what was heard is kept for as long as a page can hold it.

import { Rolling } from "./draw.js";
import { Stream, Trouble } from "./server.js";

export const WINDOW_S = 12; // what is seen of it
const KEPT_S = 120;

const REFUSALS = {
  NotAllowedError: "The microphone was refused. Allow it for this page in the browser's settings, then press the button again.",
  NotFoundError: "There is no microphone here. Plug one in, then press the button again.",
  NotReadableError: "The microphone is in use by something else. Close that, then press the button again.",
};

export class Live {
  segments = [];
  kept = []; // blocks
  behind = 0; // seconds from the newest sample sent to the newest segment answered

  /** `heard(segment)`, `event(event)` and `moved()` tell what happens; `ended(trouble, decision)` is told once. */
  constructor(wave, spectrogram, tell) {
    Object.assign(this, { wave, spectrogram, tell });
  }

  get seconds() { return this.stream.sent / this.stream.rate; }
  get dropped() { return this.stream.dropped; }

  /** Throws `Trouble` where there is no microphone to be had, or no server to hear it. */
  async start() {
    if (!navigator.mediaDevices) {
      throw new Trouble("The browser gives the microphone only to pages of this machine or over https.");
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
    this.stream = new Stream(sampleRate, message => this.hear(message), trouble => this.close(trouble));
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

  /** Ask for what is left; `ended` follows. */
  stop() {
    this.release();
    this.stream.end();
  }

  /** Stop without another word: something else is to be heard. */
  leave() {
    this.tell = { heard() {}, event() {}, moved() {}, ended() {} };
    this.stop();
  }

  /** The sound that was kept, and the segments that lie in it, both from its own start. */
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
    this.tell.moved();
  }

  hear(message) {
    if (message.type === "event") this.tell.event(message);
    if (message.type === "end") this.decision = message;
    if (message.type !== "segment") return;
    const { scores, ...segment } = message;
    this.segments.push(segment);
    while (this.segments[0]?.end < this.seconds - KEPT_S) this.segments.shift();
    this.behind = Math.max(this.seconds - segment.end, 0);
    this.tell.heard(message);
  }

  close(trouble) {
    this.release();
    this.tell.ended(trouble, this.decision);
  }

  release() {
    this.microphone.getTracks().forEach(track => track.stop());
    this.context.close().catch(() => {});
  }
}
