"""batches: segments are those that `windows.cut` makes, and an epoch is every example once, however it is shared."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor

from hubbub.audio import windows
from hubbub.audio.logmel import LogMel
from hubbub.config.sections import Windows
from hubbub.data.arrays import Arrays
from hubbub.data.cache import Segments, Waves
from hubbub.training import batches
from hubbub.training.batches import (
    Embeddings,
    Spectrograms,
    Stored,
    Waveforms,
    class_weights,
    epoch_batches,
    positive_weights,
)
from hubbub.training.fitted import TrainError
from hubbub.training.targets import SegmentTargets, Targets

CPU = torch.device("cpu")
#: Clips shorter than a window, as long as one, and longer; the fifth is one sample.
LENGTHS = (250, 30, 100, 101, 1, 149, 150, 400, 99)


def waves_of(lengths: Sequence[int] = LENGTHS) -> Waves:
    """Sound in which every sample has its own value, none of them 0."""
    samples = np.arange(1, sum(lengths) + 1, dtype=np.float32)
    offsets = np.append(0, np.cumsum(lengths)).astype(np.int64)
    return Waves(samples, offsets, tuple(map(str, lengths)), 16_000, "key")


def source_of(clips: Sequence[int], waves: Waves | None = None, crop: bool = False, **settings: Any) -> Waveforms:
    targets = np.arange(len(LENGTHS), dtype=np.int64) % 4
    made = Waveforms(
        waves or waves_of(),
        np.array(clips, dtype=np.intp),
        targets,
        Windows(**{"length": 100, "hop": 50, **settings}),
        crop=crop,
    )
    made.to(CPU)
    return made


def rows(*numbers: int) -> Tensor:
    return torch.tensor(numbers, dtype=torch.int64)


# Segments of sound


@pytest.mark.parametrize("pad", ["zeros", "repeat"])
@pytest.mark.parametrize(("length", "hop"), [(100, 50), (100, 100), (100, 33), (1, 1), (401, 7)])
@pytest.mark.parametrize("clips", [range(9), [7, 0, 4], [1], [2, 2, 5]])
def test_segments_are_those_that_cut_makes(pad: windows.Pad, length: int, hop: int, clips: Sequence[int]) -> None:
    waves = waves_of()
    source = source_of(clips, waves, length=length, hop=hop, pad=pad)
    expected = [windows.cut(waves.wave(clip), length, hop, pad) for clip in clips]
    every = np.concatenate(expected)
    assert len(source) == len(source.targets) == len(every)
    order = torch.randperm(len(source), generator=torch.Generator().manual_seed(0))
    for some in (torch.arange(len(source)), order, order[:3], order[:1], order[:0]):
        fetched = source.fetch(some)
        assert fetched.dtype == torch.float32
        np.testing.assert_array_equal(fetched.numpy(), every[some.numpy()])
    owners = np.repeat(clips, [len(segments) for segments in expected])
    np.testing.assert_array_equal(source.targets.numpy(), owners % 4)
    assert source.targets.dtype == torch.int64


def test_a_memory_map_serves_as_well(tmp_path: Any) -> None:
    waves = waves_of()
    waves.samples.tofile(tmp_path / "samples.f32")
    mapped = np.memmap(tmp_path / "samples.f32", dtype=np.float32, mode="c")
    kept = Waves(mapped, waves.offsets, waves.contents, waves.rate_hz, waves.key)
    source = source_of(range(9), kept)
    fetched = source.fetch(torch.arange(len(source)))
    torch.testing.assert_close(fetched, source_of(range(9)).fetch(torch.arange(len(source))), rtol=0, atol=0)
    fetched.zero_()
    assert source.fetch(rows(0)).any(), "what a step does to its batch does not reach the clips"


def test_no_clips_are_no_segments() -> None:
    source = source_of([])
    assert len(source) == len(source.targets) == 0


def test_without_crop_a_generator_changes_nothing() -> None:
    source = source_of(range(9))
    every = torch.arange(len(source))
    varied = source.fetch(every, torch.Generator().manual_seed(0))
    torch.testing.assert_close(varied, source.fetch(every), rtol=0, atol=0)


def test_without_a_generator_crop_changes_nothing() -> None:
    plain, cropped = source_of(range(9)), source_of(range(9), crop=True)
    assert len(plain) == len(cropped)
    every = torch.arange(len(plain))
    torch.testing.assert_close(cropped.fetch(every), plain.fetch(every), rtol=0, atol=0)


def is_part(segment: npt.NDArray[np.float32], wave: npt.NDArray[np.float32]) -> int:
    """The start of the segment in its clip, negative where it begins before it. Fails where it is no part of it."""
    sound = np.flatnonzero(segment)
    if len(wave) >= len(segment):
        start = int(segment[0] - wave[0])
        assert 0 <= start <= len(wave) - len(segment)
        np.testing.assert_array_equal(segment, wave[start : start + len(segment)])
        return start
    np.testing.assert_array_equal(segment[sound], wave)
    np.testing.assert_array_equal(sound, np.arange(sound[0], sound[0] + len(wave)))
    return -int(sound[0])


def test_cropped_segments_lie_anywhere_in_their_clip() -> None:
    waves = waves_of()
    source = source_of(range(9), waves, crop=True)
    owner = np.repeat(np.arange(9), [windows.count(n, 100, 50) for n in LENGTHS])
    generator = torch.Generator().manual_seed(0)
    starts: dict[int, list[int]] = {clip: [] for clip in range(9)}
    for _ in range(300):
        segments = source.fetch(torch.arange(len(source)), generator).numpy()
        for clip, segment in zip(owner, segments, strict=True):
            starts[clip].append(is_part(segment, waves.wave(clip)))
    for clip, length in enumerate(LENGTHS):
        low, high = min(length - 100, 0), max(length - 100, 0)
        found = np.array(starts[clip])
        assert found.min() >= low and found.max() <= high, clip
        # Drawn evenly: the mean is that of the range, to 5 standard errors, and the outer places are reached.
        sd = math.sqrt(((high - low + 1) ** 2 - 1) / 12)
        assert abs(found.mean() - (low + high) / 2) <= 5 * sd / math.sqrt(len(found)), clip
        assert np.ptp(found) >= 0.9 * (high - low), clip


def test_cropped_and_repeated_clips_have_no_silence() -> None:
    waves = waves_of()
    source = source_of([1, 4, 0], waves, crop=True, pad="repeat")
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        short, one, *long = source.fetch(torch.arange(len(source)), generator).numpy()
        first = np.flatnonzero(waves.wave(1) == short[0])[0]
        np.testing.assert_array_equal(short, np.resize(np.roll(waves.wave(1), -first), 100))
        assert (one == waves.wave(4)[0]).all()
        for segment in long:
            is_part(segment, waves.wave(0))


def test_the_generator_alone_decides_a_crop() -> None:
    source = source_of(range(9), crop=True)
    every = torch.arange(len(source))
    first, again, other = (source.fetch(every, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    torch.testing.assert_close(again, first, rtol=0, atol=0)
    assert (other - first).abs().max() > 0


@pytest.mark.parametrize("pad", ["zeros", "repeat"])
@pytest.mark.parametrize("crop", [False, True])
def test_clips_in_a_devices_memory_give_the_same_segments(
    monkeypatch: pytest.MonkeyPatch, pad: windows.Pad, crop: bool
) -> None:
    """The CPU stands for an accelerator: only the clips of the part are copied, and every sample is indexed."""
    clips = [7, 0, 4, 4]
    mapped = source_of(clips, crop=crop, pad=pad)
    every = torch.arange(len(mapped))
    expected = mapped.fetch(every, torch.Generator().manual_seed(0))
    monkeypatch.setattr(batches, "_fits", lambda size, device: True)
    monkeypatch.setattr(Waveforms, "_sliced", Waveforms._gathered)
    resident = source_of(clips, crop=crop, pad=pad)
    assert len(resident._samples) == sum(LENGTHS[clip] for clip in clips)
    torch.testing.assert_close(resident.fetch(every, torch.Generator().manual_seed(0)), expected, rtol=0, atol=0)


def test_stored_spectrograms_in_a_devices_memory_are_those_of_the_part(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=(600, 2, 3)).astype(np.float32)
    offsets = np.array([0, 300, 301, 600])
    kept = Arrays(values, offsets, np.zeros((600, 2)), ("a", "b", "c"), "key")
    source = Stored(kept, np.array([2, 1]), np.arange(3))
    own = [*range(301, 600), 300]
    for resident in (False, True):
        monkeypatch.setattr(batches, "_fits", lambda size, device, fits=resident: fits)
        source.to(CPU)
        assert len(source._values) == (300 if resident else 600)
        np.testing.assert_array_equal(source.fetch(torch.arange(300)).numpy(), values[own])
        np.testing.assert_array_equal(source.fetch(rows(299, 0)).numpy(), values[[300, 301]])


# Spectrograms


def test_spectrograms_are_computed_once() -> None:
    """They equal those of each batch to the last bit, in the memory layout that the front end gives."""
    logmel, computed = LogMel(16_000, n_fft=32, hop=10, n_mels=4), list[int]()

    def compute(waves: Tensor) -> Tensor:
        computed.append(len(waves))
        return logmel(waves)

    waves = source_of(range(9))
    source = Spectrograms(waves, compute, batch_size=4)
    source.to(CPU)
    assert len(source) == len(waves) and source.targets is waves.targets
    assert not computed, "nothing before the first use, which is in the process that trains"
    for some in (rows(5, 0, 5), torch.arange(len(source)), rows(2)):
        fetched, expected = source.fetch(some), logmel(waves.fetch(some))
        torch.testing.assert_close(fetched, expected, rtol=0, atol=0)
        assert fetched.stride()[1:] == expected.stride()[1:]
    assert sum(computed) == len(source) and max(computed) == 4
    source.fetch(rows(0)).zero_()
    assert source.fetch(rows(0)).any(), "what a step does to its batch does not reach the stored ones"


# Embeddings


def test_embeddings_are_those_of_the_clips_segments() -> None:
    values = np.random.default_rng(0).normal(size=(10, 6)).astype(np.float32)
    segments = Segments(values, np.array([0, 3, 4, 8, 10]))
    targets = np.array([2, 0, 1, 5])
    source = Embeddings(segments, np.array([3, 0], dtype=np.intp), targets, 6)
    source.to(CPU)
    own = [8, 9, 0, 1, 2]
    assert len(source) == 5
    assert source.targets.tolist() == [5, 5, 2, 2, 2] and source.targets.dtype == torch.int64
    np.testing.assert_array_equal(source.fetch(torch.arange(5)).numpy(), values[own])
    np.testing.assert_array_equal(source.fetch(rows(4, 0, 4)).numpy(), values[[2, 8, 2]])
    generator = torch.Generator().manual_seed(0)
    np.testing.assert_array_equal(source.fetch(rows(1), generator).numpy(), values[[9]])
    # Shifted forms stand behind, and are not learnt from.
    first = Embeddings(segments, np.array([3, 0], dtype=np.intp), targets, 2)
    np.testing.assert_array_equal(first.fetch(torch.arange(5)).numpy(), values[own, :2])


# Epochs


def parts_of(count: int, batch: int, world: int, seed: int | None) -> list[list[tuple[list[int], float]]]:
    """By step and device: example numbers and weight."""
    targets = torch.zeros(count, dtype=torch.int64)
    by_device = []
    for rank in range(world):
        rng = None if seed is None else np.random.default_rng(seed)
        made = epoch_batches(targets, batch, rng, rank=rank, world=world)
        by_device.append([(part.tolist(), weight) for part, weight in made])
    return [list(step) for step in zip(*by_device, strict=True)]


epochs = given(
    count=st.integers(1, 300), batch=st.integers(1, 40), world=st.integers(1, 5), seed=st.none() | st.integers(0, 9)
)


@epochs
@example(count=33, batch=32, world=1, seed=0)
@example(count=17, batch=4, world=4, seed=0)
def test_an_epoch_holds_every_example_once(count: int, batch: int, world: int, seed: int | None) -> None:
    steps = parts_of(count, batch, world, seed)
    assert sorted(n for step in steps for part, _ in step for n in part) == list(range(count))


@epochs
@example(count=33, batch=32, world=1, seed=0)
@example(count=17, batch=4, world=4, seed=0)
def test_batches_are_even(count: int, batch: int, world: int, seed: int | None) -> None:
    steps = parts_of(count, batch, world, seed)
    assert len(steps) == math.ceil(count / (batch * world)), "no more steps than are needed"
    sizes = [sum(len(part) for part, _ in step) for step in steps]
    assert max(sizes) - min(sizes) <= 1
    for step in steps:
        parts = [len(part) for part, _ in step]
        assert max(parts) <= batch
        assert max(parts) - min(parts) <= 1


@given(count=st.integers(1, 300), batch=st.integers(2, 40), world=st.integers(1, 5))
def test_each_device_has_something_to_do(count: int, batch: int, world: int) -> None:
    if count >= 2 * world:  # fewer are refused before
        assert all(part for step in parts_of(count, batch, world, 0) for part, _ in step)


@epochs
def test_devices_share_the_steps_of_one(count: int, batch: int, world: int, seed: int | None) -> None:
    steps, alone = parts_of(count, batch, world, seed), parts_of(count, batch * world, 1, seed)
    shared = [[n for part, _ in step for n in part] for step in steps]
    assert shared == [step[0][0] for step in alone]
    assert all(step[0][1] == 1.0 for step in alone)


@epochs
def test_weights_make_the_mean_over_devices_the_mean_over_examples(
    count: int, batch: int, world: int, seed: int | None
) -> None:
    losses = np.random.default_rng(1).normal(size=count)
    for step in parts_of(count, batch, world, seed):
        means = [weight * losses[part].mean() if part else 0.0 for part, weight in step]
        every = [n for part, _ in step for n in part]
        assert np.mean(means) == pytest.approx(losses[every].mean(), abs=1e-12)


def test_without_a_generator_the_order_is_kept() -> None:
    steps = parts_of(103, 10, 2, None)
    assert [n for step in steps for part, _ in step for n in part] == list(range(103))


def test_the_order_is_the_generators_alone() -> None:
    first, again, other = (parts_of(200, 16, 1, seed) for seed in (5, 5, 6))
    assert first == again != other
    longer = parts_of(200, 50, 1, 5)
    flat = [[n for step in steps for part, _ in step for n in part] for steps in (first, longer)]
    assert flat[0] == flat[1] != sorted(flat[0])


def test_every_order_is_as_likely() -> None:
    rng = np.random.default_rng(0)
    targets = torch.zeros(3, dtype=torch.int64)
    orders = [tuple(epoch_batches(targets, 3, rng)[0][0].tolist()) for _ in range(1_200)]
    counts = np.array([orders.count(order) for order in set(orders)])
    assert len(counts) == 6
    assert np.abs(counts - 200).max() < 5 * math.sqrt(200)


# Rare classes

TARGETS = torch.from_numpy(np.repeat([0, 1, 2, 4], [500, 90, 9, 1]))  # of class 3 there is none


def test_balanced_epochs_draw_each_class_as_often() -> None:
    counts = np.zeros(5)
    drawn = 0
    for epoch in range(50):
        made = epoch_batches(TARGETS, 64, np.random.default_rng(epoch), balanced=True)
        picked = torch.cat([part for part, _ in made])
        assert len(picked) == len(TARGETS) and len(made) == math.ceil(600 / 64)
        counts += np.bincount(TARGETS[picked], minlength=5)
        drawn += len(picked)
    assert counts[3] == 0
    expected = drawn / 4
    assert np.abs(counts[[0, 1, 2, 4]] - expected).max() < 5 * math.sqrt(drawn * 0.25 * 0.75)


def test_balanced_epochs_draw_within_a_class_as_often() -> None:
    made = [epoch_batches(TARGETS, 600, np.random.default_rng(e), balanced=True)[0][0] for e in range(200)]
    of_class_2 = torch.cat(made)
    counts = np.bincount(of_class_2, minlength=600)[590:599]
    expected = 200 * 600 / 4 / 9
    assert np.abs(counts - expected).max() < 5 * math.sqrt(expected)


def test_devices_share_a_balanced_epoch() -> None:
    def made(rank: int, world: int, batch: int) -> list[list[int]]:
        rng = np.random.default_rng(3)
        parts = epoch_batches(TARGETS, batch, rng, rank=rank, world=world, balanced=True)
        return [part.tolist() for part, _ in parts]

    both = [a + b for a, b in zip(made(0, 2, 32), made(1, 2, 32), strict=True)]
    assert both == made(0, 1, 64)


def test_without_a_generator_nothing_is_balanced() -> None:
    made = epoch_batches(TARGETS, 64, None, balanced=True)
    assert torch.cat([part for part, _ in made]).tolist() == list(range(600))


@given(st.lists(st.integers(0, 6), min_size=1, max_size=60))
def test_class_weights_are_scikit_learns(classes: list[int]) -> None:
    targets = torch.tensor(classes)
    weights = class_weights(targets)
    present = np.unique(classes)
    expected = compute_class_weight("balanced", classes=present, y=classes)
    np.testing.assert_allclose(weights[present].numpy(), expected, rtol=1e-6)
    assert torch.isfinite(weights).all()
    assert float(weights[targets].mean()) == pytest.approx(1, rel=1e-5)
    # Each class weighs as much as any other.
    sums = [float(weights[k]) * classes.count(k) for k in present]
    assert sums == pytest.approx([len(classes) / len(present)] * len(present), rel=1e-5)


def test_classes_that_do_not_occur_weigh_nothing() -> None:
    targets = torch.tensor([0] * 30 + [1] * 10)
    weights = class_weights(targets, 5)
    assert weights.shape == (5,)
    torch.testing.assert_close(weights[:2], class_weights(targets))
    # Label smoothing asks for them: they must not draw the network towards what is never heard.
    assert weights[2:].tolist() == [0.0, 0.0, 0.0]


# Label sets

#: Two of four classes in the first clip, none in the second, one that nobody annotated in the others.
SETS = np.array([[1, 0, 1, 0], [0, 0, 0, 0], [-1, 1, 0, 0]] * 3, np.int8)


def of_sets(clips: Sequence[int], targets: Targets = SETS, crop: bool = False) -> Waveforms:
    return Waveforms(waves_of(), np.array(clips, np.intp), targets, Windows(length=100, hop=50), crop=crop)


def timed(clip: int, spans: npt.NDArray[np.float64]) -> npt.NDArray[np.int8]:
    """Every class begins a hundredth of a second after the one before it; the last one was not annotated."""
    begin = np.arange(4) / 100
    return np.where(np.arange(4) < 3, spans[:, :1] >= begin, -1).astype(np.int8)


def test_segments_share_the_label_set_of_their_clip() -> None:
    source = of_sets([7, 1, 0])
    counts = [windows.count(LENGTHS[clip], 100, 50) for clip in (7, 1, 0)]
    np.testing.assert_array_equal(source.targets.numpy(), np.repeat(SETS[[7, 1, 0]], counts, axis=0))
    assert source.targets.dtype == torch.int8
    segments = Segments(np.zeros((10, 6), np.float32), np.array([0, 3, 4, 8, 10]))
    embedded = Embeddings(segments, np.array([3, 0]), SETS, 6)
    np.testing.assert_array_equal(embedded.targets.numpy(), SETS[[3, 3, 0, 0, 0]])
    values = np.zeros((10, 2, 3), np.float32)
    stored = Stored(Arrays(values, segments.offsets, np.zeros((10, 2)), tuple("abcd"), "key"), np.array([3, 0]), SETS)
    np.testing.assert_array_equal(stored.targets.numpy(), SETS[[3, 3, 0, 0, 0]])


def test_segments_of_timed_labels_have_those_of_their_place() -> None:
    targets = SegmentTargets(SETS, timed, lambda clip: windows.spans(LENGTHS[clip], 16_000, 100, 50))
    source = of_sets([7, 1], targets)
    starts = np.array([0, 50, 100, 150, 200, 250, 300, 0]) / 16_000
    np.testing.assert_array_equal(source.targets.numpy(), timed(0, starts[:, None]))
    assert (source.targets[:, :3].sum(1) > 1).any() and source.targets.dtype == torch.int8
    offsets = np.append(0, np.cumsum([windows.count(n, 100, 50) for n in LENGTHS]))
    embedded = Embeddings(Segments(np.zeros((offsets[-1], 6), np.float32), offsets), np.array([7, 1]), targets, 6)
    np.testing.assert_array_equal(embedded.targets.numpy(), source.targets.numpy())
    assert len(of_sets([], targets).targets) == 0


def test_timed_labels_need_segments_in_their_places() -> None:
    targets = SegmentTargets(SETS, timed, lambda clip: np.zeros((1, 2)))
    with pytest.raises(TrainError, match=r"Set augment\.crop = false"):
        of_sets([7, 1], targets, crop=True)
    arrays = Arrays(np.zeros((9, 2, 3), np.float32), np.arange(10), np.zeros((9, 2)), tuple("abcdefghi"), "key")
    with pytest.raises(TrainError, match="Train on the sound"):
        Stored(arrays, np.array([0]), targets)


def test_an_epoch_of_label_sets_holds_every_example_once() -> None:
    made = epoch_batches(torch.from_numpy(SETS), 4, np.random.default_rng(0))
    assert sorted(torch.cat([part for part, _ in made]).tolist()) == list(range(9))


def test_a_label_set_is_drawn_as_often_as_its_rarest_class_asks() -> None:
    """90 examples of class 0 alone, 9 of both classes, 1 of neither, which has the mean share of the others."""
    targets = torch.tensor([[1, 0]] * 90 + [[1, 1]] * 9 + [[0, -1]], dtype=torch.int8)
    picked = np.concatenate(
        [
            part.numpy()
            for epoch in range(200)
            for part, _ in epoch_batches(targets, 50, np.random.default_rng(epoch), balanced=True)
        ]
    )
    assert len(picked) == 200 * 100
    counts = np.bincount(picked, minlength=100)
    shares = np.array([1 / 99] * 90 + [1 / 9] * 9 + [(90 / 99 + 1) / 99])
    expected = len(picked) * shares / shares.sum()
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected)).all()


def test_examples_without_any_label_are_drawn_alike() -> None:
    made = epoch_batches(torch.zeros(40, 3, dtype=torch.int8), 50, np.random.default_rng(0), balanced=True)
    assert len(made[0][0]) == 40


def test_positive_weights_make_present_and_absent_weigh_the_same() -> None:
    targets = torch.zeros(200, 6, dtype=torch.int8)
    targets[:50, 0] = 1
    targets[:160, 1], targets[160:180, 1] = 1, -1
    targets[:2, 2] = 1
    targets[:199, 3] = 1
    targets[:, 4] = 1
    weights = positive_weights(targets)
    assert weights.tolist() == pytest.approx([3, 20 / 160, 20, 1 / 20, 1, 1])
    known = targets[targets[:, 1] >= 0, 1].long()
    assert float(weights[1] * (known == 1).sum()) == pytest.approx(float((known == 0).sum()))
