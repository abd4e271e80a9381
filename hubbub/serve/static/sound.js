// Decodes sound to mono samples, writes WAV, and computes peaks and spectra. Knows neither the page nor the server.

const DECIBELS = 80; // range of colours below the loudest cell

/** A recording's bytes -> mono samples at `rate`. Throws if the browser does not know the format. */
export async function decode(bytes, rate) {
  const held = Math.min(Math.max(rate, 8000), 96000); // what every browser can decode to
  const buffer = await new OfflineAudioContext(1, 1, held).decodeAudioData(bytes);
  const samples = buffer.getChannelData(0).slice();
  for (let channel = 1; channel < buffer.numberOfChannels; channel++) {
    buffer.getChannelData(channel).forEach((value, i) => { samples[i] += value; });
  }
  if (buffer.numberOfChannels > 1) samples.forEach((value, i) => { samples[i] = value / buffer.numberOfChannels; });
  return { samples, rate: held };
}

/** Mono samples -> a WAV file of 32-bit floats. */
export function wav(samples, rate) {
  const head = new DataView(new ArrayBuffer(44));
  const word = (at, text) => [...text].forEach((c, i) => head.setUint8(at + i, c.charCodeAt(0)));
  word(0, "RIFF"); head.setUint32(4, 36 + 4 * samples.length, true); word(8, "WAVEfmt ");
  head.setUint32(16, 16, true); head.setUint16(20, 3, true); head.setUint16(22, 1, true);
  head.setUint32(24, rate, true); head.setUint32(28, 4 * rate, true); head.setUint16(32, 4, true); head.setUint16(34, 32, true);
  word(36, "data"); head.setUint32(40, 4 * samples.length, true);
  return new Blob([head, samples], { type: "audio/wav" });
}

/** The lowest and highest sample in each column. */
export function peaks(samples, columns) {
  const found = new Float32Array(2 * columns);
  for (let c = 0; c < columns; c++) {
    const end = Math.max(Math.ceil((c + 1) * samples.length / columns), 1);
    for (let i = Math.floor(c * samples.length / columns); i < end; i++) {
      found[2 * c] = Math.min(found[2 * c], samples[i] ?? 0);
      found[2 * c + 1] = Math.max(found[2 * c + 1], samples[i] ?? 0);
    }
  }
  return found;
}

/** Short-time spectra in bands that are even in mel, from 0 Hz to half the rate. */
export class Spectrum {
  constructor(rate, bands = 96) {
    this.bands = bands;
    this.size = 2 ** Math.round(Math.log2(rate * 0.03));
    this.window = Float32Array.from({ length: this.size }, (_, i) => 0.5 - 0.5 * Math.cos(2 * Math.PI * i / this.size));
    const mel = hz => Math.log1p(hz / 700), hz = m => 700 * Math.expm1(m), top = mel(rate / 2);
    this.edges = Array.from({ length: bands + 1 }, (_, b) => hz(b / bands * top) / rate * this.size);
  }

  /** The level of each band around a sample [dB]. */
  at(samples, middle) {
    const { size } = this, real = new Float32Array(size), imaginary = new Float32Array(size);
    const start = Math.round(middle - size / 2);
    for (let i = 0; i < size; i++) real[i] = (samples[start + i] ?? 0) * this.window[i];
    transform(real, imaginary);
    const power = k => real[k] ** 2 + imaginary[k] ** 2;
    return Float32Array.from({ length: this.bands }, (_, b) => {
      const from = this.edges[b], last = Math.min(Math.ceil(this.edges[b + 1]), size / 2);
      let most = power(Math.floor(from));
      for (let k = Math.ceil(from); k < last; k++) most = Math.max(most, power(k));
      return 10 * Math.log10(most + 1e-10);
    });
  }
}

/** The fast Fourier transform (Cooley and Tukey 1965), in place; the length is a power of two. */
export function transform(real, imaginary) {
  const n = real.length;
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [real[i], real[j]] = [real[j], real[i]];
      [imaginary[i], imaginary[j]] = [imaginary[j], imaginary[i]];
    }
  }
  for (let length = 2; length <= n; length *= 2) {
    const half = length / 2;
    for (let k = 0; k < half; k++) {
      const angle = -2 * Math.PI * k / length, cos = Math.cos(angle), sin = Math.sin(angle);
      for (let i = k; i < n; i += length) {
        const j = i + half, re = real[j] * cos - imaginary[j] * sin, im = real[j] * sin + imaginary[j] * cos;
        real[j] = real[i] - re; imaginary[j] = imaginary[i] - im;
        real[i] += re; imaginary[i] += im;
      }
    }
  }
}

/** Decibels -> position in the range of colours, 1 for the loudest cell. */
export const share = (decibels, loudest) => Math.min(Math.max(1 + (decibels - loudest) / DECIBELS, 0), 1);
