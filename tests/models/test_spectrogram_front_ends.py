"""Front ends of AST, CLAP and Whisper: what the library's own feature extractors give of real recordings."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hubbub.audio import decode
from hubbub.models import ast, clap, whisper

transformers = pytest.importorskip("transformers")

#: Laughter and a siren of ESC-50, and clips that hold nothing above some frequency, or digital silence.
CLIPS = ("1-72695-A-26", "4-161099-B-47", "2-70938-A-42", "1-60997-A-20", "5-215449-A-47")
UNFUSED = {"frequency_min": 50, "truncation": "rand_trunc"}


def of_ast(wave: np.ndarray, **settings: Any) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of filters without a bin
        extractor = transformers.ASTFeatureExtractor(**settings)
    return extractor(wave, sampling_rate=16_000, return_tensors="np")["input_values"][0]


def of_clap(wave: np.ndarray, **settings: Any) -> np.ndarray:
    extractor = transformers.ClapFeatureExtractor(**UNFUSED | settings)
    return extractor(wave, sampling_rate=48_000, return_tensors="np")["input_features"][0, 0]


def of_whisper(wave: np.ndarray, **settings: Any) -> np.ndarray:
    extractor = transformers.WhisperFeatureExtractor(**settings)
    whole = np.pad(wave, (0, max(480_000 - len(wave), 0)))[:480_000]
    return extractor._np_extract_fbank_features(whole[None], "cpu")[0]


CASES: list[Any] = [
    pytest.param(ast.ASTFrontEnd, of_ast, 16_000, {}, 5.0, id="ast"),
    pytest.param(ast.ASTFrontEnd, of_ast, 16_000, {"max_length": 300, "num_mel_bins": 64}, 5.0, id="ast, cut"),
    pytest.param(ast.ASTFrontEnd, of_ast, 16_000, {"do_normalize": False}, 0.1, id="ast, as it is"),
    pytest.param(clap.ClapFrontEnd, of_clap, 48_000, UNFUSED, 5.0, id="clap, twice"),
    pytest.param(clap.ClapFrontEnd, of_clap, 48_000, UNFUSED, 3.7, id="clap, twice and silence"),
    pytest.param(clap.ClapFrontEnd, of_clap, 48_000, UNFUSED | {"padding": "repeat"}, 3.7, id="clap, repeated"),
    pytest.param(clap.ClapFrontEnd, of_clap, 48_000, UNFUSED | {"padding": "pad"}, 3.7, id="clap, once"),
    pytest.param(whisper.WhisperFrontEnd, of_whisper, 16_000, {}, 5.0, id="whisper"),
    pytest.param(whisper.WhisperFrontEnd, of_whisper, 16_000, {"feature_size": 128}, 0.31, id="whisper, 128 bands"),
]


@pytest.fixture(scope="module")
def clips(home: Callable[[str, str], Path]) -> Iterator[Callable[[int], list[np.ndarray]]]:
    """`clips(rate_hz)`: real recordings at that rate."""
    folder, held = home("data", "esc50") / "audio", dict[int, list[np.ndarray]]()

    def at(rate_hz: int) -> list[np.ndarray]:
        if rate_hz not in held:
            files = [next(folder.glob(f"{name}.*")) for name in CLIPS]
            held[rate_hz] = [decode.load(file, rate_hz) for file in files]
        return held[rate_hz]

    yield at


@pytest.mark.parametrize(("front_end", "reference", "rate_hz", "settings", "seconds"), CASES)
def test_real_clips_give_what_the_library_gives(
    front_end: type[nn.Module],
    reference: Callable[..., np.ndarray],
    rate_hz: int,
    settings: dict[str, Any],
    seconds: float,
    clips: Callable[[int], list[np.ndarray]],
) -> None:
    waves = [clip[: round(seconds * rate_hz)] for clip in clips(rate_hz)]
    ours = front_end(**settings)(torch.from_numpy(np.stack(waves)))
    for our, wave in zip(ours, waves, strict=True):
        expected = reference(wave, **settings)
        assert our.shape == expected.shape and our.dtype == torch.float32
        error = np.abs(our.numpy() - expected)
        # Bins far below the loudest one of their frame hold the rounding errors of single precision.
        assert np.linalg.norm(error) < 1e-4 * np.linalg.norm(expected)
        assert error.max() < 1e-4 * np.abs(expected).max() + 2e-4
