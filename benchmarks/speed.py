"""Speed of hubbub's rooms against the libraries people would use instead, in one run on one machine.

Prints a table: seconds of sound handled a second, ours and theirs, and the ratio. Run: make benchmarks
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np
import soundfile
import torch
from rich.console import Console
from rich.table import Table

from hubbub.audio import decode
from hubbub.audio.logmel import LogMel
from hubbub.models.esresnext import BAND_BINS, BANDS, BINS, HOP, N_FFT, WINDOW, AudioCLIP, ESResNeXt
from hubbub.models.yamnet import PATCH_SAMPLES, YAMNet

CLIPS, SECONDS, RATE_HZ = 32, 5, 44_100
REPEATS = 5


def best(work: Callable[[], object]) -> float:
    """Seconds of the fastest of some repeats, after one to warm up."""
    work()
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


class PlainESResNeXt(ESResNeXt):
    """The same network as its paper writes it: filters made anew for each batch, applied to every zero-padded frame."""

    def log_power(self, wave: torch.Tensor) -> torch.Tensor:
        wave = (wave * 32_768 + 32_768) * 2 / 65_535 - 1
        missing = -(wave.shape[-1] - WINDOW) % HOP
        frames = torch.nn.functional.pad(wave, (missing // 2, missing - missing // 2)).unfold(-1, WINDOW, HOP)
        before = (N_FFT - WINDOW) // 2
        frames = torch.nn.functional.pad(frames * self.window, (before, N_FFT - WINDOW - before))
        spectrum = frames.to(torch.complex64) @ torch.complex(*self.fbsp.filters()).T
        power = spectrum[..., :BINS].abs().square().unflatten(-1, (BANDS, BAND_BINS)).permute(0, 2, 3, 1)
        return 10 * torch.log10(torch.where(power > 0, power, 1e-18))


def main() -> None:
    rng = np.random.default_rng(0)
    waves = rng.normal(0, 0.1, (CLIPS, SECONDS * RATE_HZ)).astype(np.float32)
    settings = {"n_fft": 2048, "n_mels": 128}
    logmel = LogMel(RATE_HZ, hop=512, **settings)
    batch = torch.from_numpy(waves)
    yamnet = YAMNet().eval()
    segments = torch.from_numpy(rng.normal(0, 0.1, (CLIPS * 10, PATCH_SAMPLES)).astype(np.float32))
    esresnext, plain = ESResNeXt(10).eval(), PlainESResNeXt(10).eval()
    audioclip, plain_audioclip = AudioCLIP(10).eval(), AudioCLIP(10).eval()
    plain_audioclip.audio = PlainESResNeXt(1024).eval()
    second = batch[:, :42_336]  # one segment of .96 s a clip

    def librosa_logmel() -> None:
        for wave in waves:
            librosa.power_to_db(librosa.feature.melspectrogram(y=wave, sr=RATE_HZ, hop_length=512, **settings))

    sound, short = CLIPS * SECONDS, CLIPS * 0.96
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        files = [Path(folder, f"{k}.ogg") for k in range(CLIPS)]
        for file, wave in zip(files, waves, strict=True):
            soundfile.write(file, wave, RATE_HZ)
        rows = [
            (
                "decode ogg, resample to 16 kHz (librosa.load)",
                sound,
                best(lambda: [decode.load(file, 16_000) for file in files]),
                best(lambda: [librosa.load(file, sr=16_000) for file in files]),
            ),
            ("log-mel, 128 bands (librosa)", sound, best(lambda: logmel(batch)), best(librosa_logmel)),
            (
                "YAMNet embeddings, .48 s hop",
                sound,
                best(lambda: [yamnet.embed(segments[i : i + 32]) for i in range(0, len(segments), 32)]),
                None,
            ),
            (
                "ESResNeXt-fbsp's spectrogram (frame by frame)",
                short,
                best(lambda: esresnext.log_power(second)),
                best(lambda: plain.log_power(second)),
            ),
            (
                "ESResNeXt-fbsp, segments of .96 s (frame by frame)",
                short,
                best(lambda: esresnext(second)),
                best(lambda: plain(second)),
            ),
            (
                "AudioCLIP's audio branch, the same",
                short,
                best(lambda: audioclip(second)),
                best(lambda: plain_audioclip(second)),
            ),
        ]
    table = Table("work (peer)", "hubbub [s of sound / s]", "peer", "ratio")
    for name, seconds, ours, theirs in rows:
        peer = (f"{seconds / theirs:,.0f}", f"{theirs / ours:.1f}x") if theirs else ("-", "-")
        table.add_row(name, f"{seconds / ours:,.0f}", *peer)
    Console().print(table)


if __name__ == "__main__":
    main()
