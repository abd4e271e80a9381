// The page: classifies a recording or the microphone. Text from the server is only ever shown as text, never as HTML.

import { drawSpectrogram, drawWave } from "./draw.js";
import { inWords, Lanes, seconds } from "./lanes.js";
import { Live, WINDOW_S } from "./live.js";
import { $, make } from "./parts.js";
import { request, setToken, Trouble } from "./server.js";
import { decode, wav } from "./sound.js";

const BARS = 5, LARGE = 3; // classes with a bar; classes in large letters at once
const NONE = "none of the classes";
const player = $("player");

let about = null; // the model, once the server has described it
let given = null; // the file on the page
let shown = null; // its { samples, rate }; null if the browser cannot decode it
let chosen = -1; // the segment that was clicked
let stopAt = Infinity; // where the player stops by itself [s]
let live = null;
let work = new AbortController(); // of the upload or explanation under way

const lanes = new Lanes($("lanes"), $("ticks"), number => choose(number));

// Status and errors.

const setStatus = words => { $("status").textContent = words; };

function showError(trouble, again = null) {
  if (trouble.name === "AbortError") return;
  setStatus("");
  if (!(trouble instanceof Trouble)) throw trouble;
  $("error").hidden = false;
  $("error").firstElementChild.textContent = trouble.message;
  $("again").hidden = trouble.retry === null || !again;
  $("again").onclick = () => { hideError(); again(); };
  if (trouble.status === 401) askToken();
}

function hideError() {
  $("error").hidden = true;
}

function askToken() {
  $("door").hidden = false;
  $("token").focus();
}

// The model.

async function loadModel() {
  hideError();
  try {
    about = await request("v1/model");
  } catch (error) {
    $("about").textContent = "";
    return showError(error, loadModel);
  }
  $("door").hidden = true;
  const hop = `${about.segment_seconds.toFixed(2)} s of sound every ${about.hop_seconds.toFixed(2)} s`;
  $("about").textContent = `${about.model}: ${about.labels.length} classes, ${hop}.`;
  $("warnings").hidden = !about.warnings.length;
  $("warnings").querySelector("ul").replaceChildren(...about.warnings.map(words => make("li", "", words)));
}

// A recording.

async function classify(file) {
  stopAll();
  const mine = work = new AbortController();
  if (!about) await loadModel();
  if (!about) return;
  $("heard").hidden = true;
  const { max_mb } = about.limits;
  if (file.size > max_mb * 1e6) {
    const size = (file.size / 1e6).toFixed(1);
    return showError(new Trouble(`${file.name} has ${size} MB, and ${max_mb} MB are the most. Give a shorter or a compressed recording.`));
  }
  setStatus(`Classifying ${file.name}.`);
  try {
    const form = new FormData();
    form.append("file", file);
    const [answer, sound] = await Promise.all([
      request("v1/classify", form, mine.signal),
      file.arrayBuffer().then(bytes => decode(bytes, about.rate_hz)).catch(() => null),
    ]);
    if (mine.signal.aborted) return;
    showAnswer(answer, file, sound);
    $("heard").focus();
  } catch (error) {
    showError(error, () => classify(file));
  }
}

/** Show an answer about a file; without its `sound`, only the segments. */
function showAnswer(answer, file, sound) {
  [given, shown] = [file, sound];
  chosen = -1;
  stopAt = Infinity;
  $("heard").hidden = false;
  $("heard").className = "";
  $("figures").hidden = true;
  $("name").textContent = answer.file;
  $("unknown").hidden = answer.known !== false;
  const odd = answer.warnings ?? [];
  $("odd").hidden = !odd.length;
  $("odd").firstElementChild.replaceChildren(...odd.map(words => make("li", "", words)));
  headline(answer);
  $("segment").hidden = true;
  const unknown = answer.known === false ? " Probably none of the classes." : "";
  const found = answer.present
    ? Object.entries(answer.present).map(([label, score]) => `${label}, ${score.toFixed(2)}`).join("; ") || NONE
    : `${answer.label}, ${answer.score.toFixed(2)}`;
  setStatus([`${found}, in ${seconds(answer.seconds)} s of sound.${unknown}`, ...odd].join(" "));
  loadPlayer(sound && file);
  $("play").hidden = $("wave").parentElement.hidden = $("spectrogram").parentElement.hidden = !sound;
  lanes.show(answer.segments, 0, answer.seconds);
  $("hint").textContent = sound
    ? "Click a segment to play it and to see an explanation. Click the waveform or spectrogram to move the player."
    : "This browser cannot play this kind of file; the answer is the same. Click a segment to see an explanation.";
  draw();
}

function draw() {
  if (!shown || live) return;
  drawWave($("wave"), shown.samples);
  drawSpectrogram($("spectrogram"), shown.samples, shown.rate);
  $("highest").textContent = `0 to ${(shown.rate / 2000).toFixed(1).replace(".0", "")} kHz`;
}

/** `siren + dog`, `siren + dog + rain and 3 more`; that there is none. */
function several(names) {
  const more = names.length - LARGE;
  return names.length ? names.slice(0, LARGE).join(" + ") + (more > 0 ? ` and ${more} more` : "") : NONE;
}

function headline({ label, score, scores, present }) {
  $("label").textContent = present ? several(Object.keys(present)) : label;
  $("score").textContent = score.toFixed(2);
  const best = Object.entries(scores).sort((a, b) => b[1] - a[1]).slice(0, BARS);
  while ($("bars").children.length > best.length) $("bars").lastChild.remove();
  while ($("bars").children.length < best.length) {
    const row = make("li");
    row.append(make("span"), make("span"), make("i"));
    $("bars").append(row);
  }
  best.forEach(([name, value], i) => {
    const [word, figure, bar] = $("bars").children[i].children;
    word.textContent = name;
    figure.textContent = value.toFixed(2);
    bar.style.width = `${100 * value}%`;
  });
}

// Playback.

/** Load a file into the player, or none. */
function loadPlayer(file) {
  URL.revokeObjectURL(player.src);
  if (file) player.src = URL.createObjectURL(file);
  else player.removeAttribute("src");
  player.hidden = !file;
  moveCursor(file ? 0 : null);
  $("now").textContent = "";
}

/** Put the cursor at a time [s]; hide it for null. */
function moveCursor(time) {
  $("cursor").hidden = time === null;
  if (time !== null) $("cursor").style.left = `${100 * time / player.duration || 0}%`;
}

function followPlayer() {
  if (player.currentTime >= stopAt) {
    player.pause();
    stopAt = Infinity;
  }
  moveCursor(player.currentTime);
  const now = lanes.follow(player.currentTime).map(({ label, score }) => `${label} ${score.toFixed(2)}`);
  $("now").textContent = now.length ? `${seconds(player.currentTime)} s: ${now.join(", ")}` : "";
  if (!player.paused) requestAnimationFrame(followPlayer);
}

function seek(event) {
  if (!shown || live || !player.duration) return;
  const { left, width } = event.currentTarget.getBoundingClientRect();
  stopAt = Infinity;
  player.currentTime = player.duration * Math.min(Math.max((event.clientX - left) / width, 0), 1);
}

// A segment.

function choose(number) {
  chosen = number;
  const segment = lanes.segments[number];
  $("segment").hidden = false;
  $("segment-title").textContent = inWords(segment);
  $("why").textContent = `Why ${segment.label}?`;
  $("explanation").replaceChildren();
  if (shown) playSegment();
}

function playSegment() {
  const { start, end } = lanes.segments[chosen];
  player.currentTime = start;
  stopAt = end;
  player.play().catch(() => {}); // interrupted by a seek or another segment
}

async function explain() {
  work.abort();
  const mine = work = new AbortController(), segment = lanes.segments[chosen];
  hideError();
  $("why").disabled = true;
  $("explanation").replaceChildren(make("p", "", "Computing the explanation."));
  try {
    const form = new FormData();
    form.append("file", given);
    const { label, start, end } = segment, query = new URLSearchParams({ label, start, end });
    const why = await request(`v1/explain?${query}`, form, mine.signal);
    if (lanes.segments[chosen] === segment) $("explanation").replaceChildren(...explanationParts(why));
  } catch (error) {
    $("explanation").replaceChildren();
    showError(error, explain);
  } finally {
    $("why").disabled = false;
  }
}

function explanationParts(why) {
  const wide = make("div", "wide"), picture = make("img");
  wide.tabIndex = 0; // it scrolls on a phone
  wide.append(picture);
  picture.src = why.media[why.files.clip];
  picture.alt = `Spectrogram of the segment; the parts that count for ${why.label} are marked (${why.method}).`;
  const sounds = make("div", "pair");
  for (const [name, words] of [["listened", "The part that the model used"], ["rest", "The rest"]]) {
    const part = make("div"), sound = make("audio");
    sound.controls = true;
    sound.src = why.media[why.files[name]];
    sound.setAttribute("aria-label", words);
    part.append(make("div", "", `${words}: ${why.label} ${why.scores[name][why.label].toFixed(2)}`), sound);
    sounds.append(part);
  }
  return [wide, ...[...(why.warnings ?? []), ...why.remarks].map(words => make("p", "muted", words)), sounds];
}

// The microphone.

/** Stop the upload, the player and the microphone. */
function stopAll() {
  work.abort();
  player.pause();
  hideError();
  if (live) live.leave();
  live = null;
  setRecording(false);
}

async function listen() {
  if (live) return live.stop();
  stopAll();
  if (!about) await loadModel();
  if (!about) return;
  setStatus("Waiting for the microphone.");
  const mine = new Live($("wave"), $("spectrogram"), { segment: showSegment, event: showEvent, moved: update, ended: finishRecording });
  $("microphone").disabled = true;
  try {
    await mine.start();
  } catch (error) {
    return showError(error, listen);
  } finally {
    $("microphone").disabled = false;
  }
  live = mine;
  loadPlayer(null);
  setRecording(true);
  setStatus("Listening to the microphone.");
  $("name").textContent = "Microphone";
  headline({ label: "…", score: 0, scores: {} });
  $("score").textContent = "";
  $("highest").textContent = `0 to ${live.stream.rate / 2000} kHz`;
  $("heard").className = "live";
  $("heard").hidden = $("figures").hidden = $("wave").parentElement.hidden = $("spectrogram").parentElement.hidden = false;
  $("segment").hidden = $("unknown").hidden = $("odd").hidden = true;
  $("hint").textContent = "The newest sound is at the right.";
  update();
}

function showSegment(segment) {
  headline(segment);
}

function showEvent({ label, start, end }) {
  setStatus(`${label} from ${seconds(start)} to ${seconds(end)} s.`);
}

function update() {
  const now = live.seconds, seen = live.segments.filter(({ end }) => end > now - WINDOW_S);
  lanes.show(seen, now - WINDOW_S, now, false);
  const dropped = `${live.dropped} ${live.dropped === 1 ? "block" : "blocks"} dropped`;
  $("figures").textContent = `${seconds(now)} s received, ${live.behind.toFixed(1)} s behind, ${dropped}`;
}

function finishRecording(trouble, decision) {
  const { samples, rate, segments, from } = live.recording();
  live = null;
  setRecording(false);
  if (!decision) {
    $("heard").hidden = !samples.length;
    return showError(trouble, listen);
  }
  const kept = from > 0 ? `, its last ${seconds(samples.length / rate)} s` : "";
  const answer = { ...decision, file: `Microphone${kept}`, seconds: samples.length / rate, segments };
  showAnswer(answer, wav(samples, rate), { samples, rate });
}

function setRecording(on) {
  $("microphone").textContent = on ? "Stop listening" : "Listen to the microphone";
  $("microphone").classList.toggle("on", on);
}

// Events of the page.

$("file").addEventListener("change", event => {
  const [file] = event.target.files;
  event.target.value = ""; // the same file may be chosen again
  if (file) classify(file);
});
$("microphone").addEventListener("click", listen);
$("play").addEventListener("click", playSegment);
$("why").addEventListener("click", explain);
$("wave").addEventListener("click", seek);
$("spectrogram").addEventListener("click", seek);
$("door").addEventListener("submit", event => {
  event.preventDefault();
  setToken($("token").value.trim());
  loadModel();
});
player.addEventListener("play", followPlayer);
player.addEventListener("seeked", followPlayer);
player.addEventListener("ended", () => { stopAt = Infinity; });
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, event => {
    event.preventDefault();
    $("give").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files.length) classify(event.dataTransfer.files[0]);
  });
}
addEventListener("resize", () => { if (!live && !$("heard").hidden) draw(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
loadModel();
