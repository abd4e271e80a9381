// Settings of this person, kept in the browser, and the tables to save.

import { $, make } from "../parts.js";
import { bytes } from "../server.js";
import { guarded } from "./trouble.js";

export const playsFocus = () => $("on-focus").checked;
export const playsPointer = () => $("on-hover").checked;
export const goesOn = () => $("advance").checked;

for (const id of ["on-focus", "on-hover", "advance"]) {
  const kept = localStorage.getItem(`hubbub.${id}`);
  if (kept) $(id).checked = kept === "true";
  $(id).addEventListener("change", () => localStorage.setItem(`hubbub.${id}`, $(id).checked));
}

/** A link cannot send a token. */
const download = guarded(async (path, name) => {
  const link = make("a");
  link.href = URL.createObjectURL(await bytes(path));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
});

$("save-labels").addEventListener("click", () => download("v1/export/labels", "labels.csv"));
$("save-scores").addEventListener("click", () => download("v1/export/scores", "scores.csv"));
