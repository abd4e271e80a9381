// The keys, and what they do, for the page and for its help.

import { $, make } from "../parts.js";

/** [keys, what they do, action]; `actions` are called with the event. */
const COMMANDS = [
  ["← → ↑ ↓", "move; the segment with the focus plays"],
  ["Shift + arrows", "select on the way"],
  ["x", "select, or not", "select"],
  ["a", "select all that are shown", "all"],
  ["Esc", "clear the selection", "clear"],
  ["1–9, b–v", "a class is in it, or no longer: of the selection, or of the segment with the focus"],
  ["y", "yes: the class that the list is about is in it, or without one its labels are right; go on", "yes"],
  ["w", "wrong: that class is not in it; go on", "no"],
  ["0", "none of the classes is in it", "nothing"],
  ["u", "unsure", "unsure"],
  ["z", "undo your last label, or your last labels at once", "undo"],
  ["Space", "play, or stop", "play"],
  ["p", "play with 2 s before and after", "around"],
  ["l", "search for what is like this", "like"],
  ["k", "and not like this", "unlike"],
  ["n", "ask what to label next", "next"],
  ["r", "show the list again, in the newest order", "show"],
  ["t", "train now", "train"],
  ["m", "the map", "map"],
  ["/", "go to the search", "search"],
  ["?", "this help", "help"],
];

const NAMED = { Escape: "clear", " ": "play" };
const BY_KEY = Object.fromEntries(COMMANDS.filter(([, , action]) => action).map(([key, , action]) => [key, action]));

/** The action of a key press, if it is one of the page's. */
export function actionOf(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  if (document.querySelector("dialog[open]")) return null;
  const field = event.target.closest?.("input:not([type=checkbox]), select, textarea");
  if (field) return null;
  if (event.key === " " && event.target.closest?.("button, summary, input, a") && !event.target.closest(".tile")) return null;
  return NAMED[event.key] ?? BY_KEY[event.key] ?? null;
}

/** Fill the help. */
export function showKeys() {
  $("keys").replaceChildren(...COMMANDS.flatMap(([key, words]) => {
    const term = make("dt");
    term.append(make("kbd", "", key));
    return [term, make("dd", "", words)];
  }));
}
