// The part of the page with the map: opens it, fetches points and colours, shows what is under the pointer.

import { $, make } from "../parts.js";
import { request } from "../server.js";
import { Map } from "./map.js";

const HOVER_MS = 120;

export class MapPart {
  timer = null;

  /** Callbacks: `play(segment)`, `stop()`, `picture(segment)`, `bring(segments, total)`, `failed(trouble)`. */
  constructor(callbacks) {
    Object.assign(this, callbacks);
    this.map = new Map($("map"), { hovered: (segment, at) => this.over(segment, at), brushed: (segments, total) => this.bring(segments, total) });
    this.select = make("select");
    this.select.setAttribute("aria-label", "Colours of the map");
    this.select.append(new Option("labels", ""));
    this.select.addEventListener("change", () => this.colours());
    this.words = make("span");
    $("map-words").replaceChildren(document.createTextNode("Colours: "), this.select, document.createTextNode(" "), this.words);
  }

  get open() { return !$("map-part").hidden; }

  classes(names) {
    const chosen = this.select.value;
    this.select.replaceChildren(new Option("labels", ""), ...names.map(name => new Option(`scores of ${name}`, name)));
    if (names.includes(chosen)) this.select.value = chosen;
  }

  async toggle() {
    $("map-part").hidden = this.open;
    $("map-open").setAttribute("aria-expanded", String(this.open));
    if (!this.open) return;
    $("map").focus({ preventScroll: true });
    await Promise.all([this.points(), this.colours()]);
  }

  async points() {
    try {
      const found = await request("v1/map");
      this.map.points(found);
      const hint = "Near points sound alike. Drag to bring segments to the wall, click for the nearest.";
      this.words.textContent = found.failed ? "The map cannot be computed; the server's log says why." : found.final ? hint : found.x.length ? `A better map is being computed. ${hint}` : "The map is being computed.";
    } catch (error) {
      this.failed(error);
    }
  }

  async colours() {
    try {
      const name = this.select.value, query = name ? `?${new URLSearchParams({ class: name })}` : "";
      this.map.colours(await request(`v1/map/values${query}`), Boolean(name));
    } catch (error) {
      this.failed(error);
    }
  }

  /** Take in a newer state of the server. */
  async changed(before, now) {
    if (!this.open) return;
    if (before.step !== now.step) await this.points();
    if (before.version !== now.version) await this.colours();
  }

  over(segment, at) {
    clearTimeout(this.timer);
    const box = $("map-over");
    box.hidden = segment < 0;
    if (segment < 0) return this.stop();
    const { clientWidth, clientHeight } = $("map");
    box.style.left = `${Math.min(at[0] + 12, clientWidth - box.offsetWidth - 4)}px`;
    box.style.top = `${Math.min(at[1] + 12, clientHeight - 90)}px`;
    box.lastElementChild.textContent = `segment ${segment}`;
    this.timer = setTimeout(async () => {
      this.play(segment);
      try {
        const address = await this.picture(segment);
        if (this.map.over === segment) box.firstElementChild.src = address;
      } catch {
        box.lastElementChild.textContent = `segment ${segment}: its recording cannot be read`;
      }
    }, HOVER_MS);
  }
}
