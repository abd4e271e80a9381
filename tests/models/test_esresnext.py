"""esresnext: the reference's golden values, its formulas written out once more in numpy, and the published files."""

import copy
import importlib.util
import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from hubbub.audio import decode
from hubbub.models import esresnext
from hubbub.models.checkpoint import CheckpointError
from hubbub.models.esresnext import FBSP, RATE_HZ, AudioCLIP, ESResNeXt
from hubbub.models.registry import Network
from hubbub.models.weights import load_weights

Home = Callable[[str, str], Path]
State = dict[str, Tensor]
WINDOW, HOP, N_FFT, BINS = 1_654, 561, 2_048, 1_023


@pytest.fixture(scope="module")
def folder(home: Home) -> Path:
    path = home("data", "esc50").parents[1] / "golden"
    if not (path / "esresnext_golden.npz").is_file():
        pytest.skip(f"{path} is not there")
    return path


@pytest.fixture(scope="module")
def golden(folder: Path) -> dict[str, npt.NDArray[Any]]:
    return dict(np.load(folder / "esresnext_golden.npz"))


@pytest.fixture(scope="module")
def layout(folder: Path) -> dict[str, list[int]]:
    return json.loads((folder / "esresnext_state_dict.json").read_text())["state_dict"]


@pytest.fixture(scope="module")
def state(folder: Path, layout: dict[str, list[int]]) -> State:
    """The reference's weights: functions of name and shape. Without what a network computes itself."""
    spec = importlib.util.spec_from_file_location("fill", folder / "fill.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    values = {name: module.fill(name, tuple(shape)) for name, shape in layout.items()}
    return {name: torch.from_numpy(value) for name, value in values.items() if value is not None}


@pytest.fixture(scope="module")
def filled(state: State) -> ESResNeXt:
    """The reference's network, in eval mode; for tests that leave it as it is."""
    network = ESResNeXt(10)
    network.load_state_dict(network.state_dict() | state, strict=True)
    return network.eval()


@pytest.fixture(scope="module")
def untouched() -> ESResNeXt:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ESResNeXt(3)


@pytest.fixture
def fresh(untouched: ESResNeXt) -> ESResNeXt:
    return copy.deepcopy(untouched)


@pytest.fixture(scope="module")
def rain(home: Home) -> Tensor:
    """A third of a second of a recording, `[1, T]`."""
    clip = home("data", "esc50") / "audio" / "1-17367-A-10.ogg"
    return torch.from_numpy(decode.load(clip, RATE_HZ)[None, 44_100:58_800].copy())


def noise(*shape: int, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def error(ours: Tensor, expected: npt.NDArray[Any]) -> float:
    return float(np.linalg.norm(ours.numpy() - expected) / np.linalg.norm(expected))


# The formulas, as the paper has them


def filters_in_numpy(fbsp: FBSP) -> npt.NDArray[np.complex128]:
    """`[1025, 2048]`, the power taken of complex numbers."""
    m, fb, fc = (p.detach().double().numpy()[:, None] for p in (fbsp.m, fbsp.fb, fbsp.fc))
    t = np.pi * np.linspace(-1, 1, N_FFT) + 1e-8
    x = fb * t / (m + 1e-8)
    spline = (np.sin(x) / x).astype(complex) ** m
    return np.sqrt(fb) * spline * np.exp(-1j * fc * t) / np.sqrt(N_FFT)


def log_power_in_numpy(network: ESResNeXt, pcm: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Frame by frame; `pcm` `[T]` in the range of int16 -> decibels `[3, 341, frames]`."""
    wave = (pcm + 32_768) * 2 / 65_535 - 1
    n = 2 * np.pi * np.arange(WINDOW) / WINDOW
    window = 0.35875 - 0.48829 * np.cos(n) + 0.14128 * np.cos(2 * n) - 0.01168 * np.cos(3 * n)
    frames = 1 + max(-(-(len(wave) - WINDOW) // HOP), 0)
    missing = WINDOW + (frames - 1) * HOP - len(wave)
    wave = np.concatenate([np.zeros(missing // 2), wave, np.zeros(missing - missing // 2)])
    filters = filters_in_numpy(network.fbsp)[:BINS]
    rows = []
    for frame in range(frames):
        part = np.zeros(N_FFT)
        part[197 : 197 + WINDOW] = wave[frame * HOP :][:WINDOW] * window
        power = np.abs(filters @ part) ** 2
        rows.append(10 * np.log10(np.where(power > 0, power, 1e-18)))
    return np.stack(rows, axis=1).reshape(3, 341, frames)


# The reference's values


def test_names_and_shapes_are_the_published_ones(layout: dict[str, list[int]]) -> None:
    ours = {name: list(tensor.shape) for name, tensor in ESResNeXt(10).state_dict().items()}
    assert ours == layout


@pytest.mark.parametrize("what", ["log_power", "features", "logits"])
def test_the_references_values(filled: ESResNeXt, golden: dict[str, npt.NDArray[Any]], what: str) -> None:
    wave = torch.from_numpy(golden["pcm"].astype(np.float32)) / 32_768
    with torch.inference_mode():
        ours = {"log_power": filled.log_power, "features": filled.embed, "logits": filled}[what](wave)
    assert ours.shape == golden[what].shape and ours.dtype == torch.float32
    assert error(ours, golden[what]) < 1e-4


@pytest.mark.parametrize("left_out", [("window",), ("fbsp.bias",), ("window", "fbsp.bias")])
def test_what_holds_nothing_learnt_may_be_left_out(fresh: ESResNeXt, left_out: tuple[str, ...]) -> None:
    given = {name: tensor.clone() for name, tensor in fresh.state_dict().items() if name not in left_out}
    fresh.load_state_dict(given, strict=True)
    nested = {f"audio.{name}": tensor for name, tensor in given.items()}
    nn.ModuleDict({"audio": fresh}).load_state_dict(nested, strict=True)
    with pytest.raises(RuntimeError, match=r"fbsp\.m"):
        fresh.load_state_dict({name: tensor for name, tensor in given.items() if name != "fbsp.m"}, strict=True)
    assert set(given) == set(fresh.state_dict()) - set(left_out), "what was given stays as it was"


# The front end


def assert_same_sound(ours: Tensor, expected: npt.NDArray[np.float64], within: float) -> None:
    """Decibels that differ by .005 at most within 30 dB of the loudest; below, by a share of the loudest amplitude.

    A phase of 3,200 radians is known to .0002 in single precision, which is why quiet bins beside loud ones are not.
    """
    decibels = ours.numpy().astype(np.float64)
    assert decibels.shape == expected.shape
    loud = expected > expected.max() - 30
    assert loud.mean() > 0.1
    assert np.abs(decibels - expected)[loud].max() < 5e-3
    assert np.abs(10 ** (decibels / 20) - 10 ** (expected / 20)).max() < within * 10 ** (expected.max() / 20)


@pytest.mark.parametrize(("weights", "within"), [("fresh", 2e-5), ("filled", 5e-4)])
def test_the_front_end_is_the_papers_frame_by_frame(
    request: pytest.FixtureRequest, rain: Tensor, weights: str, within: float
) -> None:
    network = request.getfixturevalue(weights).eval()
    with torch.inference_mode():
        ours = network.log_power(rain)[0]
    assert_same_sound(ours, log_power_in_numpy(network, rain[0].double().numpy() * 32_768), within)


@pytest.mark.parametrize("length", [1, 100, 1_653, 1_655, 2_000, 2_215, 3_001])
def test_padding_is_half_at_each_end_and_the_odd_sample_at_the_end(fresh: ESResNeXt, length: int) -> None:
    wave = noise(1, length)
    with torch.inference_mode():
        ours = fresh.eval().log_power(wave)[0]
    assert_same_sound(ours, log_power_in_numpy(fresh, wave[0].double().numpy() * 32_768), 1e-4)


@pytest.mark.parametrize(
    ("length", "frames"), [(1, 1), (1_653, 1), (1_654, 1), (1_655, 2), (2_215, 2), (2_216, 3), (42_336, 74)]
)
def test_frames(fresh: ESResNeXt, length: int, frames: int) -> None:
    assert fresh.log_power(torch.zeros(2, length)).shape == (2, 3, 341, frames)
    assert frames == 1 + max(math.ceil((length - WINDOW) / HOP), 0)


def test_filters_are_the_papers(filled: ESResNeXt) -> None:
    ours = filled.fbsp.filters().detach().double().numpy()
    expected = filters_in_numpy(filled.fbsp)
    assert ours.shape == (2, 1_025, N_FFT)
    # Phases reach 3,200 radians, which single precision knows to .0002; so do the splines' arguments where m is small.
    difference = np.linalg.norm(ours[0] + 1j * ours[1] - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert np.quantile(difference, 0.99) < 2e-4
    assert difference.max() < 5e-3
    lobes = (np.sin(x := 1.5 * np.pi * np.linspace(-1, 1, N_FFT)) / x < 0).mean()
    assert 0.2 < lobes < 0.5, "negative lobes were part of the comparison"


def test_filters_begin_as_nearly_a_centred_dft() -> None:
    ours = FBSP().filters().detach().double().numpy()
    first = np.arange(20)[:, None]
    dft = np.exp(-2j * np.pi * first * (np.arange(N_FFT) - (N_FFT - 1) / 2) / N_FFT) / np.sqrt(N_FFT)
    # Points lie 2 pi / 2047 apart, not 2 pi / 2048: of the phase at the ends, pi k, that is one 2047th.
    bound = np.pi * 19 / 2047 * 1.01 / np.sqrt(N_FFT)
    assert 0.5 * bound < np.abs(ours[0, :20] + 1j * ours[1, :20] - dft).max() < bound
    sizes = np.hypot(*ours)
    np.testing.assert_allclose(sizes, 1 / np.sqrt(N_FFT), rtol=1e-3)


@pytest.mark.parametrize("tone_hz", [100.0, 1_000.0, 5_000.0, 10_000.0, 12_345.0, 20_000.0])
def test_a_tone_peaks_in_its_bin(fresh: ESResNeXt, tone_hz: float) -> None:
    wave = 0.5 * torch.sin(2 * math.pi * tone_hz * torch.arange(8_192, dtype=torch.float64) / RATE_HZ).float()
    image = fresh.eval().log_power(wave[None])[0]
    spectrum = image[:, :, 3:-3].mean(dim=2)  # away from the padding
    loudest = tone_hz * (N_FFT - 1) / RATE_HZ
    band, row = divmod(round(loudest), 341)
    assert divmod(int(spectrum.flatten().argmax()), 341) == (band, row)
    # Its power is that of a DFT: (amplitude / 2 * sum of the window)^2 / 2048, at most 1 dB less off a bin's centre.
    top_db = 10 * math.log10((0.25 * 0.35875 * WINDOW) ** 2 / N_FFT)
    assert top_db - 1 < spectrum.max() < top_db + 0.01


def test_the_window_is_the_published_one(fresh: ESResNeXt) -> None:
    n = 2 * np.pi * np.arange(WINDOW) / WINDOW
    expected = 0.35875 - 0.48829 * np.cos(n) + 0.14128 * np.cos(2 * n) - 0.01168 * np.cos(3 * n)
    np.testing.assert_allclose(fresh.window.numpy(), expected, atol=1e-7)


def test_half_precision_leaves_the_front_end_alone(fresh: ESResNeXt) -> None:
    wave = noise(2, 4_000)
    for mode in (True, False):
        fresh.train(mode)
        expected = fresh.log_power(wave).detach()
        with torch.autocast("cpu", torch.bfloat16):
            ours = fresh.log_power(wave)
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours.detach(), expected, rtol=0, atol=0)


def test_training_hears_what_use_hears(filled: ESResNeXt, rain: Tensor) -> None:
    ours = copy.deepcopy(filled)
    learning = ours.train().log_power(rain)
    assert learning.requires_grad
    with torch.no_grad():
        without = ours.log_power(rain)
        used = ours.eval().log_power(rain)
    torch.testing.assert_close(used, learning.detach(), rtol=0, atol=1e-6)
    torch.testing.assert_close(without, learning.detach(), rtol=0, atol=1e-6)


def test_kernels_are_made_once(fresh: ESResNeXt) -> None:
    first = fresh.eval()._kernels()
    assert first.shape == (2 * BINS, 1, WINDOW) and not first.requires_grad
    fresh.log_power(noise(1, 3_000))
    with torch.inference_mode():
        assert fresh._kernels() is first
    with torch.no_grad():
        assert fresh.train()._kernels() is first
    assert not first.is_inference()


def _step(kind: type[torch.optim.Optimizer], **options: Any) -> Callable[[ESResNeXt], None]:
    def change(network: ESResNeXt) -> None:
        optimizer = kind(network.fbsp.parameters(), lr=0.01, **options)
        network.train().log_power(noise(1, 3_000)).square().mean().backward()
        optimizer.step()
        network.eval()

    return change


def _load(*, assign: bool) -> Callable[[ESResNeXt], None]:
    def change(network: ESResNeXt) -> None:
        held = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        held["fbsp.fc"] += 0.3
        network.load_state_dict(held, assign=assign)

    return change


def _in_place(network: ESResNeXt) -> None:
    with torch.no_grad():
        network.fbsp.fb.mul_(1.1)


CHANGES = {
    "sgd": _step(torch.optim.SGD),
    "adamw": _step(torch.optim.AdamW),
    "one by one": _step(torch.optim.Adam, foreach=False),
    "fused": _step(torch.optim.AdamW, fused=True),
    "load": _load(assign=False),
    "assign": _load(assign=True),
    "in place": _in_place,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_kernels_follow_the_parameters(fresh: ESResNeXt, change: Callable[[ESResNeXt], None]) -> None:
    wave = noise(1, 3_000)
    with torch.inference_mode():
        before = fresh.eval().log_power(wave)
    for _ in range(2):
        change(fresh)
        with torch.inference_mode():
            after = fresh.log_power(wave)
        expected = fresh.train().log_power(wave).detach()
        fresh.eval()
        torch.testing.assert_close(after, expected, rtol=0, atol=1e-6)
        assert (after - before).abs().max() > 0.01
        before = after


def test_a_network_made_for_inference_works() -> None:
    with torch.inference_mode():
        out = ESResNeXt(3).eval()(noise(1, 2_000))
    assert torch.isfinite(out).all()


# Learning the filters


def gradients(network: ESResNeXt, loss: Tensor) -> dict[str, Tensor]:
    network.zero_grad()
    loss.backward()
    return {name: getattr(network.fbsp, name).grad.clone() for name in ("m", "fb", "fc")}


def test_gradients_of_filters_are_scaled_to_one(
    fresh: ESResNeXt, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh.load_state_dict({**fresh.state_dict(), **{n: t for n, t in state.items() if n.startswith("fbsp.")}})
    wave, direction = noise(2, 3_000), noise(2, 3, 341, 4, seed=1)

    def loss() -> Tensor:
        return (fresh.train().log_power(wave) * direction).sum() + fresh.regulariser()

    ours = gradients(fresh, loss())
    louder = gradients(fresh, 1_000 * loss())
    monkeypatch.setattr(esresnext, "_UnitGradient", SimpleNamespace(apply=lambda parameter: parameter))
    plain = gradients(fresh, loss())
    for name, gradient in ours.items():
        assert gradient.abs().max() == pytest.approx(1, abs=1e-5), name
        torch.testing.assert_close(gradient, louder[name], rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(gradient, plain[name] / plain[name].abs().max(), rtol=1e-3, atol=1e-5)
        assert not 0.9 < plain[name].abs().max() < 1.1, "nothing was scaled"


def test_no_gradient_stays_none(fresh: ESResNeXt) -> None:
    for gradient in gradients(fresh, 0.0 * fresh.train().log_power(noise(1, 2_000)).sum()).values():
        assert (gradient == 0).all()


def test_gradients_of_filters_are_their_slopes(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(esresnext, "_UnitGradient", SimpleNamespace(apply=lambda parameter: parameter))
    fbsp = FBSP().double()
    fbsp.load_state_dict({n.removeprefix("fbsp."): t.double() for n, t in state.items() if n.startswith("fbsp.")})
    weight = torch.randn(2, 1_025, N_FFT, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    (fbsp.filters() * weight).sum().backward()
    for name, parameter in fbsp.named_parameters():
        # A step for all bins at once: each has filters of its own.
        step, slopes = 1e-9, []
        for sign in (1, -1):
            with torch.no_grad():
                parameter += sign * step
                slopes.append((fbsp.filters() * weight).sum(dim=(0, 2)))
                parameter -= sign * step
        slope = (slopes[0] - slopes[1]) / (2 * step)
        wrong = (slope - parameter.grad).abs() > 1e-3 * slope.abs() + 1e-3 * slope.abs().median()
        # Not where the order is so small that a step leads over a zero of the spline: its power has a corner there.
        assert wrong[fbsp.m > 0.02].double().mean() < 0.01, name


def test_the_regulariser_is_the_filters_distance_from_length_one(fresh: ESResNeXt, state: State) -> None:
    fresh.load_state_dict({**fresh.state_dict(), **{n: t for n, t in state.items() if n.startswith("fbsp.")}})
    expected = np.mean((np.linalg.norm(filters_in_numpy(fresh.fbsp), axis=1) - 1) ** 2)
    assert expected > 1e-3
    wave = noise(1, 2_000)
    fresh.train().log_power(wave)
    assert float(fresh.regulariser().detach()) == pytest.approx(expected, rel=1e-4)
    assert fresh.regulariser() == 0.0, "it belongs to one pass"
    with torch.no_grad():
        fresh.log_power(wave)
    assert fresh.regulariser() == 0.0, "nothing is learnt"
    fresh.eval().log_power(wave)
    assert fresh.regulariser() == 0.0


def test_the_regulariser_brings_filters_to_length_one(fresh: ESResNeXt) -> None:
    with torch.no_grad():
        fresh.fbsp.fb.fill_(1.5)
    optimizer = torch.optim.SGD([fresh.fbsp.fb], lr=0.02)
    losses = []
    for _ in range(8):
        fresh.train().log_power(noise(1, 1_654))
        loss = fresh.regulariser()
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.6 * losses[0]


# Channels


def test_channels_are_heard_one_by_one_and_summed(filled: ESResNeXt) -> None:
    left, right = noise(2, 2, 4_000)
    with torch.inference_mode():
        both = filled.embed(torch.stack([left, right], dim=1))
        summed = filled.embed(left) + filled.embed(right)
        torch.testing.assert_close(both, summed, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(filled(torch.stack([left, right], dim=1)), filled.fc(summed), rtol=1e-4, atol=1e-5)
        mono = filled.embed(torch.stack([left, left], dim=1))
        torch.testing.assert_close(mono, 2 * filled.embed(left), rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(filled.embed(left[:, None]), filled.embed(left), rtol=1e-4, atol=1e-6)


# AudioCLIP


def test_audioclips_embeddings_have_length_one() -> None:
    network = AudioCLIP(5).eval()
    wave = noise(3, 4_000) * torch.tensor([1e-4, 0.1, 1.0])[:, None]
    with torch.inference_mode():
        embeddings = network.embed(wave)
        audio_part = network.audio(wave)
        stereo = network.embed(torch.stack([wave, wave], dim=1))
    assert embeddings.shape == (3, 1_024)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(embeddings, audio_part / audio_part.norm(dim=1, keepdim=True))
    assert stereo.shape == (3, 1_024)
    torch.testing.assert_close(stereo.norm(dim=1), torch.ones(3))


# Published files


def published(network: ESResNeXt, outputs: int) -> State:
    """As the published checkpoints hold them, with `outputs`."""
    head = {"fc.weight": noise(outputs, 2_048, seed=2), "fc.bias": noise(outputs, seed=3)}
    return {**network.state_dict(), **head}


def audioclip(network: ESResNeXt, *, full: bool) -> State:
    """The audio tower, and of the others a few tensors, which stand for all that is left out."""
    audio_tower = {f"audio.{name}": tensor for name, tensor in published(network, 1_024).items()}
    others = {"visual.conv1.weight": noise(2, 3), "logit_scale_at": torch.tensor(4.6), "logit_scale": torch.tensor(2.0)}
    if full:
        others |= {"transformer.resblocks.0.ln_1.weight": noise(4), "transformer.resblocks.0.ln_1.bias": noise(4)}
        others |= {"token_embedding.weight": noise(5, 2), "positional_embedding": noise(3, 2)}
    return {**others, **audio_tower}


LEFT_OUT = {
    True: "left out: visual.* 1, logit_scale_at, logit_scale, transformer.* 2, token_embedding.* 1, "
    "positional_embedding",
    False: "left out: visual.* 1, logit_scale_at, logit_scale",
}


def copied(network: Network) -> State:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def test_esresnexts_file(filled: ESResNeXt, layout: dict[str, list[int]], tmp_path: Path) -> None:
    path, network = tmp_path / "ESResNeXtFBSP_AudioSet.pt", ESResNeXt(50)
    torch.save(published(filled, 527), path)
    before = copied(network)
    assert load_weights(network, path).splitlines() == [
        f"ESResNeXtFBSP_AudioSet.pt: {len(layout) - 2} tensors (30.1 M values) loaded",
        "fc replaced by a new one (527 -> 50 outputs)",
    ]
    for name, tensor in network.state_dict().items():
        expected = before if name.startswith("fc.") else filled.state_dict()
        assert torch.equal(tensor, expected[name]), name
    # With as many classes it is loaded whole; what holds nothing learnt may lack.
    torch.save({n: t for n, t in published(filled, 50).items() if n not in ("window", "fbsp.bias")}, path)
    assert load_weights(network, path).splitlines()[1:] == ["not in the file, kept from the network: window, fbsp.bias"]
    assert torch.equal(network.fc.weight, noise(50, 2_048, seed=2))
    assert torch.equal(network.fc.bias, noise(50, seed=3))


@pytest.mark.parametrize("full", [True, False], ids=["full", "partial"])
def test_audioclips_file(filled: ESResNeXt, layout: dict[str, list[int]], full: bool, tmp_path: Path) -> None:
    path, network, tower = tmp_path / "AudioCLIP.pt", AudioCLIP(50), ESResNeXt(50)
    torch.save(audioclip(filled, full=full), path)
    before, expected = copied(network), published(filled, 1_024)
    assert load_weights(network, path).splitlines() == [
        f"AudioCLIP.pt: {len(layout)} tensors (32.2 M values) loaded",
        LEFT_OUT[full],
    ]
    for name, tensor in network.state_dict().items():
        given = before[name] if name.startswith("fc.") else expected[name.removeprefix("audio.")]
        assert torch.equal(tensor, given), name
    # Its tower alone, under other classes, is an ESResNeXt.
    before = copied(tower)
    assert load_weights(tower, path).splitlines() == [
        f"AudioCLIP.pt: {len(layout) - 2} tensors (30.1 M values) loaded",
        "fc replaced by a new one (1024 -> 50 outputs)",
        LEFT_OUT[full],
    ]
    for name, tensor in tower.state_dict().items():
        assert torch.equal(tensor, before[name] if name.startswith("fc.") else expected[name]), name


def test_our_own_audioclip_loads_back(tmp_path: Path) -> None:
    path, ours, again, others = tmp_path / "own.pt", AudioCLIP(4), AudioCLIP(4), AudioCLIP(9)
    torch.save(ours.state_dict(), path)
    assert len(load_weights(again, path).splitlines()) == 1, "nothing replaced, kept or left out"
    for name, tensor in again.state_dict().items():
        assert torch.equal(tensor, ours.state_dict()[name]), name
    head = others.fc.weight.clone()
    assert "fc replaced by a new one (4 -> 9 outputs)" in load_weights(others, path).splitlines()
    assert torch.equal(others.fc.weight, head)
    assert torch.equal(others.audio.fc.weight, ours.audio.fc.weight)


def test_another_networks_file_is_refused_and_changes_nothing(filled: ESResNeXt, home: Home, tmp_path: Path) -> None:
    whole = published(filled, 527)
    wrong = {
        "images.pt": {n: t for n, t in whole.items() if not n.startswith(("fbsp", "att"))},
        "other shape.pt": {**whole, "conv1.weight": noise(64, 1, 7, 7)},
        "short.pt": dict(list(whole.items())[:100]),
        "own audioclip.pt": AudioCLIP(3).state_dict(),
        "image tower.pt": {"visual.conv1.weight": noise(2, 3)},
    }
    for name, held in wrong.items():
        torch.save(held, tmp_path / name)
    tower_of_another = {f"audio.{n}": t for n, t in wrong["images.pt"].items()}
    torch.save(tower_of_another, tmp_path / "tower.pt")
    # A tower whose last layer would have to be drawn has no embeddings.
    torch.save({f"audio.{n}": t for n, t in whole.items()}, tmp_path / "other space.pt")
    torch.save(whole, tmp_path / "esresnext.pt")
    yamnet = home("weights", "yamnet.h5")
    refusals: list[tuple[Network, list[Path]]] = [
        (ESResNeXt(5), [*(tmp_path / name for name in wrong), tmp_path / "tower.pt", yamnet]),
        (
            AudioCLIP(5),
            [*(tmp_path / f"{name}.pt" for name in ("esresnext", "tower", "image tower", "other space")), yamnet],
        ),
    ]
    for network, paths in refusals:
        before = copied(network)
        for path in paths:
            with pytest.raises(CheckpointError, match=path.name):
                load_weights(network, path)
            assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items()), path
