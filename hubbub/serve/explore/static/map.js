// The map: a point for each segment, coloured by class or score. Hover plays, a drag brings segments to the wall.

import { COLOURS } from "../parts.js";

const REACH = 14; // pixels to the nearest point
const STEP = 0.02; // of the map, for arrow keys
const MOST = 200; // segments that a drag brings to the wall

export class Map {
  x = [];
  y = [];
  scores = [];
  known = [];
  over = -1;
  at = [0.5, 0.5];
  box = null;

  /** Callbacks: `hovered(segment, pixels)` with -1 for none, `brushed(segments)`. */
  constructor(canvas, callbacks) {
    Object.assign(this, { canvas, callbacks });
    canvas.addEventListener("pointermove", event => this.move(event));
    canvas.addEventListener("pointerleave", () => this.hover(-1));
    canvas.addEventListener("pointerdown", event => this.down(event));
    canvas.addEventListener("pointerup", event => this.up(event));
    canvas.addEventListener("keydown", event => this.key(event));
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  points({ x, y }) {
    [this.x, this.y] = [x, y];
    this.draw();
  }

  /** `byScore`: the colours are scores of a class. */
  colours({ scores, known }, byScore) {
    Object.assign(this, { scores, known, byScore });
    this.draw();
  }

  place(segment) {
    const { clientWidth, clientHeight } = this.canvas;
    return [this.x[segment] / 1000 * clientWidth, this.y[segment] / 1000 * clientHeight];
  }

  draw() {
    const { canvas } = this, ratio = devicePixelRatio || 1;
    if (!canvas.clientWidth) return;
    canvas.width = canvas.clientWidth * ratio;
    canvas.height = canvas.clientHeight * ratio;
    const context = canvas.getContext("2d"), style = getComputedStyle(canvas);
    const ink = style.getPropertyValue("--ink"), muted = style.getPropertyValue("--muted");
    context.scale(ratio, ratio);
    const size = this.x.length > 20000 ? 2 : 3;
    const dot = (segment, colour, alpha, side) => {
      const [x, y] = this.place(segment);
      context.globalAlpha = alpha;
      context.fillStyle = colour;
      context.fillRect(x - side / 2, y - side / 2, side, side);
    };
    const later = [];
    for (let segment = 0; segment < this.x.length; segment++) {
      const score = this.scores[segment] ?? -1, known = this.known[segment] ?? -1;
      if (known >= (this.byScore ? 1 : 0)) later.push(segment);
      else if (this.byScore && score >= 0) dot(segment, score >= 500 ? COLOURS[1] : muted, score >= 500 ? score / 1000 : 0.2 + score / 1000, size);
      else dot(segment, muted, 0.4, size);
    }
    for (const segment of later) dot(segment, this.byScore ? COLOURS[0] : COLOURS[this.known[segment] % COLOURS.length], 1, size + 4);
    context.globalAlpha = 1;
    context.strokeStyle = ink;
    context.lineWidth = 2;
    if (this.over >= 0) {
      const [x, y] = this.place(this.over);
      context.strokeRect(x - 6, y - 6, 12, 12);
    }
    if (this.box) context.strokeRect(...this.box.from, this.box.to[0] - this.box.from[0], this.box.to[1] - this.box.from[1]);
  }

  nearest(x, y, reach = REACH) {
    let best = -1, least = reach ** 2;
    for (let segment = 0; segment < this.x.length; segment++) {
      const [px, py] = this.place(segment), far = (px - x) ** 2 + (py - y) ** 2;
      if (far < least) [best, least] = [segment, far];
    }
    return best;
  }

  hover(segment) {
    if (segment === this.over) return;
    this.over = segment;
    this.callbacks.hovered(segment, segment < 0 ? null : this.place(segment));
    this.draw();
  }

  move({ offsetX, offsetY }) {
    if (this.box) {
      this.box.to = [offsetX, offsetY];
      this.draw();
    } else this.hover(this.nearest(offsetX, offsetY));
  }

  down(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.box = { from: [event.offsetX, event.offsetY], to: [event.offsetX, event.offsetY] };
  }

  up({ offsetX, offsetY }) {
    if (!this.box) return;
    const [left, right] = [this.box.from[0], offsetX].sort((a, b) => a - b), [top, bottom] = [this.box.from[1], offsetY].sort((a, b) => a - b);
    this.box = null;
    if (right - left < 4 && bottom - top < 4) this.around(offsetX, offsetY);
    else this.bring(this.x.map((_, segment) => segment).filter(segment => {
      const [x, y] = this.place(segment);
      return x >= left && x <= right && y >= top && y <= bottom;
    }), (left + right) / 2, (top + bottom) / 2);
    this.draw();
  }

  /** Bring the nearest segments to the wall. */
  around(x, y) {
    this.bring(this.x.map((_, segment) => segment), x, y, 60);
  }

  bring(segments, x, y, most = MOST) {
    const far = segment => { const [px, py] = this.place(segment); return (px - x) ** 2 + (py - y) ** 2; };
    const sorted = segments.map(segment => [far(segment), segment]).sort((a, b) => a[0] - b[0]).slice(0, most);
    if (sorted.length) this.callbacks.brushed(sorted.map(([, segment]) => segment), segments.length);
  }

  key(event) {
    const by = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key];
    const { clientWidth, clientHeight } = this.canvas;
    if (by) {
      this.at = this.at.map((value, i) => Math.min(Math.max(value + by[i], 0), 1));
      this.hover(this.nearest(this.at[0] * clientWidth, this.at[1] * clientHeight, Infinity));
    } else if (event.key === "Enter") this.around(this.at[0] * clientWidth, this.at[1] * clientHeight);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
