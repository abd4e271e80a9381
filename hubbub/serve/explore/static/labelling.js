// What a label means: statements for the server, and what a tile shows until the server has answered.

const statement = ({ segment, how, weight }, value, name = null) => ({ segment, class: name, value, how, weight });

/** Statements that put a class on all of these segments, or take it back where all have it. */
export function toggled(targets, name) {
  const all = targets.every(({ yes }) => yes.includes(name));
  return targets.filter(({ yes }) => all || !yes.includes(name)).flatMap(one => all ? [statement(one, "", name)] : said(one, name));
}

/** A class is in a segment: what was said of the whole segment no longer counts. */
function said(one, name) {
  return [statement(one, "yes", name), ...(one.nothing || one.unsure ? [statement(one, "")] : [])];
}

export const yes = (targets, name) => targets.flatMap(one => said(one, name));
/** The labels of these segments are right as they are. */
export const confirmed = targets => targets.flatMap(one => [
  ...one.yes.map(name => statement(one, "yes", name)), ...one.no.map(name => statement(one, "no", name)), ...(one.nothing ? [statement(one, "nothing")] : []),
]);
export const no = (targets, name) => targets.map(one => statement(one, "no", name));

/** None of the classes is in these segments; or that is taken back where all have it. */
export function nothing(targets) {
  const all = targets.every(one => one.nothing);
  return targets.flatMap(one => all ? [statement(one, "")] : [...one.yes.map(name => statement(one, "", name)), statement(one, "nothing")]);
}

export function unsure(targets) {
  const all = targets.every(one => one.unsure);
  return targets.map(one => statement(one, all ? "" : "unsure"));
}

/** A segment as it is after some statements. */
export function after(data, statements) {
  const now = { ...data, yes: [...data.yes], no: [...data.no] };
  for (const { segment, class: name, value } of statements) {
    if (segment !== data.segment) continue;
    if (name === null) Object.assign(now, { nothing: value === "nothing", unsure: value === "unsure" });
    else {
      for (const list of ["yes", "no"]) now[list] = now[list].filter(one => one !== name);
      if (value) {
        now[value].push(name);
        now.unsure = false;
      }
      if (value === "yes") now.nothing = false;
    }
  }
  return now;
}
