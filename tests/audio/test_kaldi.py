"""kaldi: filters as Kaldi's source defines them."""

import numpy as np
import pytest

from hubbub.audio.kaldi import kaldi_mel_filters


@pytest.mark.parametrize(
    ("rate_hz", "n_fft", "n_mels", "lowest", "highest"),
    [(16_000, 512, 128, 20.0, 8_000.0), (32_000, 1024, 128, 0.0, 15_000.0), (16_000, 400, 23, 20.0, 7_600.0)],
)
def test_triangles_are_straight_in_mels(rate_hz: int, n_fft: int, n_mels: int, lowest: float, highest: float) -> None:
    low, high = (1127 * np.log(1 + hz / 700) for hz in (lowest, highest))
    step = (high - low) / (n_mels + 1)
    expected = np.zeros((n_fft // 2 + 1, n_mels))
    for row in range(n_fft // 2):  # Kaldi leaves the last one out
        mel = 1127 * np.log(1 + row * rate_hz / n_fft / 700)
        for band in range(n_mels):
            left, centre, right = low + step * (band + np.arange(3))
            if left < mel < right:
                expected[row, band] = (mel - left) / step if mel <= centre else (right - mel) / step
    ours = kaldi_mel_filters(rate_hz, n_fft, n_mels, lowest, highest).numpy()
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-6)
    assert (ours[0] == 0).all() and (ours[-1] == 0).all()
