// Who sits here: a name that is stored with each label, asked once and kept in the browser.

import { $ } from "../parts.js";

export const person = { name: localStorage.getItem("hubbub.who") ?? "" };

export function askWho() {
  $("who-name").value = person.name;
  $("who-ask").showModal();
}

/** Whether the name is known; it is asked for where it is not. */
export function known() {
  if (!person.name) askWho();
  return Boolean(person.name);
}

function setWho(name) {
  person.name = name.trim().replace(/\s+/g, " ");
  if (person.name) localStorage.setItem("hubbub.who", person.name);
  $("who").hidden = !person.name;
  $("who").textContent = person.name;
  $("who").setAttribute("aria-label", `You are ${person.name}: change the name`);
}

setWho(person.name);
$("who").addEventListener("click", askWho);
$("who-ask").addEventListener("close", () => setWho($("who-name").value || person.name));
