"use strict";
// The page of an audit: one clip after another is played and decided on; the decisions are saved as a table. They live
// in this page's storage until then. All texts from data are set as text, never as markup.

const { key, classes, multilabel, clips } = JSON.parse(document.getElementById("data").textContent);
const find = id => document.getElementById(id);
const STORE = `hubbub audit ${key}`, REMOVE = "remove", NEW = "new:";
const COLUMNS = ["clip", "path", "start", "end", "given", "corrected", "who", "when", "why"];
const state = { at: 0, who: "", decisions: {}, ...read() }, before = [];

function read() {
  try {
    return JSON.parse(localStorage.getItem(STORE)) ?? {};
  } catch {
    return {}; // no storage here, or damaged: begin anew
  }
}

function keep() {
  try {
    localStorage.setItem(STORE, JSON.stringify(state));
    find("kept").textContent = "";
  } catch {
    find("kept").textContent = "This browser keeps nothing for this page: save before you close it.";
  }
}

const shownLabel = name => name.startsWith(NEW) ? `${name.slice(NEW.length)} (new class)` : classes.find(one => one.name === name)?.shown ?? clips.find(one => one.label === name)?.shown.label ?? name;

function described(clip) {
  const found = state.decisions[clip.clip];
  if (!found) return "";
  if (found.corrected === "") return "unsure";
  if (found.corrected === REMOVE) return "removed";
  return found.corrected === clip.label ? "kept" : `now ${shownLabel(found.corrected)}`;
}

function draw() {
  const clip = clips[state.at];
  find("place").textContent = `${state.at + 1} of ${clips.length}`;
  for (const name of ["clip", "label", "suggested", "reason", "scores", "times"]) find(name).textContent = clip.shown[name];
  find("picture").src = clip.picture;
  find("picture").alt = `Spectrogram of ${clip.shown.clip}`;
  if (find("sound").getAttribute("src") !== clip.sound) find("sound").src = clip.sound;
  find("accept").disabled = !clip.suggested;
  find("decision").textContent = described(clip) || "not decided";
  find("decided").textContent = `${Object.keys(state.decisions).length} of ${clips.length} decided`;
  find("undo").disabled = !before.length;
  [...find("list").children].forEach((row, number) => {
    row.firstChild.setAttribute("aria-current", number === state.at);
    row.lastChild.textContent = described(clips[number]);
  });
}

function move(to, focus = true) {
  state.at = Math.max(0, Math.min(clips.length - 1, to));
  find("sound").pause();
  draw();
  keep();
  find("list").children[state.at].scrollIntoView({ block: "nearest" });
  if (focus) find("card").focus({ preventScroll: true });
}

function decide(corrected, why) {
  const clip = clips[state.at];
  before.push([state.at, clip.clip, state.decisions[clip.clip]]);
  state.decisions[clip.clip] = { corrected, why, when: new Date().toISOString().slice(0, 19) + "Z" };
  move(state.at + 1);
}

function undo() {
  const last = before.pop();
  if (!last) return;
  const [at, clip, decision] = last;
  if (decision) state.decisions[clip] = decision;
  else delete state.decisions[clip];
  move(at);
}

function play() {
  const sound = find("sound");
  if (sound.paused) sound.play().catch(() => {}); // moved on before it began
  else sound.pause();
}

function choose() {
  const held = multilabel ? clips[state.at].labels : [clips[state.at].suggested || clips[state.at].label];
  for (const option of find("classes").options) option.selected = held.includes(option.value);
  find("new").value = "";
  find("choice").showModal();
  find("classes").focus();
}

function chosen() {
  const made = find("new").value.trim(), names = [...find("classes").selectedOptions].map(option => option.value);
  find("choice").close();
  if (made && !multilabel) decide(classes.some(one => one.name === made) ? made : NEW + made, "listened: chosen");
  else if (names.length || multilabel) decide(names.join("; ") || "(none)", "listened: chosen");
}

function save() {
  const cell = value => /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
  const rows = clips.filter(clip => state.decisions[clip.clip]).map(clip => {
    const { corrected, when, why } = state.decisions[clip.clip];
    return [clip.clip, clip.path, clip.start, clip.end, clip.label, corrected, state.who, when, why];
  });
  const table = [COLUMNS, ...rows].map(row => row.map(cell).join(",") + "\n").join("");
  const link = document.createElement("a");
  link.download = "corrections.csv";
  link.href = "data:text/csv;charset=utf-8," + encodeURIComponent(table);
  link.click();
}

const ACTIONS = {
  play,
  accept: () => clips[state.at].suggested && decide(clips[state.at].suggested, "listened: the suggestion is right"),
  keep: () => decide(clips[state.at].label, "listened: the label is right"),
  choose,
  unsure: () => decide("", "listened: unsure"),
  remove: () => decide(REMOVE, "listened: of no class"),
  undo,
  save,
  next: () => move(state.at + 1),
  previous: () => move(state.at - 1),
};
const KEYS = {
  " ": "play", a: "accept", k: "keep", c: "choose", u: "unsure", r: "remove", z: "undo", s: "save",
  ArrowDown: "next", ArrowRight: "next", ArrowUp: "previous", ArrowLeft: "previous",
};

document.addEventListener("keydown", event => {
  const tag = event.target.tagName;
  if (event.ctrlKey || event.metaKey || event.altKey || find("choice").open || tag === "INPUT") return;
  if (tag === "AUDIO" || (event.key === " " && (tag === "BUTTON" || tag === "A" || tag === "SUMMARY"))) return;
  const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!action) return;
  event.preventDefault();
  ACTIONS[action]();
});
for (const name of Object.keys(ACTIONS)) find(name)?.addEventListener("click", ACTIONS[name]);
find("classes").addEventListener("keydown", event => {
  if (event.key !== "Enter") return;
  event.preventDefault();
  chosen();
});
find("take").addEventListener("click", chosen);
find("new").addEventListener("keydown", event => event.key === "Enter" && (event.preventDefault(), chosen()));
find("cancel").addEventListener("click", () => find("choice").close());
find("who").addEventListener("input", () => {
  state.who = find("who").value;
  keep();
});

for (const { name, shown } of classes) find("classes").append(new Option(shown, name));
clips.forEach((clip, number) => {
  const row = document.createElement("li"), button = document.createElement("button"), mark = document.createElement("span");
  button.type = "button";
  button.textContent = `${number + 1}. ${clip.shown.label} \u2192 ${clip.shown.suggested}`;
  button.addEventListener("click", () => move(number));
  row.append(button, mark);
  find("list").append(row);
});
find("who").value = state.who;
move(state.at, false);
