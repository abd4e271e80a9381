"""augment.spectrogram: masks, shifts and contrast; rows that are not selected stay bit-identical."""

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from hubbub.augment import Spectrogram, spectrogram
from hubbub.config import augment as settings
from tests.helpers.signals import seeded

BANDS, FRAMES = 40, 61
#: Every transform, in the recipe's order.
SECTIONS: dict[str, Any] = {
    "time_shift": settings.TimeShift(fraction=0.5),
    "freq_shift": settings.FreqShift(),
    "magnitude": settings.Magnitude(),
    "band_gain": settings.BandGain(),
    "time_mask": settings.TimeMask(count=2),
    "freq_mask": settings.FreqMask(count=2, bands=12),
    "patches": settings.Patches(),
}
SIZES = [(1, 1), (1, 17), (23, 1), (3, 5), (129, 7)]


def with_p(name: str, p: float) -> Any:
    """The transform `name` for the share `p`."""
    section = SECTIONS[name]
    return getattr(spectrogram, type(section).__name__)(section.model_copy(update={"p": p}))


def decibels(count: int = 1, bands: int = BANDS, frames: int = FRAMES) -> Tensor:
    """No two cells alike."""
    return -40 + 15 * torch.randn(count, bands, frames, generator=seeded())


def whole(*values: int) -> Tensor:
    return torch.tensor(values)


def hidden(before: Tensor, after: Tensor) -> Tensor:
    """Which cells `[B, F, W]` a mask hid: they hold the segment's mean, and all others what they held, bit for bit."""
    changed = before != after
    mean = before.mean((1, 2), keepdim=True).expand_as(before)
    assert torch.equal(after[changed], mean[changed])
    return changed


# Shifts.


def test_time_shift_is_torchs_roll() -> None:
    inputs, shifts = decibels(4), whole(0, 1, -20, FRAMES)
    shifted = spectrogram.TimeShift(settings.TimeShift()).apply(inputs, shifts)
    for before, shift, after in zip(inputs, shifts.tolist(), shifted, strict=True):
        assert torch.equal(after, before.roll(shift, 1))


def test_time_shift_is_drawn_evenly() -> None:
    drawn = spectrogram.TimeShift(settings.TimeShift(fraction=0.1)).draw(torch.zeros(20_000, 1, 100), seeded())
    counts = (drawn + 10).bincount()
    assert len(counts) == 21
    # The outermost are rounded to from one side only.
    assert counts[1:-1].min() > 850 and counts[1:-1].max() < 1_150
    assert counts[0] == pytest.approx(500, abs=100)


@pytest.mark.parametrize("shift", [3, 1, 0, -1, -5])
def test_freq_shift_moves_bands_and_leaves_the_lowest_value(shift: int) -> None:
    before = decibels(2)
    after = spectrogram.FreqShift(settings.FreqShift()).apply(before, whole(shift, 0))
    assert torch.equal(after[1], before[1])
    kept = slice(max(shift, 0), BANDS + min(shift, 0))
    assert torch.equal(after[0][kept], before[0][kept.start - shift : kept.stop - shift])
    free = torch.ones(BANDS, dtype=torch.bool)
    free[kept] = False
    assert int(free.sum()) == abs(shift)
    assert (after[0][free] == before[0].min()).all()


def test_a_tones_band_moves_by_the_shift() -> None:
    tone = torch.full((1, BANDS, FRAMES), -80.0)
    tone[:, 17] = 0
    assert int(spectrogram.FreqShift(settings.FreqShift()).apply(tone, whole(4)).mean(2).argmax()) == 21


def test_freq_shift_is_drawn_evenly() -> None:
    drawn = spectrogram.FreqShift(settings.FreqShift(bands=4)).draw(torch.zeros(18_000, 20, 1), seeded())
    counts = (drawn + 4).bincount()
    assert len(counts) == 9
    assert counts.min() > 1_850 and counts.max() < 2_150


def test_freq_shift_leaves_a_band_in_sight() -> None:
    drawn = spectrogram.FreqShift(settings.FreqShift(bands=100)).draw(torch.zeros(5_000, 3, 1), seeded())
    assert set(drawn.tolist()) == {-2, -1, 0, 1, 2}


def test_magnitude_scales_the_distance_from_the_loudest_cell() -> None:
    before = decibels(3)
    factor = torch.tensor([0.5, 1.0, 1.25])
    after = spectrogram.Magnitude(settings.Magnitude()).apply(before, factor)
    loudest = before.amax((1, 2), keepdim=True)
    torch.testing.assert_close(after.amax((1, 2), keepdim=True), loudest)
    torch.testing.assert_close(loudest - after, factor[:, None, None] * (loudest - before))
    assert torch.equal(after[1], before[1])


def test_magnitudes_factor_is_drawn_evenly() -> None:
    drawn = spectrogram.Magnitude(settings.Magnitude(factor=(0.8, 1.2))).draw(torch.zeros(20_000, 1, 1), seeded())
    assert 0.8 <= drawn.min() < 0.801 and 1.199 < drawn.max() <= 1.2
    assert float(drawn.mean()) == pytest.approx(1, abs=0.005)
    assert float(drawn.std()) == pytest.approx(0.4 / 12**0.5, abs=0.003)


def test_band_gain_is_linear_between_its_points() -> None:
    before = decibels(3, bands=9)
    points = torch.tensor([[0.0, 4.0, -4.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    after = spectrogram.BandGain(settings.BandGain(points=3)).apply(before, points)
    assert torch.equal(after[1], before[1])
    expected = torch.tensor([0.0, 1, 2, 3, 4, 2, 0, -2, -4])
    torch.testing.assert_close(after[0] - before[0], expected[:, None].expand(9, FRAMES), rtol=0, atol=1e-5)
    torch.testing.assert_close(after[2], before[2] + 1)


def test_band_gains_are_drawn_evenly() -> None:
    drawn = spectrogram.BandGain(settings.BandGain(db=(-3.0, 6.0))).draw(torch.zeros(4_000, 8, 1), seeded())
    assert drawn.shape == (4_000, 6)
    assert -3 <= drawn.min() < -2.99 and 5.99 < drawn.max() <= 6
    assert float(drawn.mean()) == pytest.approx(1.5, abs=0.05)


# Masks.


def test_a_time_mask_hides_whole_frames_and_nothing_else() -> None:
    before = decibels(3)
    starts, lengths = torch.tensor([[0], [50], [7]]), torch.tensor([[5], [11], [0]])
    where = hidden(before, spectrogram.TimeMask(settings.TimeMask()).apply(before, (starts, lengths)))
    expected = torch.zeros(3, BANDS, FRAMES, dtype=torch.bool)
    expected[0, :, 0:5] = expected[1, :, 50:61] = True
    assert torch.equal(where, expected)


def test_a_freq_mask_is_a_time_mask_lying_down() -> None:
    before = decibels(8)
    bands, frames = settings.FreqMask(count=2, bands=12), settings.TimeMask(count=2, frames=12)
    across, along = spectrogram.FreqMask(bands), spectrogram.TimeMask(frames)
    turned = before.transpose(1, 2)
    after = across.apply(before, across.draw(before, seeded()))
    expected = along.apply(turned, along.draw(turned, seeded())).transpose(1, 2)
    assert torch.equal(hidden(before, after), hidden(before, expected))
    torch.testing.assert_close(after, expected)
    assert hidden(before, after).any()


@pytest.mark.parametrize("name", ["time_mask", "freq_mask"])
def test_masks_are_as_long_as_drawn_evenly_from_zero_on(name: str) -> None:
    inputs = torch.zeros(1, 50, 50).expand(21_000, -1, -1)
    section = settings.TimeMask(frames=20) if name == "time_mask" else settings.FreqMask(bands=20)
    starts, lengths = getattr(spectrogram, type(section).__name__)(section).draw(inputs, seeded())
    counts = lengths.flatten().bincount()
    assert len(counts) == 21
    assert counts.min() > 850 and counts.max() < 1_150
    # Anywhere, and never over an edge.
    assert starts.min() == 0
    assert (starts + lengths).max() == 50
    for length in (1, 10, 20):
        firsts = starts[lengths == length].bincount()
        assert len(firsts) == 50 - length + 1
        assert firsts.float().std() < 3 * firsts.float().mean().sqrt()


def test_each_of_several_masks_is_another() -> None:
    starts, lengths = spectrogram.TimeMask(settings.TimeMask(count=3)).draw(decibels(200), seeded())
    assert starts.shape == lengths.shape == (200, 3)
    assert torch.corrcoef(lengths.T.double())[0, 1:].abs().max() < 0.25
    before = decibels(200)
    share = hidden(before, with_p("time_mask", 1.0).apply(before, (starts, lengths)))[:, 0].sum(1)
    assert (share <= lengths.sum(1)).all() and (share >= lengths.amax(1)).all()


@pytest.mark.parametrize(
    ("section", "most"),
    [
        (settings.TimeMask(frames=1_000), 5),
        (settings.FreqMask(bands=1_000), 3),
        (settings.Patches(count=1, bands=1_000, frames=1_000), 1),
    ],
)
def test_what_is_longer_than_the_spectrogram_is_held_to_it(section: Any, most: int) -> None:
    transform = getattr(spectrogram, type(section).__name__)(section)
    before = decibels(300, 3, 5)
    where = hidden(before, transform.apply(before, transform.draw(before, seeded())))
    shares = {round(float(share), 3) for share in where.float().mean((1, 2))}
    expected = {1.0} if most == 1 else {round(n / most, 3) for n in range(most + 1)}
    assert shares == expected


def test_a_patch_has_its_size_and_lies_anywhere() -> None:
    transform = spectrogram.Patches(settings.Patches(count=1, bands=6, frames=9))
    before = decibels(4_000, 20, 30)
    where = hidden(before, transform.apply(before, transform.draw(before, seeded())))
    assert (where.any(2).sum(1) == 6).all() and (where.any(1).sum(1) == 9).all()
    assert (where.sum((1, 2)) == 6 * 9).all(), "not a rectangle"
    tops, lefts = where.any(2).float().argmax(1).bincount(), where.any(1).float().argmax(1).bincount()
    assert len(tops) == 20 - 6 + 1 and len(lefts) == 30 - 9 + 1
    for counts in (tops, lefts):
        assert (counts - counts.float().mean()).abs().max() < 4 * counts.float().mean().sqrt()


def test_patches_are_the_union_of_rectangles() -> None:
    transform, before = with_p("patches", 1.0), decibels(5)
    drawn = transform.draw(before, seeded())
    expected = torch.zeros(before.shape, dtype=torch.bool)
    for row, rectangles in enumerate(torch.stack(drawn, 2).tolist()):
        for top, left, height, width in rectangles:
            expected[row, top : top + height, left : left + width] = True
    assert torch.equal(hidden(before, transform.apply(before, drawn)), expected)


@pytest.mark.parametrize("name", ["time_mask", "freq_mask", "patches"])
def test_hiding_keeps_the_mean_on_average(name: str) -> None:
    transform, before = with_p(name, 1.0), decibels(1_000)
    after = transform.apply(before, transform.draw(before, seeded()))
    assert not torch.equal(after, before)
    assert float((after - before).mean()) == pytest.approx(0, abs=0.03)


# All transforms.


@pytest.mark.parametrize("name", SECTIONS)
def test_the_share_is_kept(name: str) -> None:
    transform, before = with_p(name, 0.3), decibels(4_000, 8, 31)
    changed = (transform.apply(before, transform.draw(before, seeded())) != before).any((1, 2))
    # Some draws are a shift of nothing, or masks of no length.
    nothing = {"time_shift": 1 / 31, "freq_shift": 1 / 9, "time_mask": 1 / 21**2, "freq_mask": 1 / 9**2}.get(name, 0)
    assert float(changed.float().mean()) == pytest.approx(0.3 * (1 - nothing), abs=0.025)


@pytest.mark.parametrize("p", [0.0, 0.5])
@pytest.mark.parametrize("name", SECTIONS)
def test_what_is_not_chosen_keeps_every_bit(name: str, p: float) -> None:
    transform, before = with_p(name, p), decibels(40)
    before[:, 3, :5] = -0.0
    given = before.clone()
    after = transform.apply(before, transform.draw(before, seeded(1)))
    same = (after.view(torch.int32) == given.view(torch.int32)).all(2).all(1)
    if p == 0:
        assert same.all()
    else:
        assert 8 < int(same.sum()) < 32
        assert ((after - given)[~same].abs().amax((1, 2)) > 1).all()
    assert torch.equal(before.view(torch.int32), given.view(torch.int32)), "what was given was written to"


@pytest.mark.parametrize("name", SECTIONS)
def test_a_batch_is_each_alone(name: str) -> None:
    transform, before = with_p(name, 0.8), decibels(9)
    drawn = transform.draw(before, seeded())
    together = transform.apply(before, drawn)
    for row in range(len(before)):
        own = tuple(d[row, None] for d in drawn) if isinstance(drawn, tuple) else drawn[row, None]
        torch.testing.assert_close(transform.apply(before[row, None], own)[0], together[row])


@pytest.mark.parametrize("name", SECTIONS)
def test_the_generator_decides_alone(name: str) -> None:
    alone, before, untouched = Spectrogram(settings.Augment(**{name: SECTIONS[name]})), decibels(8), seeded(7)
    torch.manual_seed(123)
    state = torch.get_rng_state()
    first, second = alone(before, untouched), alone(before, untouched)
    assert torch.equal(first, alone(before, seeded(7)))
    assert not torch.equal(first, second), "draws go on"
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("bands", "frames"), SIZES)
@pytest.mark.parametrize("name", SECTIONS)
def test_any_size_works(name: str, bands: int, frames: int) -> None:
    transform = with_p(name, 1.0)
    for count in (1, 3):
        before = decibels(count, bands, frames)
        after = transform.apply(before, transform.draw(before, seeded()))
        assert after.shape == before.shape and after.dtype == before.dtype
        assert torch.isfinite(after).all()


@pytest.mark.parametrize("name", [name for name in SECTIONS if name != "band_gain"])
def test_silence_stays_what_it_is(name: str) -> None:
    silence = torch.full((3, BANDS, FRAMES), -100.0)
    assert torch.equal(with_p(name, 1.0).apply(silence, with_p(name, 1.0).draw(silence, seeded())), silence)


# All of them together.


def test_what_is_set_is_applied_in_the_recipes_order() -> None:
    order = [name for name in settings.Augment.model_fields if name in SECTIONS]
    assert len(order) == len(SECTIONS)
    before = decibels(9)
    expected, generator = before, seeded(5)
    for name in order:
        transform = with_p(name, 1.0)
        expected = transform.apply(expected, transform.draw(expected, generator))
    assert torch.equal(Spectrogram(settings.Augment(**SECTIONS))(before, seeded(5)), expected)


def test_nothing_else_is_applied() -> None:
    before = decibels(4)
    waves_only = settings.Augment(crop=True, gain=settings.Gain(), between=settings.Between(), mixup=settings.Mixup())
    for nothing in (settings.Augment(), waves_only):
        assert torch.equal(Spectrogram(nothing)(before, seeded()), before)


def test_half_precision_around_it_changes_nothing() -> None:
    before, everything = decibels(3), Spectrogram(settings.Augment(**SECTIONS))
    with torch.autocast("cpu", torch.bfloat16):
        inside = everything(before, seeded())
    assert inside.dtype == torch.float32
    assert torch.equal(inside, everything(before, seeded()))


@pytest.mark.parametrize(
    ("section", "values"),
    [
        (settings.TimeShift, {"fraction": 0.0}),
        (settings.TimeShift, {"fraction": 1.5}),
        (settings.FreqShift, {"bands": 0}),
        (settings.Magnitude, {"factor": (0.0, 1.0)}),
        (settings.Magnitude, {"factor": (1.2, 0.8)}),
        (settings.Magnitude, {"factor": (1.0, math.inf)}),
        (settings.BandGain, {"points": 1}),
        (settings.BandGain, {"db": (3.0, -3.0)}),
        (settings.TimeMask, {"count": 0}),
        (settings.TimeMask, {"frames": 0}),
        (settings.TimeMask, {"frames": 2.5}),
        (settings.TimeMask, {"bands": 3}),
        (settings.FreqMask, {"count": -1}),
        (settings.FreqMask, {"bands": 0}),
        (settings.Patches, {"count": 0}),
        (settings.Patches, {"frames": 0}),
        (settings.Patches, {"p": 1.01}),
    ],
)
def test_what_makes_no_sense_is_refused(section: type[settings.Augment], values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        section(**values)
