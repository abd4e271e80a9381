// Searches that people keep, to repeat them.

import { $, make } from "../parts.js";
import { request } from "../server.js";
import { known, person } from "./people.js";
import { guarded } from "./trouble.js";

/** Show the kept searches, and keep that of the form `search` under a name; `open(query)` shows one. */
export function keepSearches(search, open) {
  const show = ({ searches }) => $("searches").replaceChildren(...searches.map(({ id, name, query, who }) => {
    const row = make("li"), chosen = make("button", "small", name), forget = make("button", "small", "✕");
    chosen.type = forget.type = "button";
    chosen.title = `Kept by ${who}`;
    forget.setAttribute("aria-label", `Delete the search ${name}`);
    chosen.addEventListener("click", () => open(query));
    forget.addEventListener("click", guarded(async () => show(await request("v1/searches/delete", { id }))));
    row.append(chosen, forget);
    return row;
  }));
  $("keep").addEventListener("submit", guarded(async event => {
    event.preventDefault();
    const { name } = event.target.elements;
    if (!known()) return;
    show(await request("v1/searches", { who: person.name, name: name.value.trim() || search.words(), query: search.query() }));
    event.target.reset();
  }));
  $("kept").addEventListener("toggle", guarded(async () => { if ($("kept").open) show(await request("v1/searches")); }));
}
