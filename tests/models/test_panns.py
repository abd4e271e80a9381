"""panns: the reference's golden values, and the published file with what lies beside its weights."""

import math
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from hubbub.audio.logmel import log_mel
from hubbub.models.checkpoint import CheckpointError
from hubbub.models.panns import HOP, RATE_HZ, SHORTEST, Cnn14
from hubbub.models.weights import load_weights
from tests.helpers.filled import filled, golden_folder
from tests.helpers.signals import seeded

Home = Callable[[str, str], Path]
State = OrderedDict[str, Tensor]
FILE = "Cnn14_mAP=0.431.pth"
#: The checkpoint's tensors that are its spectrogram.
KERNELS = ("spectrogram_extractor.stft.conv_real.weight", "spectrogram_extractor.stft.conv_imag.weight")
FILTERS = "logmel_extractor.melW"


def spectrogram(rate_hz: int, n_fft: int, f_max_hz: float) -> State:
    """The spectrogram's tensors as published, computed by numpy and librosa."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    transform = np.exp(-2j * np.pi * np.outer(np.arange(n_fft // 2 + 1), np.arange(n_fft)) / n_fft) * window
    mel = librosa.filters.mel(sr=rate_hz, n_fft=n_fft, n_mels=64, fmin=50, fmax=f_max_hz)
    values = (transform.real[:, None], transform.imag[:, None], np.ascontiguousarray(mel.T))
    return OrderedDict(
        (name, torch.from_numpy(value).float()) for name, value in zip((*KERNELS, FILTERS), values, strict=True)
    )


def write(state: State, path: Path) -> Path:
    """As PANNs' training writes a checkpoint: torch's format of then, and a sampler's arrays beside the weights."""
    sampler = {"indexes": np.arange(7), "pointer": np.int64(3), "queue": [1, 2]}
    torch.save({"iteration": 600_000, "model": state, "sampler": sampler}, path, _use_new_zipfile_serialization=False)
    return path


@pytest.fixture(scope="module")
def state(home: Home) -> State:
    return OrderedDict(filled(golden_folder(home), "panns_cnn14") | spectrogram(RATE_HZ, 1_024, 14_000))


@pytest.fixture(scope="module")
def loaded(state: State, tmp_path_factory: pytest.TempPathFactory) -> tuple[Cnn14, str]:
    """The reference's network, in eval mode, from a file as it is published; and the report of loading it."""
    path, network = write(state, tmp_path_factory.mktemp("panns") / FILE), Cnn14(527)
    report = load_weights(network, path)
    path.unlink()
    return network.eval(), report


@pytest.fixture(scope="module")
def golden(home: Home) -> dict[str, npt.NDArray[Any]]:
    return dict(np.load(golden_folder(home) / "panns_cnn14_golden.npz"))


def error(ours: Tensor, expected: npt.NDArray[Any]) -> float:
    return float(np.linalg.norm(ours.numpy() - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("sound", ["dog", "rain", "sweep"])
def test_the_references_values(loaded: tuple[Cnn14, str], golden: dict[str, npt.NDArray[Any]], sound: str) -> None:
    network, _ = loaded
    wave = torch.from_numpy(golden[f"{sound}/pcm16"] / np.float32(32_768))[None]
    with torch.inference_mode():
        spectra, embeddings = log_mel(network.frontend, wave)[0].T, network.embed(wave)
        assert spectra.shape == golden[f"{sound}/log_mel"].shape == (1 + wave.shape[1] // HOP, 64)
        assert error(spectra, golden[f"{sound}/log_mel"]) < 1e-4
        assert error(embeddings[0], golden[f"{sound}/embedding"]) < 2e-5
        assert error(network(wave)[0], golden[f"{sound}/logits"]) < 2e-5


def test_the_published_file_is_loaded_whole(loaded: tuple[Cnn14, str], state: State) -> None:
    network, report = loaded
    assert report.splitlines() == [
        f"{FILE}: {len(state) - 3} tensors (80.8 M values) loaded",
        f"left out: {', '.join((*KERNELS, FILTERS))}",
    ]
    held = network.state_dict()
    assert len(held) == len(state) - 3
    for name, tensor in held.items():
        assert torch.equal(tensor, state[name.replace("fc.", "fc_audioset.")]), name


def test_other_classes_get_a_new_last_layer(state: State, tmp_path: Path) -> None:
    network = Cnn14(50)
    fresh = network.fc.weight.clone()
    report = load_weights(network, write(state, tmp_path / FILE))
    assert "fc replaced by a new one (527 -> 50 outputs)" in report.splitlines()
    assert torch.equal(network.fc.weight, fresh)
    assert torch.equal(network.fc1.weight, state["fc1.weight"])
    # What was trained with it loads back.
    torch.save(network.state_dict(), tmp_path / "own.pt")
    again = Cnn14(50)
    assert len(load_weights(again, tmp_path / "own.pt").splitlines()) == 1
    assert torch.equal(again.fc.weight, fresh)


def hollow(state: State) -> State:
    """The same names and shapes, in a small file; the spectrogram as it was."""
    kept = (*KERNELS, FILTERS)
    return OrderedDict((n, t if n in kept else t.new_zeros(()).expand(t.shape)) for n, t in state.items())


def test_a_file_that_is_not_its_own_is_refused(state: State, tmp_path: Path) -> None:
    network, hollow_state = Cnn14(5), hollow(state)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    lacking = OrderedDict((n, t) for n, t in hollow_state.items() if n != "conv_block3.bn2.weight")
    louder = OrderedDict(hollow_state | {KERNELS[1]: 1.01 * state[KERNELS[1]]})
    wrong = {
        r"1 missing: conv_block3\.bn2\.weight": lacking,
        r"1 unknown: conv_block7\.conv1\.weight": OrderedDict(
            {**hollow_state, "conv_block7.conv1.weight": torch.ones(2)}
        ),
        r"of another shape: fc1\.weight \[512, 2048\]": OrderedDict(
            {**hollow_state, "fc1.weight": torch.zeros(512, 2_048)}
        ),
        r"1 unknown: spectrogram_extractor\.stft\.conv_imag\.weight": louder,
        # Cnn14 for 16 kHz, and with other bands.
        r"3 unknown: spectrogram_extractor.*logmel_extractor\.melW": OrderedDict(
            hollow_state | spectrogram(16_000, 512, 8_000)
        ),
        r"1 unknown: logmel_extractor\.melW": OrderedDict(hollow_state | spectrogram(RATE_HZ, 1_024, 16_000)),
    }
    for message, held in wrong.items():
        with pytest.raises(CheckpointError, match=rf"(?s)x\.pth does not fit Cnn14; nothing was loaded.*{message}"):
            load_weights(network, write(held, tmp_path / "x.pth"))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    load_weights(network, write(hollow_state, tmp_path / "x.pth"))
    assert not network.fc1.weight.any(), "without these changes it loads"


def test_a_short_wave_is_padded_with_zeros(loaded: tuple[Cnn14, str]) -> None:
    network, _ = loaded
    wave = 0.1 * torch.randn(2, SHORTEST, generator=seeded())
    wave[:, 5_000:] = 0
    with torch.inference_mode():
        torch.testing.assert_close(network.embed(wave[:, :5_000]), network.embed(wave), rtol=0, atol=0)
        assert network.frontend.frames(SHORTEST) == 32 == network.frontend.frames(SHORTEST - 1) + 1


def test_training_drops_out_as_published(loaded: tuple[Cnn14, str]) -> None:
    """A fifth after each of the six blocks, half before the hidden layer, and nothing of the embedding itself."""
    network, _ = loaded
    layers = [
        module for module in network.modules() if isinstance(module, nn.Dropout) and module is not network.dropout
    ]
    assert sorted(layer.p for layer in layers) == [0.2] * 6 + [0.5]
    wave = 0.1 * torch.randn(1, SHORTEST, generator=seeded())
    dropped: list[float] = []

    handles = [
        layer.register_forward_hook(
            lambda module, given, out: dropped.append(float((out == 0)[given[0] != 0].float().mean()))
        )
        for layer in layers
    ]
    for layer in layers:
        layer.train()
    try:
        with torch.inference_mode(), torch.random.fork_rng():
            torch.manual_seed(0)
            network.embed(wave)
    finally:
        network.eval()
        for handle in handles:
            handle.remove()
    assert dropped[:6] == pytest.approx([0.2] * 6, abs=0.03)
    assert dropped[6:] == pytest.approx([0.5], abs=0.1)


@pytest.mark.parametrize(("at", "hz"), [(0.1, 3_800.0), (0.5, 300.0), (0.8, 9_000.0), (0.99, 1_500.0)])
def test_a_sound_lies_where_it_is_on_the_map(loaded: tuple[Cnn14, str], at: float, hz: float) -> None:
    network, _ = loaded
    times = torch.arange(RATE_HZ) / RATE_HZ
    wave = torch.exp(-(((times - at) / 0.01) ** 2)) * torch.sin(2 * math.pi * hz * times)
    columns, rows = network.positions(torch.tensor([at]), torch.tensor([hz]), RATE_HZ)
    spectra = network.frontend(wave[None])[0]
    band, frame = divmod(int(spectra.argmax()), spectra.shape[1])
    # The map has three columns of 32 frames; five frames at the end are in none.
    assert float(columns) * 96 - 0.5 == pytest.approx(min(frame, 95.5), abs=1)
    assert float(rows) * 64 - 0.5 == pytest.approx(band, abs=1)
