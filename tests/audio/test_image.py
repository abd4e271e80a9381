"""audio.image: the inputs of systems B, C, D and E against librosa, matplotlib and Pillow; properties of images."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import librosa
import matplotlib
import numpy as np
import pytest
import scipy.signal
import torch
import torchvision
from numpy.typing import NDArray
from PIL import Image

from hubbub.audio import decode, windows
from hubbub.audio.frontend import FrontEnd
from hubbub.audio.image import SpectrogramImage
from hubbub.audio.logmel import FrontEndError, LogMel
from hubbub.config import sections
from hubbub.errors import HubbubError
from tests.helpers.signals import seeded

RATE_HZ = 16_000
# scipy.signal.stft divides by the window's sum; system D's floor of 1e-10 lies below that.
HANN_SUM = 1024
# The systems' rate [Hz], segment [s] and `[frontend]`. System B's Inception takes 299 x 299.
SYSTEMS: dict[str, tuple[int, int, dict[str, Any]]] = {
    "B": (48_000, 4, {
        "n_fft": 2048, "hop": 512, "n_mels": 128, "f_min_hz": 20.0, "f_max_hz": 8000.0, "ref": "max",
        "scale": "minmax", "colours": "magma", "size": (224, 224), "standardise": "imagenet",
    }),
    "C": (44_100, 5, {"n_fft": 1102, "hop": 441, "n_mels": 64, "ref": "max", "scale": "minmax"}),
    "D": (22_050, 5, {
        "n_fft": 2048, "hop": 512, "n_mels": 128, "mel_scale": "htk", "centre": False, "ref": "max",
        "amin": 1e-10 * HANN_SUM**2, "top_db": 0.0,
        "scale": "minmax", "colours": "magma", "size": (224, 224), "standardise": "imagenet",
    }),
    "E": (44_100, 4, {
        "n_fft": 2048, "hop": 512, "n_mels": 128, "ref": "max", "frames": 1501, "scale": "top_db",
    }),
}  # fmt: skip
SHAPES = {"B": (3, 224, 224), "C": (64, 501), "D": (3, 224, 224), "E": (128, 1501)}
# A dog and then digital silence; noise that falls off steeply; a siren of .9 s; speech of 2 s.
CLIPS = {
    "1-100032-A-0": "esc50", "5-156999-B-19": "esc50", "165645-4-3-0": "urbansound8k", "03a01Fa": "emodb",
}  # fmt: skip
MAGMA = matplotlib.colormaps["magma"](np.arange(256))[:, :3]
# Colours drawn between entries are at most half-way from the one matplotlib takes: 1.2/255.
HALF_A_STEP = np.abs(np.diff(MAGMA, axis=0)).max() / 2
MEAN, SD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])

Home = Callable[[str, str], Path]
Array = NDArray[np.float32]


def front_end(rate_hz: int = RATE_HZ, **given: Any) -> FrontEnd:
    return FrontEnd(sections.FrontEnd(name="logmel", **given), rate_hz)


def segment(clip: str, home: Home, rate_hz: int, seconds: int) -> Array:
    path = next(home("data", CLIPS[clip]).rglob(f"{clip}.*"))
    samples = seconds * rate_hz
    return windows.cut(decode.load(path, rate_hz), samples, samples, "zeros")[0].copy()


def by_librosa(wave: Array, rate_hz: int, given: dict[str, Any]) -> NDArray[np.float64]:
    """The spectrogram in decibels, in double precision."""
    mel = librosa.feature.melspectrogram(
        y=wave.astype(np.float64), sr=rate_hz, n_fft=given["n_fft"], hop_length=given["hop"], n_mels=given["n_mels"],
        fmin=given.get("f_min_hz", 0.0), fmax=given.get("f_max_hz"), htk=given.get("mel_scale") == "htk",
        center=given.get("centre", True), dtype=np.float64,
    )  # fmt: skip
    return librosa.power_to_db(mel, ref=np.max, amin=given.get("amin", 1e-10), top_db=given.get("top_db", 80.0) or None)


def by_pillow(channel: NDArray[Any], size: tuple[int, int]) -> Array:
    image = Image.fromarray(channel.astype(np.float32))
    return np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR))


def minmax(decibels: NDArray[np.float64]) -> NDArray[np.float64]:
    return (decibels - decibels.min()) / np.ptp(decibels)


def magma(decibels: NDArray[np.float64]) -> Array:
    """What matplotlib paints, Pillow resizes and torchvision standardises: `[3, 224, 224]`."""
    painted = matplotlib.colormaps["magma"](minmax(decibels))[..., :3]
    return np.stack([(by_pillow(painted[..., c], (224, 224)) - MEAN[c]) / SD[c] for c in range(3)])


def padded(decibels: NDArray[np.float64]) -> NDArray[np.float64]:
    missing = 1501 - decibels.shape[1]
    return (np.pad(decibels, ((0, 0), (0, missing)), constant_values=-80) + 80) / 80


# How each system goes on from the decibels, and how far ours may be from that.
RECKONED: dict[str, tuple[Callable[[NDArray[np.float64]], NDArray[Any]], float]] = {
    "B": (magma, (HALF_A_STEP + 1e-4) / SD.min()),
    "C": (minmax, 2e-5),
    "D": (magma, (HALF_A_STEP + 1e-4) / SD.min()),
    "E": (padded, 1e-3 / 80),
}


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("system", SYSTEMS)
def test_the_systems_inputs(system: str, clip: str, home: Home) -> None:
    rate_hz, seconds, given = SYSTEMS[system]
    wave = segment(clip, home, rate_hz, seconds)
    ours = front_end(rate_hz, **given)
    heard: list[torch.Tensor] = []
    picture = ours(torch.from_numpy(wave)[None], lambda spectrograms: heard.append(spectrograms) or spectrograms)
    decibels = by_librosa(wave, rate_hz, given)
    assert np.ptp(decibels) > 50
    np.testing.assert_allclose(heard[0][0].numpy(), decibels, rtol=0, atol=1e-3)
    reckon, allowed = RECKONED[system]
    np.testing.assert_allclose(picture[0].numpy(), reckon(decibels), rtol=0, atol=allowed)
    assert picture.shape[1:] == SHAPES[system]
    assert ours.shape(wave.size) == SHAPES[system][-2:]


@pytest.mark.parametrize("clip", CLIPS)
def test_without_a_floor_cells_are_right_to_single_precision(clip: str, home: Home) -> None:
    """System D keeps cells that lie more decibels below the loudest than a float has: 6e-8 of it is left in doubt."""
    rate_hz, seconds, given = SYSTEMS["D"]
    given = {**given, "amin": 1e-10}
    wave = segment(clip, home, rate_hz, seconds)
    ours = front_end(rate_hz, **given).logmel(torch.from_numpy(wave)[None])[0].numpy()
    theirs = by_librosa(wave, rate_hz, given)
    below_the_frames_loudest = theirs.max(axis=0) - theirs
    doubt = 20 * np.log10(1 + 2**-24 * 10 ** (below_the_frames_loudest / 20))
    assert (np.abs(ours - theirs) <= 1e-3 + doubt).all()


def test_system_ds_floor_is_scipys(home: Home) -> None:
    rate_hz, seconds, given = SYSTEMS["D"]
    wave = segment("1-100032-A-0", home, rate_hz, seconds)
    _, _, spectrum = scipy.signal.stft(
        wave.astype(np.float64), nperseg=2048, noverlap=2048 - 512, boundary=None, padded=False
    )
    mel = librosa.filters.mel(sr=rate_hz, n_fft=2048, n_mels=128, htk=True) @ np.abs(spectrum) ** 2
    theirs = 10 * np.log10(np.maximum(mel, 1e-10))
    ours = front_end(rate_hz, **given).logmel(torch.from_numpy(wave)[None])[0].numpy()
    np.testing.assert_allclose(ours, theirs - theirs.max(), rtol=0, atol=1e-3)
    assert (theirs == -100).mean() > 0.1


@pytest.mark.parametrize("system", SYSTEMS)
def test_digital_silence_is_a_picture_too(system: str) -> None:
    rate_hz, _, given = SYSTEMS[system]
    picture = front_end(rate_hz, **given)(torch.zeros(1, rate_hz))
    assert torch.isfinite(picture).all()
    if given["scale"] == "minmax":
        assert picture.flatten(2 if picture.ndim == 4 else 1).std(dim=-1).max() == 0


def spectrograms(count: int = 3, bands: int = 12, frames: int = 20, seed: int = 0) -> torch.Tensor:
    """Decibels from -80 to 0 `[count, bands, frames]`."""
    return -80 * torch.rand(count, bands, frames, generator=seeded(seed))


def test_low_bands_come_first() -> None:
    wave = torch.sin(2 * torch.pi * 300 * torch.arange(RATE_HZ) / RATE_HZ)[None]
    picture = front_end(ref="max", scale="minmax", colours="magma", size=(100, 80))(wave)
    assert picture.mean(dim=(0, 1, 3)).argmax() < 20


def test_frames_are_padded_at_the_end_or_cut() -> None:
    given = spectrograms()
    assert torch.equal(SpectrogramImage(frames=20)(given), given)
    assert torch.equal(SpectrogramImage(frames=7)(given), given[:, :, :7])
    for picture, lowest in [
        (SpectrogramImage(frames=25), given.amin((1, 2))),
        (SpectrogramImage(frames=25, padding=-80.0), [-80] * 3),
    ]:
        drawn = picture(given)
        assert torch.equal(drawn[:, :, :20], given)
        for one, value in zip(drawn, lowest, strict=True):
            assert (one[:, 20:] == value).all()


def test_padding_is_the_lowest_that_can_be() -> None:
    wave = torch.randn(1, RATE_HZ, generator=seeded())  # its cells span some 30 dB
    heard = front_end(ref="max", top_db=60.0, frames=99)(wave)
    assert heard[..., 51:].unique().tolist() == [-60]
    assert heard[..., :51].min() > -60
    heard = front_end(ref="one", frames=99)(wave)
    assert heard[..., 51:].unique() == heard[..., :51].min()


def test_minmax_is_each_segments_own() -> None:
    given = spectrograms() * torch.tensor([1.0, 0.1, 5.0])[:, None, None]
    drawn = SpectrogramImage(scale="minmax")(given)
    for one, before in zip(drawn, given, strict=True):
        assert (one.min(), one.max()) == (0, 1)
        torch.testing.assert_close(one, (before - before.min()) / (before.max() - before.min()))
    assert (SpectrogramImage(scale="minmax")(torch.full((1, 4, 5), -80.0)) == 0).all()


def test_top_db_is_the_same_for_all() -> None:
    given = torch.tensor([[[-200.0, -80.0, -60.0, -20.0, 0.0, 3.0]]])
    torch.testing.assert_close(SpectrogramImage(scale="top_db")(given)[0, 0], torch.tensor([0, 0, 0.25, 0.75, 1, 1]))
    torch.testing.assert_close(
        SpectrogramImage(scale="top_db", top_db=40.0)(given)[0, 0], torch.tensor([0, 0, 0, 0.5, 1, 1])
    )


def test_colours_are_matplotlibs() -> None:
    values = torch.linspace(-1, 0, 5001)
    ours = SpectrogramImage(scale="top_db", top_db=1.0, colours="magma")(values[None, None])[0, :, 0].T.numpy()
    theirs = matplotlib.colormaps["magma"]((values + 1).numpy())[:, :3]
    assert np.abs(ours - theirs).max() < HALF_A_STEP + 1e-6
    assert np.abs(ours - theirs).mean() < 0.3 / 255
    middles = (torch.arange(256) + 0.5) / 256 - 1
    ours = SpectrogramImage(scale="top_db", top_db=1.0, colours="magma")(middles[None, None])[0, :, 0].T.numpy()
    np.testing.assert_allclose(ours, MAGMA, atol=1e-5)


@pytest.mark.parametrize("size", [(6, 9), (24, 40), (12, 20), (5, 64), (1, 1)])
def test_sizes_are_pillows(size: tuple[int, int]) -> None:
    given = spectrograms()
    drawn = SpectrogramImage(size=size)(given)
    for one, before in zip(drawn, given, strict=True):
        np.testing.assert_allclose(one.numpy(), by_pillow(before.numpy(), size), atol=1e-4)
    coloured = SpectrogramImage(scale="minmax", colours="magma")(given)
    resized = SpectrogramImage(scale="minmax", colours="magma", size=size)(given)
    np.testing.assert_allclose(resized[0, 2].numpy(), by_pillow(coloured[0, 2].numpy(), size), atol=1e-5)


def test_imagenets_figures() -> None:
    given = spectrograms()
    plain = SpectrogramImage(scale="minmax", colours="magma")(given)
    mean, sd = torch.tensor(MEAN).float()[:, None, None], torch.tensor(SD).float()[:, None, None]
    standardised = SpectrogramImage(scale="minmax", colours="magma", standardise="imagenet")(given)
    torch.testing.assert_close(standardised, (plain - mean) / sd)
    one_channel = SpectrogramImage(scale="minmax", standardise="imagenet")(given)
    torch.testing.assert_close(one_channel, (SpectrogramImage(scale="minmax")(given) - 0.449) / 0.226)
    assert SpectrogramImage(scale="minmax", colours="magma", standardise="imagenet").state_dict() == {}


@pytest.mark.parametrize("colours", ["none", "magma"])
def test_half_makes_0_to_1_into_minus_1_to_1(colours: str) -> None:
    """As Inception's weights were trained; torchvision's transform_input makes the same of ImageNet's figures."""
    plain = SpectrogramImage(scale="minmax", colours=colours)(spectrograms())
    halved = SpectrogramImage(scale="minmax", colours=colours, standardise="half")(spectrograms())
    torch.testing.assert_close(halved, 2 * plain - 1)
    if colours == "magma":
        given = SpectrogramImage(scale="minmax", colours=colours, standardise="imagenet")(spectrograms())
        theirs = torchvision.models.Inception3(init_weights=False, transform_input=True)._transform_input(given)
        torch.testing.assert_close(halved, theirs)


@pytest.mark.parametrize("name", ["imagenet", "half"])
def test_published_figures_need_values_from_0_to_1(name: str) -> None:
    with pytest.raises(FrontEndError, match=f"standardise '{name}' needs values from 0 to 1"):
        SpectrogramImage(standardise=name)


@pytest.mark.parametrize("given", [{}, {"scale": "top_db", "colours": "magma", "size": (9, 9)}], ids=["grey", "colour"])
def test_the_training_part_is_standardised(given: dict[str, Any]) -> None:
    picture = SpectrogramImage(**given, standardise="training")
    batches = [spectrograms(count, seed=count) for count in (5, 1, 3)]
    with pytest.raises(FrontEndError, match="has not been fitted"):
        picture(batches[0])
    picture.fit(picture.render(batch) for batch in batches)
    drawn = torch.cat([picture(batch) for batch in batches])
    by_channel = drawn.transpose(0, 1).flatten(1) if given else drawn.flatten()[None]
    torch.testing.assert_close(by_channel.mean(1), torch.zeros(len(by_channel)), atol=1e-5, rtol=0)
    torch.testing.assert_close(by_channel.std(1, correction=0), torch.ones(len(by_channel)))
    plain = SpectrogramImage(**given)(torch.cat(batches)).double().numpy()
    assert set(picture.state_dict()) == {"mean", "sd"}
    axes = (0, 2, 3) if given else None
    np.testing.assert_allclose(picture.mean.flatten(), plain.mean(axis=axes), rtol=1e-6)
    np.testing.assert_allclose(picture.sd.flatten(), plain.std(axis=axes), rtol=1e-6)

    again = SpectrogramImage(**given, standardise="training")
    again.load_state_dict(picture.state_dict(), strict=True)
    assert torch.equal(again(batches[0]), picture(batches[0]))


def test_what_cannot_be_standardised_by() -> None:
    picture = SpectrogramImage(standardise="training")
    with pytest.raises(FrontEndError, match="no segments to compute mean and sd from"):
        picture.fit([])
    with pytest.raises(FrontEndError, match="not finite"):
        picture.fit([torch.tensor([[[0.0, torch.nan]]])])
    with pytest.raises(FrontEndError, match="has not been fitted"):
        picture(spectrograms())
    # .1 is no exact float: a sum of its squares about 0 would leave an sd.
    picture.fit([torch.full((7, 3, 11), 0.1)] * 3)
    assert picture.sd.item() == 1
    assert (picture(torch.full((1, 3, 11), 0.1)) == 0).all()


def test_a_front_end_that_learns_nothing_asks_for_nothing() -> None:
    asked = []
    front_end().fit(asked.append(1) or torch.zeros(1, 5000) for _ in range(1))
    assert asked == []
    assert front_end(scale="minmax", colours="magma", standardise="imagenet").state_dict() == {}


def test_a_front_end_learns_from_waves() -> None:
    waves = torch.randn(6, 8000, generator=seeded())
    ours = front_end(ref="max", scale="top_db", standardise="training")
    ours.fit(waves.split(4))
    drawn = ours(waves)
    assert abs(drawn.mean()) < 1e-5 and drawn.std().item() == pytest.approx(1, abs=1e-4)
    assert set(ours.state_dict()) == {"picture.mean", "picture.sd"}


def test_a_change_comes_between_spectrogram_and_picture() -> None:
    wave = torch.randn(2, 8000, generator=seeded())
    ours = front_end(ref="max", scale="minmax", colours="magma", size=(30, 30))
    seen: list[torch.Size] = []

    def silence_the_end(given: torch.Tensor) -> torch.Tensor:
        seen.append(given.shape)
        return torch.cat([given[:, :, :13], torch.full_like(given[:, :, 13:], -80.0)], dim=2)

    changed = ours(wave, silence_the_end)
    assert seen == [(2, 64, 26)]
    torch.testing.assert_close(changed, ours.picture(silence_the_end(ours.logmel(wave))))
    assert not torch.equal(changed, ours(wave))


@pytest.mark.parametrize("samples", [1, 300, 511, 512, 513, 1023, 1024, 1025, 4000])
@pytest.mark.parametrize("pad_mode", ["constant", "reflect"])
def test_the_shape_is_known_before(pad_mode: str, samples: int) -> None:
    wave = torch.zeros(1, samples)
    framings = ({}, {"centre": False}, {"n_fft": 601, "win_length": 500}, {"convention": "tensorflow", "win_length": 9})
    for framing, form in itertools.product(framings, ({}, {"frames": 5}, {"size": (7, 9)})):
        ours = front_end(pad_mode=pad_mode, hop=100, **framing, **form)
        assert ours.shape(samples) == ours(wave).shape[1:]


FORMS: list[dict[str, Any]] = [
    {"ref": "max", "scale": "minmax", "frames": 30},
    {"ref": "max", "scale": "top_db", "colours": "magma", "size": (20, 24)},
    {"scale": "minmax", "colours": "magma", "frames": 30, "size": (20, 24), "standardise": "imagenet"},
]


@pytest.mark.parametrize("form", FORMS)
def test_gradients_reach_the_wave(form: dict[str, Any]) -> None:
    wave = torch.randn(2, 8000, generator=seeded())
    wave[:, 5000:] = 0  # as zero padding brings
    wave.requires_grad_()
    front_end(**form)(wave).square().sum().backward()
    assert wave.grad is not None
    assert torch.isfinite(wave.grad).all()
    assert (wave.grad[:, 500:4500] != 0).float().mean() > 0.99


@pytest.mark.parametrize("form", FORMS)
def test_a_batch_is_each_wave_alone(form: dict[str, Any]) -> None:
    # A loud one, a quiet one and silence: none may set another's range.
    noise = torch.randn(2, 8000, generator=seeded())
    waves = torch.cat([noise * torch.tensor([[1.0], [1e-3]]), torch.zeros(1, 8000)])
    ours = front_end(**form)
    for wave, one in zip(waves, ours(waves), strict=True):
        torch.testing.assert_close(ours(wave[None])[0], one, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"frames": 0}, "0 frames: give at least 1"),
        ({"size": (0, 224)}, "an image of 0 x 224"),
        ({"scale": "top_db", "top_db": 0.0}, "'top_db' with top_db = 0"),
        ({"colours": "magma"}, "'magma' need values from 0 to 1: set scale"),
    ],
)
def test_what_does_not_fit_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(FrontEndError, match=message):
        SpectrogramImage(**given)
    assert issubclass(FrontEndError, HubbubError)


def test_settings_and_rate_must_fit() -> None:
    with pytest.raises(FrontEndError, match="end by 8000 Hz"):
        front_end(f_max_hz=9000.0)
    assert front_end(norm="none").logmel.filters.equal(LogMel(RATE_HZ, norm=None).filters)
