// The timeline: a lane for each class, a button for each segment. One button is in the tab order; arrow keys move on.

import { COLOURS, make } from "./parts.js";

const MOST = 6, MOST_AT_ONCE = 20; // lanes, of one class a segment or of several; all other classes share another one
const OTHERS = "others";

export const seconds = value => value.toFixed(value < 100 ? 1 : 0);
export const inWords = ({ label, score, start, end }) => `${label}, ${score.toFixed(2)}, ${start.toFixed(2)} to ${end.toFixed(2)} s`;

/** The time that each segment covers on the timeline: an overlap is divided between the two. */
export function stretches(segments) {
  const from = segments.map(({ start }, i) => Math.max(start, i && start < segments[i - 1].end ? (start + segments[i - 1].end) / 2 : start));
  return segments.map(({ end }, i) => ({ from: from[i], to: Math.min(end, from[i + 1] ?? end) }));
}

export class Lanes {
  segments = [];
  buttons = [];

  /** `pick(number)` is called when a segment is chosen. */
  constructor(place, ticks, pick) {
    [this.place, this.ticks] = [place, ticks];
    place.addEventListener("click", event => {
      const number = this.buttons.indexOf(event.target);
      if (number < 0) return;
      this.mark(number);
      pick(number);
    });
    place.addEventListener("keydown", event => this.move(event));
  }

  /** Show the segments between `start` and `end` [s]; they can be clicked if `choosable`. A segment that may hold several
   * classes, or none, has a button for each that it holds. */
  show(given, start, end, choosable = true) {
    const times = stretches(given), parts = given.map(held);
    const segments = this.segments = parts.flat();
    this.stretches = parts.flatMap((own, i) => own.map(() => times[i]));
    const names = lanes(segments), strips = new Map();
    this.place.replaceChildren(...names.map(name => {
      const row = make("div", "row lane"), strip = make("div", "strip");
      row.append(make("div", "name", name), strip);
      strips.set(name, strip);
      return row;
    }));
    this.buttons = segments.map((segment, i) => {
      const name = names.includes(segment.label) ? segment.label : OTHERS, { from, to } = this.stretches[i];
      const button = make("button");
      Object.assign(button, { type: "button", title: inWords(segment), tabIndex: -1, disabled: !choosable });
      button.setAttribute("aria-label", inWords(segment));
      button.style.left = `${100 * (from - start) / (end - start)}%`;
      button.style.width = `${100 * (to - from) / (end - start)}%`;
      button.style.background = name === OTHERS ? COLOURS.at(-1) : COLOURS[names.indexOf(name) % MOST];
      button.style.setProperty("--score", segment.score);
      strips.get(name).append(button);
      return button;
    });
    if (this.buttons.length) this.buttons[0].tabIndex = 0;
    this.tick(start, end);
  }

  /** Mark the segments at a time and return them. */
  follow(time) {
    const now = this.stretches.map(({ from, to }) => from <= time && time < to);
    this.buttons.forEach((button, i) => button.classList.toggle("now", now[i]));
    return this.segments.filter((_, i) => now[i]);
  }

  mark(number) {
    this.buttons.forEach((button, i) => {
      button.tabIndex = i === number ? 0 : -1;
      button.setAttribute("aria-current", String(i === number));
    });
  }

  move(event) {
    const now = this.buttons.indexOf(event.target), last = this.buttons.length - 1;
    const to = { ArrowRight: now + 1, ArrowDown: now + 1, ArrowLeft: now - 1, ArrowUp: now - 1, Home: 0, End: last }[event.key];
    if (now < 0 || to === undefined) return;
    event.preventDefault();
    const next = Math.min(Math.max(to, 0), last);
    this.buttons.forEach((button, i) => { button.tabIndex = i === next ? 0 : -1; });
    this.buttons[next].focus();
  }

  tick(start, end) {
    const count = this.ticks.clientWidth > 600 ? 8 : 4;
    this.ticks.replaceChildren(...Array.from({ length: count + 1 }, (_, i) => {
      const time = start + (end - start) * i / count, mark = make("span", "", time < 0 ? "" : `${seconds(time)} s`);
      mark.style.left = `${100 * i / count}%`;
      return mark;
    }));
  }
}

/** A segment, or one for each class that it holds. */
function held(segment) {
  if (!segment.present) return [segment];
  return Object.entries(segment.present).map(([label, score]) => ({ ...segment, label, score }));
}

/** The classes with a lane, in the order of their first segment: those with the largest sums of scores. */
function lanes(segments) {
  const sums = new Map();
  for (const { label, score } of segments) sums.set(label, (sums.get(label) ?? 0) + score);
  const most = segments.some(({ present }) => present) ? MOST_AT_ONCE : MOST;
  const largest = new Set([...sums].sort((a, b) => b[1] - a[1]).slice(0, most).map(([label]) => label));
  const names = [...sums.keys()].filter(label => largest.has(label));
  return sums.size > most ? [...names, OTHERS] : names;
}
