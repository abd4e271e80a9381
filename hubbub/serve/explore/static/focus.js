// What is known of the segment with the focus: its place, its labels as buttons, and who said what.

import { $, make } from "../parts.js";

const seconds = value => Number(value.toFixed(1));

/** Show a segment, or nothing; `label(name)` is called for a class, with null for none of them, `unsure()` for that. */
export function showFocus(data, classes, label, unsure) {
  $("focus").hidden = !data;
  if (!data) return;
  const { file, start, end, site, clock, score, said } = data;
  $("focus-name").textContent = [file, `${seconds(start)} to ${seconds(end)} s`, clock.replace("T", " "), score !== null && `score ${score.toFixed(2)}`].filter(Boolean).join(" · ");
  const focused = document.activeElement?.closest("#focus-classes") ? document.activeElement.dataset.of : null;
  const button = (key, words, pressed, action, colour) => {
    const one = make("button", "small", words);
    one.type = "button";
    one.dataset.of = words;
    one.setAttribute("aria-pressed", String(pressed));
    if (colour) one.style.setProperty("--class", colour);
    if (key) one.append(make("kbd", "", key));
    one.addEventListener("click", action);
    return one;
  };
  $("focus-classes").replaceChildren(
    ...classes.names.map(name => button(classes.key(name), name, data.yes.includes(name), () => label(name), classes.colour(name))),
    ...(classes.names.length ? [button("0", "nothing of these", data.nothing, () => label(null))] : []),
    button("u", "unsure", data.unsure, unsure),
  );
  if (focused !== null) [...$("focus-classes").children].find(one => one.dataset.of === focused)?.focus();
  const values = { yes: "", no: "not ", nothing: "nothing of these", unsure: "unsure" };
  $("said").replaceChildren(...said.map(one => make("li", "", `${one.who}: ${values[one.value]}${one.class ?? ""}, ${new Date(one.at).toLocaleString()}`)));
  const fields = $("part").elements;
  if ($("part").dataset.of !== String(data.segment)) {
    $("part").dataset.of = data.segment;
    [fields.start.value, fields.end.value] = [seconds(start), seconds(end)];
  }
  if (site) $("focus-name").textContent += ` · site ${site}`;
}
