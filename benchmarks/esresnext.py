"""ESResNeXt-fbsp and AudioCLIP's audio branch, segments of .96 s at 44.1 kHz a second, against their plain form.

    python -m benchmarks.esresnext [--segments 32] [--repeats 5]

The plain form is written as in the paper: filters are computed again for each batch and applied to every zero-padded
frame. Random weights, single precision.
"""

import numpy as np
import torch

from benchmarks.measure import cores, emit, median_seconds, options
from hubbub.models.esresnext import BAND_BINS, BANDS, BINS, HOP, N_FFT, WINDOW, AudioCLIP, ESResNeXt

SAMPLES = 42_336


class PlainESResNeXt(ESResNeXt):
    """The same network as its paper writes it."""

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
    parser = options(__doc__)
    parser.add_argument("--segments", type=int, default=32, help="segments in a batch")
    given = parser.parse_args()
    torch.set_num_threads(cores())
    noise = np.random.default_rng(0).normal(0, 0.1, (given.segments, SAMPLES)).astype(np.float32)
    wave = torch.from_numpy(noise)
    network, plain = ESResNeXt(10).eval(), PlainESResNeXt(10).eval()
    audioclip, plain_audioclip = AudioCLIP(10).eval(), AudioCLIP(10).eval()
    plain_audioclip.audio = PlainESResNeXt(1024).eval()
    rows = {
        "esresnext": ("ESResNeXt-fbsp, waves to logits", network, plain),
        "esresnext-spectrogram": ("ESResNeXt-fbsp's spectrogram alone", network.log_power, plain.log_power),
        "audioclip": ("AudioCLIP's audio branch, waves to logits", audioclip, plain_audioclip),
    }
    for row, (work, ours, theirs) in rows.items():
        with torch.inference_mode():
            works = {"hubbub": lambda run=ours: run(wave), "plain": lambda run=theirs: run(wave)}
            seconds = median_seconds(works, given.repeats)
        figures = {name: len(wave) / s for name, s in seconds.items()}
        emit(row, work, "segments/s", figures, cores(), given.repeats)


if __name__ == "__main__":
    main()
