"""beats: the reference's golden values, at two sizes, and the published files."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from hubbub.models.beats import BEATs, token_padding
from hubbub.models.checkpoint import CheckpointError
from hubbub.models.weights import load_weights
from tests.helpers.filled import filled, golden_folder, layout

Home = Callable[[str, str], Path]
State = dict[str, Tensor]
#: The sizes of the small golden file; the other one has the published sizes.
SMALL = {"layers": 3, "width": 96, "hidden": 256, "heads": 6, "patch_width": 64}
TABLE = "self_attn.relative_attention_bias.weight"
#: Of the full size every eighth token is in the golden file.
EVERY = {"beats_small": 1, "beats_full": 8}
#: 91 million values are drawn.
sizes = pytest.mark.parametrize("size", ["beats_small", pytest.param("beats_full", marks=pytest.mark.slow)])
sounds = pytest.mark.parametrize("sound", ["dog", "rain", "sweep"])


@pytest.fixture(scope="module")
def folder(home: Home) -> Path:
    return golden_folder(home)


@pytest.fixture(scope="module")
def state(folder: Path) -> State:
    return filled(folder, "beats_small")


@pytest.fixture(scope="module")
def reference(folder: Path) -> Callable[[str], tuple[BEATs, dict[str, npt.NDArray[Any]]]]:
    """The reference's network of a size, in eval mode, with its golden values; for tests that leave it as it is."""
    known: dict[str, BEATs] = {}

    def of(size: str) -> tuple[BEATs, dict[str, npt.NDArray[Any]]]:
        if size not in known:
            network = small() if size == "beats_small" else BEATs()
            network.load_state_dict(network.translated(filled(folder, size)).state, strict=True)
            known[size] = network.eval()
        return known[size], dict(np.load(folder / f"{size}_golden.npz"))

    return of


Reference = Callable[[str], tuple[BEATs, dict[str, npt.NDArray[Any]]]]


def small(num_classes: int = 527) -> BEATs:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return BEATs(num_classes, **SMALL)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def wave_of(golden: dict[str, npt.NDArray[Any]], sound: str) -> Tensor:
    return torch.from_numpy(golden[f"{sound}/pcm16"] / np.float32(32_768))


def error(ours: Tensor, expected: npt.NDArray[Any]) -> float:
    assert ours.shape == expected.shape and ours.dtype == torch.float32
    return float(np.linalg.norm(ours.numpy() - expected) / np.linalg.norm(expected))


# The reference's values


@sizes
def test_names_and_shapes_are_the_published_ones(folder: Path, size: str) -> None:
    published = layout(folder, size)["state_dict"]
    network = BEATs(**(SMALL if size == "beats_small" else {}))
    ours = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    repeated = {name for name in published if name.endswith(TABLE)} - {f"encoder.layers.0.{TABLE}"}
    assert ours == {name.replace("predictor", "fc"): s for name, s in published.items() if name not in repeated}


@sounds
@sizes
def test_the_references_values(reference: Reference, size: str, sound: str) -> None:
    network, golden = reference(size)
    wave = wave_of(golden, sound)[None]
    with torch.inference_mode():
        assert error(network.frontend(wave)[0], golden[f"{sound}/fbank"]) < 1e-4
        assert error(network.tokens(wave)[0, :: EVERY[size]], golden[f"{sound}/tokens"]) < 2e-5
        embeddings = network.embed(wave)
        assert error(embeddings[0], golden[f"{sound}/embedding"]) < 2e-5
        assert error(network.head(embeddings)[0], golden[f"{sound}/logits"]) < 2e-5


@sizes
def test_padding_is_left_out_as_in_the_reference(reference: Reference, size: str) -> None:
    network, golden = reference(size)
    waves = [wave_of(golden, name) for name in golden["batch/names"]]
    together, lengths = pad_sequence(waves, batch_first=True), torch.from_numpy(golden["batch/samples"])
    padding = torch.arange(together.shape[1]) >= lengths[:, None]
    left_out = token_padding(padding)
    np.testing.assert_array_equal(left_out.numpy(), golden["batch/token_mask"])
    with torch.inference_mode():
        tokens = network.tokens(together, padding)
        assert error(tokens.square().mean(2).sqrt(), golden["batch/tokens_rms"]) < 2e-5
        means = torch.stack([row[~out].mean(0) for row, out in zip(tokens, left_out, strict=True)])
        assert error(network.head(means), golden["batch/logits"]) < 2e-5
        unmasked = network.tokens(together)
    assert error(unmasked[0], tokens[0].numpy()) < 2e-5, "nothing of it is padding"
    assert error(unmasked[1], tokens[1].numpy()) > 1e-3


# The front end


def test_silence_and_a_constant_are_the_floor() -> None:
    floor = (math.log(2.0**-23) - 15.41663) / (2 * 6.55582)
    for level in (0.0, 0.5, -1.0):
        spectrogram = small().frontend(torch.full((1, 4_000), level))
        torch.testing.assert_close(spectrogram, torch.full((1, 23, 128), floor))


def test_half_precision_leaves_the_front_end_alone() -> None:
    network, wave = small(), noise(2, 4_000)
    expected = network.frontend(wave)
    for numbers in (wave, wave.bfloat16().float()):
        with torch.autocast("cpu", torch.bfloat16):
            ours = network.frontend(numbers)
        assert ours.dtype == torch.float32
        assert torch.equal(ours, expected) == (numbers is wave)


def test_a_wave_without_a_whole_patch_is_zero_padded() -> None:
    network, wave = small(3).eval(), noise(2, 2_799)
    with torch.inference_mode():
        for samples in (1, 400, 2_799):
            short = wave[:, :samples]
            padded = torch.nn.functional.pad(short, (0, 2_800 - samples))
            assert network.tokens(short).shape == (2, 8, 96)
            torch.testing.assert_close(network.embed(short), network.embed(padded), rtol=0, atol=0)
            # What is added is padding, where padding is told.
            told = torch.zeros(2, samples, dtype=torch.bool)
            added = torch.arange(2_800).expand(2, -1) >= samples
            torch.testing.assert_close(network.tokens(short, told), network.tokens(padded, added), equal_nan=True)


@pytest.mark.parametrize(("samples", "tokens"), [(2_800, 8), (5_359, 8), (5_360, 16), (80_000, 248)])
def test_a_rest_of_frames_is_dropped(samples: int, tokens: int) -> None:
    network, wave = small(3).eval(), noise(1, samples)
    whole = 400 + (2 * tokens - 1) * 160
    with torch.inference_mode():
        found = network.tokens(wave)
        assert found.shape == (1, tokens, 96)
        torch.testing.assert_close(found, network.tokens(wave[:, :whole]), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("at", "hz"), [(0.1, 3_800.0), (0.5, 1_000.0), (0.9, 1_500.0)])
def test_a_sound_is_where_the_network_says(at: float, hz: float) -> None:
    network, seconds = small(3), torch.arange(16_000) / 16_000
    wave = torch.exp(-(((seconds - at) / 0.02) ** 2)) * torch.sin(2 * math.pi * hz * seconds)
    spectrogram = network.frontend(wave[None])[0, :96]  # six whole patches
    frame, band = divmod(int(spectrogram.argmax()), 128)
    column, row = network.positions(torch.tensor([at]), torch.tensor([hz]), 16_000)
    assert abs(float(column) * 96 - 0.5 - frame) <= 1 and abs(float(row) * 128 - 0.5 - band) <= 1


def test_what_no_patch_reaches_is_nowhere() -> None:
    columns, rows = small(3).positions(torch.tensor([0.0, 0.974, 0.976]), torch.tensor([19.0, 21.0, 7_999.0]), 16_000)
    assert columns.isnan().tolist() == [False, False, True], "the last patch ends after .975 s"
    assert rows.isnan().tolist() == [True, False, False]


# The Transformer


def test_the_map_has_a_row_for_each_band_and_a_column_for_each_time() -> None:
    network, wave, maps = small(3).eval(), noise(2, 16_000), []
    network.cam_layer.register_forward_hook(lambda module, given, out: maps.append(out))
    with torch.inference_mode():
        embeddings, tokens = network.embed(wave), network.tokens(wave)
    assert tokens.shape == (2, 48, 96) and maps[0].shape == (2, 96, 8, 6)
    for band, time in ((0, 0), (7, 0), (3, 5)):
        torch.testing.assert_close(maps[0][:, :, band, time], tokens[:, 8 * time + band])
    torch.testing.assert_close(embeddings, tokens.mean(1))


def test_far_keys_share_their_biases() -> None:
    bucket = small(3).encoder.bucket
    assert bucket.shape == (1_601,)
    # Of a key so far behind its query, or before it where negative; 80 (1 + log10(100 / 80)) is 87.75.
    expected = {0: 0, -1: 1, -79: 79, -80: 80, -100: 87, -799: 159, -800: 159, 1: 161, 79: 239, 80: 240, 100: 247}
    assert {distance: int(bucket[distance + 800]) for distance in expected} == expected
    assert int(bucket[-1]) == 319


def test_more_tokens_than_the_farthest_distance() -> None:
    network = small(3).eval()
    with torch.inference_mode():
        tokens = network.tokens(noise(1, 280_000))
    assert tokens.shape == (1, 872, 96) and torch.isfinite(tokens).all()


# Published files


LABELS = {index: f"/m/{index:05}" for index in range(527)}
CFG = {"encoder_layers": 3, "encoder_embed_dim": 96, "deep_norm": True, "activation_fn": "gelu", "max_distance": 800}


def without(state: State, *beginnings: str) -> State:
    return {name: tensor for name, tensor in state.items() if not name.startswith(beginnings)}


def copied(network: BEATs) -> State:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("classes", [50, 527])
def test_the_fine_tuned_file(state: State, classes: int, tmp_path: Path) -> None:
    path, network = tmp_path / "BEATs_finetuned.pt", small(classes)
    torch.save({"cfg": CFG, "model": state, "label_dict": LABELS}, path)
    before, same = copied(network), classes == 527
    assert load_weights(network, path).splitlines() == [
        f"BEATs_finetuned.pt: {70 if same else 68} tensors (0.4 M values) loaded",
        *([] if same else ["fc replaced by a new one (527 -> 50 outputs)"]),
    ]
    for name, tensor in network.state_dict().items():
        published = state[name.replace("fc.", "predictor.") if name.startswith("fc.") else name]
        assert torch.equal(tensor, before[name] if name.startswith("fc.") and not same else published), name


def test_the_file_without_labels(state: State, tmp_path: Path) -> None:
    path, network = tmp_path / "BEATs.pt", small(5)
    torch.save({"cfg": {**CFG, "finetuned_model": False}, "model": without(state, "predictor.")}, path)
    before = copied(network)
    assert load_weights(network, path).splitlines() == [
        "BEATs.pt: 68 tensors (0.4 M values) loaded",
        "not in the file, kept from the network: fc.weight, fc.bias",
    ]
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name] if name.startswith("fc.") else state[name]), name


def test_our_own_file_loads_back(tmp_path: Path) -> None:
    path, ours, again = tmp_path / "own.pt", small(4), BEATs(4, **SMALL)
    torch.save(ours.state_dict(), path)
    assert len(load_weights(again, path).splitlines()) == 1, "nothing replaced, kept or left out"
    for name, tensor in again.state_dict().items():
        assert torch.equal(tensor, ours.state_dict()[name]), name


NORM, Q, LAST = "encoder.layer_norm.weight", "encoder.layers.1.self_attn.q_proj.weight", f"encoder.layers.2.{TABLE}"
REFUSED: dict[str, tuple[Callable[[State], State], str]] = {
    "a name missing": (lambda state: without(state, NORM), rf"1 missing: {NORM}"),
    "a layer missing": (lambda state: without(state, "encoder.layers.2."), r"\d+ missing: encoder\.layers\.2\."),
    "half of the last layer": (lambda state: without(state, "predictor.bias"), r"1 missing: fc\.bias"),
    "a name too many": (lambda state: state | {"quantize.embedding": noise(4, 2)}, r"1 unknown: quantize\.embedding"),
    "another shape": (lambda state: state | {Q: noise(96, 95)}, rf"1 of another shape: {Q} \[96, 95\] instead"),
    "a table of its own": (lambda state: state | {LAST: noise(320, 6)}, rf"1 unknown: {LAST}"),
}


@pytest.mark.parametrize(("change", "said"), REFUSED.values(), ids=REFUSED)
def test_another_file_is_refused_and_changes_nothing(
    state: State, change: Callable[[State], State], said: str, tmp_path: Path
) -> None:
    path, network = tmp_path / "other.pt", small(5)
    torch.save({"cfg": CFG, "model": change(state)}, path)
    before = copied(network)
    with pytest.raises(CheckpointError, match=said) as refused:
        load_weights(network, path)
    assert "other.pt does not fit BEATs; nothing was loaded" in str(refused.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_a_file_of_another_size_is_refused(state: State, tmp_path: Path) -> None:
    path, network = tmp_path / "BEATs.pt", BEATs(5, **{**SMALL, "width": 192})
    torch.save({"cfg": CFG, "model": state}, path)
    with pytest.raises(CheckpointError, match=r"of another shape: post_extract_proj\.weight \[96, 64\] instead of"):
        load_weights(network, path)
