// The page of `hubbub explore`. Text from the server is only ever shown as text, never as HTML.

import { $ } from "../parts.js";
import { request, setToken, Trouble } from "../server.js";
import { Classes } from "./classes.js";
import { showFigures } from "./estimates.js";
import { showFocus } from "./focus.js";
import { keepSearches } from "./kept.js";
import { actionOf, showKeys } from "./keys.js";
import * as labelling from "./labelling.js";
import { List } from "./list.js";
import { MapPart } from "./map_part.js";
import { pictures, sounds } from "./media.js";
import { Outbox } from "./outbox.js";
import { known, person } from "./people.js";
import { Player } from "./player.js";
import { fill, Search } from "./search.js";
import { goesOn, playsFocus, playsPointer } from "./settings.js";
import { guarded, showError } from "./trouble.js";
import { Wall } from "./wall.js";

const HOVER_MS = 150, PADDING_S = 2, REFRESHED = 200, ASKED = 20;
let about = null, outbox = null;
let seen = { version: 0, step: 0, statement: 0, fits: 0 }; // of the server's state, as far as the page shows it
let hoverTimer = null;

function showSaved(waiting, trouble) {
  const labels = waiting.length === 1 ? "1 label is" : `${waiting.length} labels are`;
  $("saved").textContent = trouble ? `${labels} not saved yet. ${trouble.message} Trying again.` : waiting.length ? "Saving…" : "All saved";
  $("saved").classList.toggle("wrong", Boolean(trouble));
  $("try").hidden = !trouble;
}

// Sound.

const player = new Player((segment, share) => wall.follow(segment, share), words => { $("chosen").textContent = words; });

function prefetch() {
  const at = wall.tiles.indexOf(wall.current);
  for (const next of [at + 1, at + wall.columns]) if (wall.tiles[next]) sounds.get(wall.tiles[next].data.segment).catch(() => {});
}

// The wall.

const wall = new Wall($("wall"), {
  colour: name => classes.colour(name),
  focused(data) {
    if (playsFocus()) player.play(data.segment).then(prefetch);
    showDetails();
  },
  hovered(data) {
    clearTimeout(hoverTimer);
    if (playsPointer()) hoverTimer = setTimeout(() => player.play(data.segment), HOVER_MS);
  },
  left(data) {
    clearTimeout(hoverTimer);
    if (playsPointer() && player.segment === data.segment && wall.current?.data !== data) player.stop();
  },
  clicked(data, again) {
    if (again || !playsFocus()) player.toggle(data.segment);
  },
  chosen(selected) {
    $("chosen").textContent = selected.size ? `${selected.size} selected: keys label all of them` : "";
    $("none").hidden = !selected.size;
  },
});

const list = new List(wall, marked, () => openSide(false));

/** Open what is beside the wall, where there is room for one of them only. */
function openSide(open) {
  $("side").classList.toggle("open", open);
  $("side-open").setAttribute("aria-expanded", String(open));
}

/** Segments with what the server does not know yet. */
function marked(segments) {
  return segments.map(data => {
    const waiting = outbox.waiting.flatMap(({ body }) => body.statements ?? []).filter(({ segment }) => segment === data.segment);
    return waiting.length ? { ...labelling.after(data, waiting), unsaved: true } : data;
  });
}

function update(segments) {
  marked(segments).forEach(data => wall.update(data));
  if (wall.current) showDetails();
}

// The search.

const search = new Search($("search"), () => runSearch());

function runSearch(focus = false) {
  classes.show(classes.facts, search.class);
  sessionStorage.setItem(`hubbub.search.${about.id}`, JSON.stringify(search.query()));
  if (!search.complete) {
    $("shown").textContent = search.value("by") === "like" ? "Give an example: a sound of yours, or l on a segment." : "Say what to look for.";
    return;
  }
  const query = search.query();
  list.show(search.words(), skip => request("v1/search", { ...query, skip }), focus, { class: search.class, ordered: search.ordered });
}

function example(kind) {
  if (!wall.current) return;
  search.example(wall.current.data.segment, kind);
  runSearch(true);
}

const exampleOfFile = guarded(async file => {
  if (file.size > about.limits.max_mb * 1e6) throw new Trouble(`${file.name} is larger than ${about.limits.max_mb} MB. Give a shorter sound.`);
  const form = new FormData();
  form.append("file", file);
  $("shown").textContent = `Listening to ${file.name}.`;
  search.examples.push(await request("v1/example", form));
  search.arrange();
  runSearch();
});

const exampleOfPart = guarded(async () => {
  const { start, end } = $("part").elements, { segment } = wall.current.data;
  const found = await request(`v1/part?segment=${segment}&start=${Number(start.value)}&end=${Number(end.value)}`);
  if (search.value("by") !== "like") search.set({ by: "like" });
  search.examples.push(found);
  search.arrange();
  runSearch();
});

// Classes and the head.

const classes = new Classes($("classes"), {
  show(name, scored) {
    search.set({ by: scored ? "highest" : "place", class: name, labelled: scored ? "any" : "yes" });
    runSearch(true);
  },
  near(name) {
    search.set({ by: "around", class: name, value: 0.5, labelled: "unknown" });
    runSearch(true);
  },
});

function showClasses(facts) {
  classes.show(facts, search.class);
  $("no-classes").hidden = facts.classes.length > 0;
  $("head").textContent = classes.state;
  $("automatic").checked = facts.automatic;
  const select = $("search").elements.class;
  fill(select, classes.names);
  map.classes(classes.names);
  if (wall.current) showDetails();
}

/** What random draws say of each class. */
async function showEstimates() {
  if ($("estimates").open) showFigures($("estimated"), classes.rows, (await request("v1/estimates")).classes, askDraws);
}

const askDraws = guarded(async name => {
  if (!known()) return;
  await list.show(`random draws for ${name}: y if it is in it, w if not`, async () => request("v1/draws", { who: person.name, class: name }), true, { class: name });
});

const train = guarded(async body => showClasses(await request("v1/train", body)));

const addClass = guarded(async name => {
  if (!known()) return;
  showClasses(await request("v1/classes", { who: person.name, name }));
  $("add").reset();
});

const askNext = guarded(async () => {
  const how = $("how").value, words = `to label next, ${$("how").selectedOptions[0].textContent}`;
  await list.show(words, async () => ({ segments: (await request("v1/next", { how, count: ASKED })).segments }), true);
});

// Labels.

function label(statements) {
  if (!known()) return;
  if (!statements.length) return;
  outbox.add("v1/labels", { who: person.name, statements });
  const about = new Set(statements.map(({ segment }) => segment));
  update(wall.data.filter(({ segment }) => about.has(segment)).map(data => ({ ...labelling.after(data, statements), score: null })));
  if (wall.selected.size) wall.settled = true;
}

/** A label of what the keys are about; `go` on to the next tile where it is one. */
function act(work, go = goesOn()) {
  const targets = wall.targets(), several = wall.selected.size > 0;
  if (!targets.length) return;
  label(work(targets));
  if (go && person.name && !several && !wall.next()) list.more().then(() => wall.next());
}

function undo() {
  if (!known()) return;
  outbox.add("v1/undo", { who: person.name });
}

const makeOutbox = () => new Outbox(about.id, {
  stored(answer, { path }) {
    update(answer.segments.map(data => ({ ...data, score: null })));
    if (path === "v1/undo") $("chosen").textContent = answer.segments.length ? `Undone for ${answer.segments.length === 1 ? "1 segment" : `${answer.segments.length} segments`}` : "There is nothing to undo";
  },
  refused(trouble, { body }) {
    showError(trouble);
    refresh((body.statements ?? []).map(({ segment }) => segment));
  },
  changed: showSaved,
});

/** Ask the server again for segments that are on the wall. */
async function refresh(segments) {
  const shown = new Set(wall.data.map(({ segment }) => segment)), like = [...new Set(segments)].filter(one => shown.has(one)).slice(0, REFRESHED);
  if (!like.length) return;
  const answer = await request("v1/search", { by: "these", like, limit: REFRESHED, ...(list.ordered ? { class: list.class } : {}) });
  update(answer.segments);
}

/** The segments on the screen, and those near them. */
function near() {
  const first = wall.tiles.findIndex(tile => tile.getBoundingClientRect().bottom > 0);
  return wall.data.slice(Math.max(first, 0), first + REFRESHED).map(({ segment }) => segment);
}

/** Take in what others say and what the head learns, as long as the page is open. */
async function follow() {
  for (;;) {
    try {
      if (document.hidden) await new Promise(resolve => document.addEventListener("visibilitychange", resolve, { once: true }));
      const { version, step, statement } = seen, now = await request(`v1/changes?version=${version}&step=${step}&statement=${statement}`);
      const before = seen;
      seen = now;
      if (now.version !== before.version) await Promise.all([request("v1/classes").then(showClasses), showEstimates()]);
      const fitted = now.fits !== before.fits;
      if (before.version) await refresh(fitted && list.ordered ? near() : now.segments);
      if (before.version && fitted && list.ordered) $("fresh").hidden = false;
      await map.changed(before, now);
      if (outbox.waiting.length) outbox.send();
    } catch (error) {
      if (!(error instanceof Trouble)) throw error;
      if (error.status === 401) return showError(error);
      await new Promise(resolve => setTimeout(resolve, 2000));
    }
  }
}

// Details and the map.

function showDetails() {
  showFocus(wall.current?.data, classes, name => name === null ? act(labelling.nothing, false) : act(targets => labelling.toggled(targets, name), false), () => act(labelling.unsure, false));
}

const map = new MapPart({
  play: segment => { if (playsPointer()) player.play(segment); },
  stop: () => player.stop(),
  picture: segment => pictures.get(segment),
  bring(segments, total) {
    const words = total > segments.length ? `of ${total} on the map, the nearest to the middle` : "on the map";
    list.show(words, async skip => {
      const like = segments.filter(one => !skip.includes(one)).slice(0, 60);
      const answer = like.length ? await request("v1/search", { by: "these", like, limit: 60 }) : { segments: [] };
      return { segments: answer.segments.map(data => ({ ...data, how: "map" })), total: segments.length };
    });
  },
  failed: showError,
});

// Start.

const start = guarded(async () => {
  about = await request("v1/archive");
  $("door").hidden = $("error").hidden = true;
  document.title = `${about.archive} · hubbub`;
  $("name").textContent = about.archive;
  const missing = about.missing ? `, ${about.missing.toLocaleString("en")} missing` : "";
  $("about").textContent = `${about.hours.toFixed(1)} h, ${about.recordings.toLocaleString("en")} recordings${missing}, ${about.segments.toLocaleString("en")} segments of ${about.segment_s.toFixed(1)} s`;
  fill($("search").elements.site, about.sites, "all");
  $("by").querySelector("[value=text]").disabled = !about.texts;
  for (const name of ["since", "until", "from", "to"]) $("search").elements[name].closest("label").hidden = !about.since;
  $("search").elements.site.closest("label").hidden = about.sites.length < 2;
  $("work").hidden = false;
  outbox = makeOutbox();
  showClasses(await request("v1/classes"));
  search.set(JSON.parse(sessionStorage.getItem(`hubbub.search.${about.id}`)) ?? { by: "random" });
  runSearch();
  known();
  follow();
});

const ACTIONS = {
  select: () => wall.current && wall.toggle(wall.current.data.segment),
  all: () => wall.choose(wall.data.map(({ segment }) => segment)),
  clear: () => wall.choose([]),
  yes: () => act(targets => list.class ? labelling.yes(targets, list.class) : labelling.confirmed(targets), true),
  no: () => list.class && act(targets => labelling.no(targets, list.class), true),
  nothing: () => act(labelling.nothing),
  unsure: () => act(labelling.unsure),
  undo,
  play: () => wall.current && player.toggle(wall.current.data.segment),
  around: () => wall.current && player.playAround(wall.current.data.segment, PADDING_S),
  like: () => example("like"),
  unlike: () => example("unlike"),
  next: askNext,
  show: () => runSearch(true),
  train: () => train({}),
  map: () => map.toggle(),
  search: () => $("by").focus(),
  help: () => $("help").showModal(),
};

document.addEventListener("keydown", event => {
  if ($("work").hidden) return;
  const action = actionOf(event);
  if (action) {
    event.preventDefault();
    ACTIONS[action](event);
    return;
  }
  const free = event.target === document.body || event.target.closest?.("#wall");
  if (free && /^(Arrow|Home|End)/.test(event.key) && !event.ctrlKey && !event.altKey && !event.metaKey) {
    event.preventDefault();
    const wanted = wall.move(event.key, event.shiftKey);
    if (!wanted && event.key === "ArrowDown") list.more();
  }
  const name = !event.ctrlKey && !event.metaKey && !event.altKey && !event.target.closest?.("input, select, dialog") && classes.named(event.key);
  if (name) act(targets => labelling.toggled(targets, name));
});
for (const [id, action] of Object.entries({ next: "next", undo: "undo", all: "all", none: "clear", fresh: "show", play: "play", around: "around", like: "like", unlike: "unlike", train: "train", "map-open": "map", "help-open": "help" })) {
  $(id).addEventListener("click", () => ACTIONS[action]());
}
$("estimates").addEventListener("toggle", guarded(showEstimates));
$("side-open").addEventListener("click", () => openSide(!$("side").classList.contains("open")));
$("automatic").addEventListener("change", event => train({ automatic: event.target.checked }));
$("add").addEventListener("submit", event => { event.preventDefault(); if (event.target.elements.name.value.trim()) addClass(event.target.elements.name.value); });
$("file").addEventListener("change", event => {
  const [file] = event.target.files;
  event.target.value = "";
  if (file) exampleOfFile(file);
});
$("part").addEventListener("submit", event => { event.preventDefault(); exampleOfPart(); });
$("try").addEventListener("click", () => outbox.send());
$("door").addEventListener("submit", event => {
  event.preventDefault();
  setToken($("token").value.trim());
  start();
});
keepSearches(search, query => { search.set(query); runSearch(); });
showKeys();
addEventListener("beforeunload", event => { if (outbox?.waiting.length) event.preventDefault(); });
start();
