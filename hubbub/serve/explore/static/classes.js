// The classes: their keys, their colours, their counts, and where the head is.

import { COLOURS, make } from "../parts.js";

// Letters that are no command.
const KEYS = [..."123456789bcdefghijoqsv"];

export class Classes {
  rows = [];
  facts = null;

  /** Callbacks: `label(name)`, `show(name)` for its highest scores, `near(name)` for those around .5. */
  constructor(place, callbacks) {
    Object.assign(this, { place, callbacks });
  }

  get names() { return this.rows.map(({ name }) => name); }
  colour(name) { return COLOURS[Math.max(this.names.indexOf(name), 0) % COLOURS.length]; }
  key(name) { return KEYS[this.names.indexOf(name)] ?? ""; }
  named(key) { return this.rows[KEYS.indexOf(key)]?.name; }

  /** Show the answer of the server; `current` is the class that the wall is about. */
  show(facts, current) {
    this.facts = facts;
    this.rows = facts.classes;
    const focused = document.activeElement?.dataset.of;
    this.place.replaceChildren(...this.rows.map(row => this.row(row, current)));
    if (focused) [...this.place.querySelectorAll("button")].find(one => one.dataset.of === focused)?.focus();
  }

  row({ name, yes, no, scored, found }, current) {
    const row = make("li"), key = make("kbd", "", this.key(name));
    key.style.setProperty("--class", this.colour(name));
    const open = make("button", "name", name), near = make("button", "near", "?");
    open.type = near.type = "button";
    open.dataset.of = `open ${name}`;
    near.dataset.of = `near ${name}`;
    open.setAttribute("aria-current", String(name === current));
    open.title = scored ? `Show the highest scores of ${name}` : `Show what is labelled ${name}`;
    open.setAttribute("aria-label", `${name}: ${yes} labelled, ${no} without it${scored ? `, ${found} score .5 or more` : ""}. ${open.title}`);
    near.title = near.ariaLabel = `Show where the head is least sure of ${name}`;
    near.disabled = !scored;
    open.addEventListener("click", () => this.callbacks.show(name, scored));
    near.addEventListener("click", () => this.callbacks.near(name));
    const counts = make("span", "counts");
    counts.append(make("b", "", String(yes)), ` with, ${no} without${scored ? ` · ${found.toLocaleString("en")} found` : ""}`);
    counts.title = `${yes} segments are labelled with it, ${no} without it${scored ? `; ${found} score .5 or more` : ""}`;
    row.append(key, open, near, counts);
    return row;
  }

  /** Where the head is, in words. */
  get state() {
    const { labelled, unsure, nothing, training, trained, automatic, seconds, trouble } = this.facts;
    const counts = `${labelled} labelled${nothing ? `, ${nothing} with nothing` : ""}${unsure ? `, ${unsure} unsure` : ""}.`;
    if (trouble) return `${counts} ${trouble.charAt(0).toUpperCase()}${trouble.slice(1)}`;
    if (training) return `${counts} Training.`;
    if (!labelled) return "Nothing is labelled yet.";
    if (!trained) return `${counts} ${automatic ? "Training soon." : "Not trained on the latest labels: press t."}`;
    return `${counts} Trained in ${seconds.toFixed(1)} s.`;
  }
}
