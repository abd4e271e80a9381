// Errors, shown to the reader.

import { $ } from "../parts.js";
import { Trouble } from "../server.js";

export function showError(trouble) {
  if (trouble.name === "AbortError") return;
  if (!(trouble instanceof Trouble)) throw trouble;
  if (trouble.status === 401) {
    $("door").hidden = false;
    $("token").focus();
  }
  $("error").hidden = false;
  $("error").firstElementChild.textContent = trouble.message;
}

/** A function whose errors are shown. */
export const guarded = work => async (...args) => {
  try {
    return await work(...args);
  } catch (error) {
    showError(error);
  }
};

$("error-close").addEventListener("click", () => { $("error").hidden = true; });
