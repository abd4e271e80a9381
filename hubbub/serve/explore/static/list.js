// The list on the wall: its first segments, those that follow, and what it is about.

import { $ } from "../parts.js";
import { guarded } from "./trouble.js";

export class List {
  turn = 0; // the newest list that was asked for
  adding = false;
  words = "";
  class = null; // the class that it is about, if there is one
  ordered = false; // whether that class's scores order it

  /** `marked(segments)` gives segments with what the server does not know yet; `begun()` is called for each new list. */
  constructor(wall, marked, begun) {
    Object.assign(this, { wall, marked, begun });
    $("more").addEventListener("click", () => this.more());
    const nearEnd = new IntersectionObserver(entries => entries.some(one => one.isIntersecting) && this.more(), { rootMargin: "600px" });
    nearEnd.observe($("more"));
  }

  /** Show a list: `ask(skip)` gives its first segments and their `total`, and later those that follow. `focus`: the first
   * segment gets the focus. */
  show = guarded(async (words, ask, focus = false, of = { class: null, ordered: false }) => {
    const mine = ++this.turn;
    this.begun();
    $("shown").textContent = "Searching.";
    $("fresh").hidden = true;
    let answer;
    try {
      answer = await ask([]);
    } catch (error) {
      if (mine !== this.turn) return;
      $("shown").textContent = error.status === 422 ? error.message : "";
      if (error.status === 422) return;
      throw error;
    }
    if (mine !== this.turn) return;
    Object.assign(this, { words, ask, ...of, total: answer.total ?? answer.segments.length });
    this.wall.show(this.marked(answer.segments));
    this.count(answer.segments.length);
    const free = document.activeElement === document.body && navigator.userActivation?.hasBeenActive;
    if (focus || free) this.wall.focus(this.wall.tiles[0]);
  });

  more = guarded(async () => {
    if (this.adding || $("more").hidden) return;
    this.adding = true;
    try {
      const mine = this.turn, answer = await this.ask(this.wall.data.map(({ segment }) => segment));
      if (mine !== this.turn) return;
      this.wall.add(this.marked(answer.segments));
      this.count(answer.segments.length);
    } finally {
      this.adding = false;
    }
  });

  count(added) {
    const count = this.wall.tiles.length, of = this.total > count ? ` of ${this.total.toLocaleString("en")}` : "";
    $("shown").textContent = `${count.toLocaleString("en")}${of}: ${this.words}`;
    $("more").hidden = !added || count >= this.total;
    $("empty").hidden = count > 0;
    $("empty").textContent = "No segment is like that. Change the search or its filters.";
  }
}
