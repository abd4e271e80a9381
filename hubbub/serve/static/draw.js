// Draws waveforms and spectrograms on canvases, of a whole recording or of a stream.

import { peaks, share, Spectrum } from "./sound.js";

// From dark to bright in even steps of lightness (after matplotlib's inferno).
const STOPS = [[0, 0, 4], [40, 11, 84], [101, 21, 110], [159, 42, 99], [212, 72, 66], [245, 125, 21], [250, 193, 39], [252, 255, 164]];
const COLOURS = Array.from({ length: 256 }, (_, i) => {
  const at = i / 255 * (STOPS.length - 1), low = Math.min(Math.floor(at), STOPS.length - 2);
  return STOPS[low].map((value, c) => value + (STOPS[low + 1][c] - value) * (at - low));
});
const PIECES = 4; // spectra in one column of a long recording
const ROLLING_DB = 30; // lower limit for the loudest cell of a rolling spectrogram, so that silence stays dark

const ink = canvas => getComputedStyle(canvas).getPropertyValue("--link");

export function drawWave(canvas, samples) {
  const columns = canvas.width = Math.max(canvas.clientWidth, 1), height = canvas.height = 96;
  const context = canvas.getContext("2d"), found = peaks(samples, columns);
  const most = Math.max(...found.map(Math.abs), 1e-3);
  context.fillStyle = ink(canvas);
  for (let c = 0; c < columns; c++) bar(context, c, found[2 * c] / most, found[2 * c + 1] / most, height);
}

export function drawSpectrogram(canvas, samples, rate) {
  const spectrum = new Spectrum(rate), columns = Math.max(canvas.clientWidth, 1), step = samples.length / columns;
  const pieces = step > spectrum.size ? PIECES : 1, cells = [];
  for (let c = 0; c < columns; c++) {
    const some = Array.from({ length: pieces }, (_, p) => spectrum.at(samples, (c + (p + 0.5) / pieces) * step));
    cells.push(some[0].map((_, b) => Math.max(...some.map(one => one[b]))));
  }
  let loudest = -Infinity;
  for (const column of cells) for (const value of column) loudest = Math.max(loudest, value);
  canvas.width = columns;
  canvas.height = spectrum.bands;
  const context = canvas.getContext("2d");
  cells.forEach((column, c) => context.putImageData(painted(column, loudest), c, 0));
}

/** A rolling waveform and spectrogram, with the newest sound at the right. */
export class Rolling {
  rest = new Float32Array(0);

  constructor(wave, spectrogram, rate, seconds, columns = 300) {
    [this.wave, this.spectrogram, this.step] = [wave, spectrogram, rate * seconds / columns];
    this.spectrum = new Spectrum(rate);
    this.loudest = ROLLING_DB;
    wave.width = spectrogram.width = columns;
    wave.height = 96;
    spectrogram.height = this.spectrum.bands;
  }

  feed(block) {
    const samples = new Float32Array(this.rest.length + block.length);
    samples.set(this.rest);
    samples.set(block, this.rest.length);
    // The spectrum of a column also needs the samples before it.
    let at = this.spectrum.size;
    for (; at + this.step <= samples.length; at += this.step) this.column(samples.subarray(at - this.spectrum.size, at + this.step));
    this.rest = samples.slice(Math.max(Math.floor(at) - this.spectrum.size, 0));
  }

  column(samples) {
    const [low, high] = peaks(samples.subarray(this.spectrum.size), 1);
    const wave = rolled(this.wave);
    wave.fillStyle = ink(this.wave);
    bar(wave, this.wave.width - 1, low, high, this.wave.height);
    const cells = this.spectrum.at(samples, samples.length - this.spectrum.size / 2);
    this.loudest = Math.max(this.loudest, ...cells);
    rolled(this.spectrogram).putImageData(painted(cells, this.loudest), this.spectrogram.width - 1, 0);
  }
}

function rolled(canvas) {
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.globalCompositeOperation = "copy";
  context.drawImage(canvas, -1, 0);
  context.globalCompositeOperation = "source-over";
  return context;
}

function bar(context, column, low, high, height) {
  const top = (1 - high) * height / 2, bottom = (1 - low) * height / 2;
  context.fillRect(column, top, 1, Math.max(bottom - top, 1));
}

function painted(column, loudest) {
  const picture = new ImageData(1, column.length);
  column.forEach((value, b) => {
    picture.data.set([...COLOURS[Math.round(255 * share(value, loudest))], 255], 4 * (column.length - 1 - b));
  });
  return picture;
}
