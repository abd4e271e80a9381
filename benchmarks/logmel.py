"""Log-mel spectrograms of 5 s clips at 44.1 kHz (2048/512/128), on an idle machine and beside another program.

    python -m benchmarks.logmel [--clips 32] [--repeats 5]

Peers: librosa, and `torch.stft` alone, which computes no mel bands and no logarithm. For the busy row, another process
holds one core. Threads that spin while they wait make that row several times as long; `run_all` and the command line of
hubbub set OMP_WAIT_POLICY=PASSIVE.
"""

from contextlib import nullcontext

import librosa
import numpy as np
import torch

from benchmarks.measure import busy_core, cores, emit, median_seconds, options
from hubbub.audio.logmel import LogMel

RATE_HZ, SECONDS, N_FFT, HOP, BANDS = 44_100, 5, 2048, 512, 128


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--clips", type=int, default=32, help="clips in a batch")
    given = parser.parse_args()
    torch.set_num_threads(cores())
    waves = np.random.default_rng(0).normal(0, 0.1, (given.clips, SECONDS * RATE_HZ)).astype(np.float32)
    batch, window = torch.from_numpy(waves), torch.hann_window(N_FFT)
    logmel = LogMel(RATE_HZ, n_fft=N_FFT, hop=HOP, n_mels=BANDS)

    def of_librosa() -> None:
        for wave in waves:
            power = librosa.feature.melspectrogram(y=wave, sr=RATE_HZ, n_fft=N_FFT, hop_length=HOP, n_mels=BANDS)
            librosa.power_to_db(power)

    works = {
        "hubbub": lambda: logmel(batch),
        "librosa": of_librosa,
        "torch.stft alone": lambda: torch.stft(batch, N_FFT, HOP, window=window, return_complex=True),
    }
    for row, name, other in (
        ("logmel", "", nullcontext()),
        ("logmel-busy", ", another program on one core", busy_core()),
    ):
        with torch.inference_mode(), other:
            seconds = median_seconds(works, given.repeats)
        figures = {peer: s / given.clips * 1000 for peer, s in seconds.items()}
        emit(row, f"log-mel of a 5 s clip, 44.1 kHz, 2048/512/128{name}", "ms", figures, cores(), given.repeats)


if __name__ == "__main__":
    main()
