// What all pages are made of.

// Okabe and Ito's colours, which people with any colour vision can tell apart; the last is for all others.
export const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c8c8c"];

export const $ = id => document.getElementById(id);

/** An element with plain text. */
export function make(tag, kind = "", text = "") {
  const element = document.createElement(tag);
  if (kind) element.className = kind;
  element.textContent = text;
  return element;
}
