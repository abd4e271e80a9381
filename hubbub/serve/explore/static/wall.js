// The wall: a grid of segments' spectrograms. One tile has the focus; arrow keys move it, by rows and columns.

import { make } from "../parts.js";
import { pictures } from "./media.js";

const seconds = value => Number(value.toFixed(1));

export class Wall {
  tiles = []; // elements, in order; each has its segment's `data`
  selected = new Set(); // segments
  current = null; // the tile with the focus
  anchor = null; // where a selection by shift began
  settled = false; // whether the selection was labelled: the next step of the focus ends it

  /** Callbacks: `focused(data)`, `hovered(data)`, `left(data)`, `clicked(data, again)` with whether it had the focus before, `chosen(selected)`; `colour(name)` is that
   * of a class. */
  constructor(place, callbacks) {
    Object.assign(this, { place, ...callbacks });
    this.seen = new IntersectionObserver(entries => entries.forEach(one => one.isIntersecting && this.load(one.target)), { rootMargin: "400px" });
    place.addEventListener("pointerdown", event => { // before the focus moves
      this.before = this.current;
      if (event.shiftKey) this.anchor ??= Math.max(this.tiles.indexOf(this.current), 0);
    });
    place.addEventListener("click", event => this.click(event));
    place.addEventListener("focusin", event => this.step(event.target.closest(".tile")));
    place.addEventListener("pointerover", event => this.hover(event, this.hovered));
    place.addEventListener("pointerout", event => this.hover(event, this.left));
  }

  get data() { return this.tiles.map(tile => tile.data); }
  tile(segment) { return this.tiles.find(tile => tile.data.segment === segment); }

  /** Show other segments. */
  show(segments) {
    this.seen.disconnect();
    this.tiles = [];
    this.current = this.anchor = null;
    this.place.replaceChildren();
    this.choose([]);
    this.add(segments);
  }

  /** Show more segments behind those that are there. */
  add(segments) {
    const known = new Set(this.tiles.map(tile => tile.data.segment));
    const added = segments.filter(({ segment }) => !known.has(segment)).map(data => this.made(data));
    this.tiles.push(...added);
    this.place.append(...added);
    added.forEach(tile => this.seen.observe(tile));
    if (!this.current && this.tiles.length) this.tiles[0].tabIndex = 0;
  }

  made(data) {
    const tile = make("button", "tile"), frame = make("span", "frame");
    tile.type = "button";
    tile.tabIndex = -1;
    tile.setAttribute("aria-pressed", "false");
    frame.append(make("span", "score"), make("i", "cursor"));
    tile.append(frame, make("span", "marks"), make("span", "where"));
    this.fill(tile, data);
    return tile;
  }

  async load(tile) {
    this.seen.unobserve(tile);
    try {
      const image = make("img");
      image.alt = "";
      image.src = await pictures.get(tile.data.segment);
      tile.firstChild.prepend(image);
    } catch (error) {
      tile.firstChild.append(make("span", "wrong", error.message));
      tile.setAttribute("aria-label", `${this.words(tile.data)}: ${error.message}`);
    }
  }

  /** Show what is now known of a segment, where it is on the wall; how it was found stays. */
  update(data) {
    const tile = this.tile(data.segment);
    if (!tile) return;
    const { score, how, weight, reason } = tile.data;
    this.fill(tile, { ...data, score: data.score ?? score, how, weight, reason });
  }

  fill(tile, data) {
    tile.data = data;
    const [frame, marks, where] = tile.children;
    frame.querySelector(".score").textContent = data.score === null ? "" : data.score.toFixed(2);
    marks.replaceChildren(...this.marks(data));
    where.replaceChildren(make("span", "", [data.reason, data.clock ? data.clock.slice(0, 16).replace("T", " ") : data.file].filter(Boolean).join(" · ")));
    tile.classList.toggle("labelled", data.yes.length > 0 || data.nothing);
    tile.classList.toggle("unsaved", Boolean(data.unsaved));
    tile.setAttribute("aria-label", this.words(data));
  }

  marks({ yes, no, nothing, unsure, unsaved }) {
    const mark = (kind, words, name) => {
      const chip = make("span", `mark ${kind}`, words);
      if (name) chip.style.setProperty("--class", this.colour(name));
      return chip;
    };
    return [
      ...(unsaved ? [mark("saving", "…")] : []),
      ...(unsure ? [mark("unsure", "unsure")] : []),
      ...yes.map(name => mark("yes", name, name)),
      ...(nothing ? [mark("nothing", "nothing")] : []),
      ...no.map(name => mark("no", name, name)),
    ];
  }

  /** A tile in words. */
  words({ file, start, end, score, yes, no, nothing, unsure, site, reason, unsaved }) {
    return [
      `${file}, ${seconds(start)} to ${seconds(end)} s`, site && `site ${site}`, score !== null && `score ${score.toFixed(2)}`, reason,
      yes.length && `labels: ${yes.join(", ")}`, no.length && `not: ${no.join(", ")}`, nothing && "nothing of these classes", unsure && "unsure",
      unsaved && "not saved yet",
    ].filter(Boolean).join("; ");
  }

  // The focus.

  step(tile) {
    if (!tile || tile === this.current) return;
    if (this.settled) this.choose([]);
    if (this.current) this.current.tabIndex = -1;
    this.tiles.forEach(one => { one.tabIndex = one === tile ? 0 : -1; });
    this.current = tile;
    this.focused(tile.data);
  }

  focus(tile) {
    if (!tile) return;
    tile.focus({ preventScroll: true });
    tile.scrollIntoView({ block: "nearest" });
  }

  get columns() {
    const top = this.tiles[0]?.offsetTop;
    const next = this.tiles.findIndex(tile => tile.offsetTop > top);
    return next < 0 ? Math.max(this.tiles.length, 1) : next;
  }

  /** Move the focus by an arrow key; `extend` selects on the way. Whether there was where to go. */
  move(key, extend = false) {
    const now = this.tiles.indexOf(this.current), last = this.tiles.length - 1;
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns, Home: -now, End: last - now }[key];
    if (!this.tiles.length || by === undefined) return false;
    const to = now < 0 ? 0 : now + by;
    if (to < 0 || (to > last && now === last)) return false;
    if (extend && this.anchor === null) this.anchor = Math.max(now, 0);
    if (!extend) this.anchor = null;
    this.focus(this.tiles[Math.min(to, last)]);
    if (extend) this.range(Math.min(to, last));
    return true;
  }

  next() { return this.move("ArrowRight"); }

  range(to) {
    const [from, end] = [Math.min(this.anchor, to), Math.max(this.anchor, to)];
    this.choose(this.tiles.slice(from, end + 1).map(tile => tile.data.segment));
  }

  // The selection.

  choose(segments) {
    this.selected = new Set(segments);
    this.settled = false;
    this.tiles.forEach(tile => tile.setAttribute("aria-pressed", String(this.selected.has(tile.data.segment))));
    this.chosen(this.selected);
  }

  toggle(segment) {
    const now = new Set(this.selected);
    if (!now.delete(segment)) now.add(segment);
    this.choose(now);
  }

  /** What a key is about: the selected segments, or that with the focus. */
  targets() {
    if (this.selected.size) return this.tiles.filter(tile => this.selected.has(tile.data.segment)).map(tile => tile.data);
    return this.current ? [this.current.data] : [];
  }

  click(event) {
    const tile = event.target.closest(".tile");
    if (!tile) return;
    const number = this.tiles.indexOf(tile);
    if (event.shiftKey) {
      this.anchor ??= 0;
      this.range(number);
    } else if (event.ctrlKey || event.metaKey) this.toggle(tile.data.segment);
    else this.clicked(tile.data, event.detail === 0 || tile === this.before); // 0: by a key
    this.focus(tile);
  }

  hover(event, callback) {
    const tile = event.target.closest(".tile");
    if (event.pointerType === "mouse" && tile && !tile.contains(event.relatedTarget)) callback(tile.data);
  }

  /** Show where in a segment the player is; null for nowhere. */
  follow(segment, share) {
    const tile = this.tile(segment);
    if (!tile) return;
    tile.classList.toggle("playing", share !== null);
    if (share !== null) tile.querySelector(".cursor").style.left = `${100 * share}%`;
  }
}
