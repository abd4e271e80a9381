// What random draws say of each class: how many segments hold it, and how good its scores are.

import { make } from "../parts.js";

const number = value => Math.round(value).toLocaleString("en");
const share = value => value.toFixed(2);
const interval = ({ value, low, high }, write) => `${value === null ? "?" : write(value)} (${write(low)} to ${write(high)})`;

/** Fill a list with the figures of all classes; `draw(name)` asks for the draws of one. */
export function showFigures(place, rows, estimates, draw) {
  const known = Object.fromEntries(estimates.map(one => [one.name, one]));
  place.replaceChildren(...rows.map(({ name, scored }) => {
    const item = make("li"), found = known[name], button = make("button", "small", words(found));
    button.type = "button";
    button.disabled = !scored;
    button.setAttribute("aria-label", `${words(found)} for ${name}`);
    button.addEventListener("click", () => draw(name));
    item.append(make("b", "", name), ...figures(found).map(line => make("div", "", line)), button);
    return item;
  }));
}

const words = found => found?.open ? `Label the ${found.open} open draws` : "Draw some to label";

function figures(found) {
  if (!found) return ["No random draws are labelled."];
  const { segments, precision, recall, draws, open, unsure } = found;
  const more = [segments, precision, recall].map(one => one?.more ?? 0).reduce((most, one) => Math.max(most, one), 0);
  return [
    `In ${interval(segments, number)} segments.`,
    precision && `Of scores from .5 on, ${interval(precision, share)} are right.`,
    recall && `These are ${interval(recall, share)} of all.`,
    `From ${draws - open - unsure} labelled draws${more ? `; ±.05 takes about ${number(more)} more` : ""}.`,
  ].filter(Boolean);
}
