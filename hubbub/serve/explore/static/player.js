// Plays the sound of one segment at a time.

import { bytes } from "../server.js";
import { sounds } from "./media.js";

export class Player {
  segment = null; // that plays, or will as soon as its sound is here

  /** Callbacks: `moved(segment, share)` with null for the end, and `failed(words, segment)`. */
  constructor(moved, failed) {
    Object.assign(this, { moved, failed });
    this.audio = new Audio();
    this.audio.addEventListener("ended", () => this.stop());
    this.audio.addEventListener("play", () => this.follow());
  }

  async play(segment) {
    await this.start(segment, () => sounds.get(segment));
  }

  /** With some seconds of the recording before and after it. */
  async playAround(segment, padding) {
    await this.start(segment, async () => URL.createObjectURL(await bytes(`v1/sound?segment=${segment}&padding=${padding}`)));
  }

  async start(segment, address) {
    this.stop();
    this.segment = segment;
    const mine = this.turn = {};
    try {
      const source = await address();
      if (this.turn !== mine) return;
      this.audio.src = source;
      await this.audio.play();
    } catch (error) {
      if (this.turn !== mine || error.name === "AbortError") return;
      this.stop();
      this.failed(error.name === "NotAllowedError" ? "The browser plays sound once you have clicked or pressed a key here." : error.message, segment);
    }
  }

  stop() {
    this.turn = null;
    this.audio.pause();
    if (this.segment !== null) this.moved(this.segment, null);
    this.segment = null;
  }

  toggle(segment) {
    if (this.segment === segment) this.stop();
    else this.play(segment);
  }

  follow() {
    if (this.audio.paused || this.segment === null) return;
    this.moved(this.segment, this.audio.currentTime / this.audio.duration || 0);
    requestAnimationFrame(() => this.follow());
  }
}
