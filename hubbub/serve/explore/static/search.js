// The search: what the form and the chips say, as a question to the server, and back.

import { $, make } from "../parts.js";

const OF_CLASS = ["highest", "around", "lowest"];
const FILTERS = ["site", "labelled", "since", "until", "from", "to"];

export class Search {
  like = [];
  unlike = [];
  examples = [];

  /** `changed()` is called when a person changes it. */
  constructor(form, changed) {
    Object.assign(this, { form, changed });
    form.addEventListener("change", event => {
      this.arrange();
      if (event.target.type !== "file") changed();
    });
    form.addEventListener("submit", event => {
      event.preventDefault();
      changed();
    });
    this.arrange();
  }

  value(name) { return this.form.elements[name].value; }
  put(name, value) { this.form.elements[name].value = value ?? ""; }
  get class() { return OF_CLASS.includes(this.value("by")) || this.value("labelled") !== "any" ? this.value("class") || null : null; }
  get ordered() { return OF_CLASS.includes(this.value("by")); }
  /** Whether there is something to search by. */
  get complete() {
    const by = this.value("by");
    if (by === "like") return this.like.length + this.examples.length > 0;
    if (by === "text") return Boolean(this.value("text").trim());
    return !this.ordered || Boolean(this.value("class"));
  }

  query() {
    const by = this.value("by"), query = { by };
    if (by === "like") Object.assign(query, { like: this.like, unlike: this.unlike, examples: this.examples });
    if (by === "text") Object.assign(query, { text: this.value("text").trim(), unlike: this.unlike });
    if (by === "around") query.value = Number(this.value("value"));
    if (this.class) query.class = this.class;
    if (this.value("site")) query.sites = [this.value("site")];
    for (const name of ["since", "until", "from", "to"]) if (this.value(name)) query[name] = this.value(name);
    if (this.value("labelled") !== "any") query.labelled = this.value("labelled");
    return query;
  }

  /** Put a question into the form. */
  set(query) {
    this.like = query.like ?? [];
    this.unlike = query.unlike ?? [];
    this.examples = query.examples ?? [];
    for (const name of ["text", "since", "until", "from", "to"]) this.put(name, query[name]?.replace(/(T?\d\d:\d\d):\d\d.*$/, "$1"));
    this.put("by", query.by ?? "place");
    this.put("class", query.class ?? this.value("class"));
    this.put("value", query.value ?? 0.5);
    this.put("site", query.sites?.[0]);
    this.put("labelled", query.labelled ?? "any");
    this.arrange();
  }

  /** Like this segment, or not; a second time takes it back. */
  example(segment, kind) {
    const other = kind === "like" ? "unlike" : "like", there = this[kind].includes(segment);
    if (this.value("by") !== "like") this.set({ ...this.query(), by: "like", like: [], unlike: [], examples: [] });
    this[other] = this[other].filter(one => one !== segment);
    this[kind] = there ? this[kind].filter(one => one !== segment) : [...this[kind], segment];
    this.arrange();
  }

  /** Show what belongs to the kind of search. */
  arrange() {
    const by = this.value("by");
    $("of-class").hidden = !(this.ordered || this.value("labelled") !== "any");
    $("of-value").hidden = by !== "around";
    $("of-text").hidden = by !== "text";
    $("of-file").hidden = by !== "like";
    const chip = (words, label, remove) => {
      const button = make("button", "chip", words);
      button.type = "button";
      button.setAttribute("aria-label", `${label}: remove it from the search`);
      button.addEventListener("click", () => {
        remove();
        this.arrange();
        this.changed();
      });
      return button;
    };
    const without = (list, one) => list.filter(other => other !== one);
    $("chips").replaceChildren(...(by !== "like" ? [] : [
      ...this.like.map(one => chip(`like ${one} ✕`, `like segment ${one}`, () => { this.like = without(this.like, one); })),
      ...this.examples.map(one => chip(`like ${one.name} ✕`, `like ${one.name}`, () => { this.examples = without(this.examples, one); })),
      ...this.unlike.map(one => chip(`not like ${one} ✕`, `not like segment ${one}`, () => { this.unlike = without(this.unlike, one); })),
    ]));
    const filters = FILTERS.filter(name => !["", "any"].includes(this.value(name))).length;
    $("filters").querySelector("summary").textContent = filters ? `Filters (${filters})` : "Filters";
  }

  /** What the wall shows, in a few words. */
  words() {
    const by = this.value("by");
    const order = {
      like: () => [...this.like.map(one => `like ${one}`), ...this.examples.map(one => `like ${one.name}`), ...this.unlike.map(one => `not like ${one}`)].join(", "),
      text: () => `"${this.value("text").trim()}"`,
      highest: () => `highest scores of ${this.value("class")}`,
      lowest: () => `lowest scores of ${this.value("class")}`,
      around: () => `scores of ${this.value("class")} around ${this.value("value")}`,
      place: () => "as recorded",
      random: () => "in random order",
    }[by]();
    const labelled = this.form.elements.labelled;
    const filters = [labelled.value !== "any" && labelled.selectedOptions[0].textContent, this.value("site")].filter(Boolean);
    return [order, ...filters].join(", ");
  }
}

/** Fill a select with options, and keep what is chosen. */
export function fill(select, values, first = null) {
  const chosen = select.value;
  const options = values.map(value => new Option(value, value));
  if (first !== null) options.unshift(new Option(first, ""));
  select.replaceChildren(...options);
  if ([...select.options].some(option => option.value === chosen)) select.value = chosen;
}
