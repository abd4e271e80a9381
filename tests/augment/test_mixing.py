"""augment.mixing: loudness follows the labels, labels sum to one, partners and shares follow their distributions."""

import math
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn.functional import one_hot

from hubbub.augment import Mixing
from hubbub.augment.mixing import BetweenClass, CutMix, Mixup
from hubbub.config import augment as settings
from tests.helpers.signals import seeded

CLASSES, SAMPLES = 5, 2_001


def noise(count: int, *size: int) -> Tensor:
    return 0.1 * torch.randn(count, *(size or (SAMPLES,)), generator=seeded())


def labels(*classes: int) -> Tensor:
    return one_hot(torch.tensor(classes), CLASSES).float()


def in_turn(count: int) -> Tensor:
    """One example of each class after the other."""
    return labels(*(i % CLASSES for i in range(count)))


def tones(count: int, samples: int = 8_000) -> Tensor:
    """Tones that share nothing: their products sum to zero."""
    at = torch.arange(samples) / samples
    return torch.stack([torch.sin(2 * torch.pi * (100 + 10 * n) * at) for n in range(count)])


def rms(waves: Tensor) -> Tensor:
    return waves.square().mean(-1).sqrt()


def mixed(p: float = 1.0, alpha: float = 0.4) -> list[Any]:
    """Both ways of mixing, as functions of inputs, targets and a generator."""
    both = Mixing(settings.Augment(between=settings.Between(p=p), mixup=settings.Mixup(p=p, alpha=alpha)), CLASSES)
    return [both.waves, both.spectrograms]


def untouched(before: Tensor, after: Tensor) -> Tensor:
    """Which rows are the same, bit for bit: `[B]`."""
    return (before.view(torch.int32) == after.view(torch.int32)).flatten(1).all(1)


# Between classes.


@pytest.mark.parametrize("share", [0.5, 0.2, 0.9])
@pytest.mark.parametrize("gain_db", [0.0, -30.0, 20.0])
def test_both_sounds_are_heard_as_their_shares_say(share: float, gain_db: float) -> None:
    waves = tones(2)
    waves[1] *= 10 ** (gain_db / 20)
    heard, targets = BetweenClass(settings.Between(), CLASSES).apply(
        waves, labels(0, 1), (torch.tensor([1, 0]), torch.tensor([share, 1.0]))
    )
    # What of each tone is in the sum: at a share of one half they are equally loud, whatever they were.
    parts = [rms((heard[0] @ tone / (tone @ tone)) * tone) for tone in waves]
    assert float(parts[0] / parts[1]) == pytest.approx(share / (1 - share), rel=1e-3)
    assert torch.equal(heard[1], waves[1])
    torch.testing.assert_close(targets, torch.tensor([[share, 1 - share, 0, 0, 0], [0, 1, 0, 0, 0]]))


def test_the_weights_are_the_papers() -> None:
    waves = noise(6) * torch.logspace(-3, 0, 6)[:, None]
    partner, share = torch.tensor([1, 2, 3, 4, 5, 0]), torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9, 0.999])
    heard, _ = BetweenClass(settings.Between(), CLASSES).apply(waves, in_turn(6), (partner, share))
    x, r = waves.double().numpy(), share.double().numpy()[:, None]
    g = 20 * np.log10(np.sqrt(np.mean(x**2, axis=1, keepdims=True)))
    p = 1 / (1 + 10 ** ((g - g[partner]) / 20) * (1 - r) / r)
    expected = (p * x + (1 - p) * x[partner]) / np.sqrt(p**2 + (1 - p) ** 2)
    np.testing.assert_allclose(heard.numpy(), expected, rtol=1e-4, atol=1e-6)


def test_sounds_of_one_level_keep_it() -> None:
    waves = tones(10)
    heard, _ = mixed()[0](waves, in_turn(10), seeded())
    torch.testing.assert_close(rms(heard), rms(waves), rtol=1e-3, atol=0)
    assert not untouched(waves, heard).any()


def test_shares_are_drawn_evenly() -> None:
    _, share = BetweenClass(settings.Between(), CLASSES).draw(noise(4_000, 50), in_turn(4_000), seeded())
    assert scipy.stats.kstest(share.numpy(), "uniform").pvalue > 0.01
    _, targets = mixed()[0](noise(4_000, 50), in_turn(4_000), seeded())
    own = targets.gather(1, in_turn(4_000).argmax(1, keepdim=True))
    assert float(own.mean()) == pytest.approx(0.5, abs=0.02)


def test_partners_are_of_another_class_any_of_them() -> None:
    classes = torch.tensor([0, 0, 0, 1, 1, 2])
    counts = torch.zeros(6, 6)
    for seed in range(1_500):
        partner, _ = BetweenClass(settings.Between(), CLASSES).draw(noise(6, 20), labels(*classes), seeded(seed))
        counts[torch.arange(6), partner] += 1
    allowed = classes[:, None] != classes
    assert (counts[~allowed] == 0).all()
    expected = (1_500 / allowed.sum(1, keepdim=True)).expand(6, 6)[allowed]
    assert ((counts[allowed] - expected).abs() < 5 * expected.sqrt()).all()


def test_without_another_class_nothing_is_mixed() -> None:
    waves, targets = noise(4), labels(2, 2, 2, 2)
    heard, after = mixed()[0](waves, targets, seeded())
    assert untouched(waves, heard).all() and torch.equal(after, targets)
    one, after = mixed()[0](waves[:1], targets[:1], seeded())
    assert untouched(waves[:1], one).all() and torch.equal(after, targets[:1])


def test_silence_is_not_mixed() -> None:
    waves, targets = noise(60), in_turn(60)
    waves[::3] = 0
    waves[0, 5] = 1e-7  # as good as silent
    for seed in range(20):
        heard, after = mixed()[0](waves, targets, seeded(seed))
        assert torch.isfinite(heard).all() and torch.isfinite(after).all()
        assert untouched(waves, heard).nonzero()[:, 0].tolist() == list(range(0, 60, 3))
        assert torch.equal(after[::3], targets[::3])
    partner, share = BetweenClass(settings.Between(), CLASSES).draw(waves, targets, seeded())
    assert (partner[share < 1] % 3 != 0).all()


def test_only_silence_stays_silent() -> None:
    silence = torch.zeros(4, 100)
    heard, after = mixed()[0](silence, in_turn(4), seeded())
    assert torch.equal(heard, silence) and torch.equal(after, in_turn(4))


def test_soft_labels_are_mixed_by_their_largest() -> None:
    targets = torch.tensor([[0.6, 0.4, 0, 0, 0], [0.7, 0, 0.3, 0, 0], [0.1, 0.9, 0, 0, 0]])
    partner, share = BetweenClass(settings.Between(), CLASSES).draw(noise(3), targets, seeded())
    assert partner.tolist()[:2] == [2, 2] and partner[2] != 2
    _, after = BetweenClass(settings.Between(), CLASSES).apply(noise(3), targets, (partner, share))
    torch.testing.assert_close(after, share[:, None] * targets + (1 - share[:, None]) * targets[partner])


# Mixup.


@pytest.mark.parametrize("size", [(101,), (7, 13), (3, 7, 13)])
def test_mixup_is_a_weighted_mean_of_inputs_and_labels(size: tuple[int, ...]) -> None:
    inputs, targets, transform = noise(9, *size), in_turn(9), Mixup(settings.Mixup(alpha=1.0))
    partner, share = transform.draw(inputs, seeded())
    after, labelled = mixed(alpha=1.0)[1](inputs, targets, seeded())
    assert sorted(partner.tolist()) == list(range(9))
    for row, (other, own) in enumerate(zip(partner.tolist(), share.tolist(), strict=True)):
        torch.testing.assert_close(after[row], own * inputs[row] + (1 - own) * inputs[other])
        torch.testing.assert_close(labelled[row], own * targets[row] + (1 - own) * targets[other])
    assert len(set(share.tolist())) == 9, "one share a row"


@pytest.mark.parametrize("alpha", [0.2, 0.4, 1.0, 8.0])
def test_mixups_shares_are_betas(alpha: float) -> None:
    _, share = Mixup(settings.Mixup(alpha=alpha)).draw(torch.zeros(5_000, 1), seeded())
    assert scipy.stats.kstest(share.double().numpy(), scipy.stats.beta(alpha, alpha).cdf).pvalue > 0.01
    assert float(share.mean()) == pytest.approx(0.5, abs=0.02)
    assert float(share.var()) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.05)


@pytest.mark.parametrize("alpha", [1e-9, 1e-3, 1e6])
def test_extreme_shares_are_numbers(alpha: float) -> None:
    after, targets = mixed(alpha=alpha)[1](noise(200, 3), in_turn(200), seeded())
    assert torch.isfinite(after).all()
    torch.testing.assert_close(targets.sum(1), torch.ones(200))
    _, share = Mixup(settings.Mixup(alpha=alpha)).draw(torch.zeros(2_000, 1), seeded())
    assert float(share.mean()) == pytest.approx(0.5, abs=0.05)


def test_any_other_may_be_the_partner() -> None:
    counts = torch.zeros(4, 4)
    for seed in range(1_000):
        partner, _ = Mixup(settings.Mixup()).draw(torch.zeros(4, 1), seeded(seed))
        counts[torch.arange(4), partner] += 1
    assert ((counts - 250).abs() < 70).all()


def test_mixup_of_one_is_itself() -> None:
    inputs, targets = noise(1), labels(3)
    after, labelled = mixed()[1](inputs, targets, seeded())
    torch.testing.assert_close(after, inputs)
    torch.testing.assert_close(labelled, targets)


# CutMix.


def test_cutmix_joins_a_beginning_and_an_end_and_labels_by_their_lengths() -> None:
    inputs, targets = noise(4, 3, 10), in_turn(4)
    partner, share = torch.tensor([1, 2, 3, 0]), torch.tensor([0.3, 1.0, 0.0, 0.9])
    after, labelled = CutMix(settings.CutMix()).apply(inputs, targets, (partner, share))
    for row, (other, own) in enumerate(zip(partner.tolist(), share.tolist(), strict=True)):
        cut = round(own * 10)
        assert torch.equal(after[row, :, :cut], inputs[row, :, :cut])
        assert torch.equal(after[row, :, cut:], inputs[other, :, cut:])
        torch.testing.assert_close(labelled[row], own * targets[row] + (1 - own) * targets[other])


def test_cutmix_cuts_between_frames() -> None:
    _, share = CutMix(settings.CutMix(p=1.0, alpha=1.0)).draw(torch.zeros(2_000, 3, 10), seeded())
    torch.testing.assert_close(share * 10, (share * 10).round())
    counts = (share * 10).round().long().bincount()
    assert len(counts) == 11
    assert counts[1:-1].min() > 140 and counts[1:-1].max() < 260


def test_a_segment_is_joined_or_averaged_not_both() -> None:
    inputs, targets = noise(400, 3, 10), in_turn(400)
    augment = settings.Augment(mixup=settings.Mixup(alpha=1.0), cutmix=settings.CutMix(p=0.5, alpha=1.0))
    after, labelled = Mixing(augment, CLASSES).spectrograms(inputs, targets, seeded())
    values = torch.cat([inputs.flatten(1), torch.zeros(400, 1)], dim=1).flatten()
    whole = torch.isin(after, values).flatten(1).all(1)  # every cell is that of a segment: joined, not averaged
    assert 0.4 < float(whole.float().mean()) < 0.6
    torch.testing.assert_close(labelled.sum(1), torch.ones(400))


@pytest.mark.parametrize("augment", [{"mixup": {}}, {"cutmix": {"p": 1.0}}, {"between": {}}])
def test_columns_behind_the_labels_are_mixed_in_the_labels_shares(augment: dict[str, Any]) -> None:
    mixing = Mixing(settings.Augment.model_validate(augment), CLASSES)
    mix = mixing.waves if "between" in augment else mixing.spectrograms
    labels_twice = torch.cat([in_turn(40), 100 * in_turn(40)], dim=1)
    _, after = mix(noise(40, 60), labels_twice, seeded())
    assert not torch.equal(after, labels_twice)
    torch.testing.assert_close(after[:, CLASSES:], 100 * after[:, :CLASSES])


# Both.


@pytest.mark.parametrize("way", [0, 1], ids=["between", "mixup"])
def test_labels_are_shares(way: int) -> None:
    _, targets = mixed()[way](noise(2_000, 40), in_turn(2_000), seeded())
    torch.testing.assert_close(targets.sum(1), torch.ones(2_000))
    assert targets.min() >= 0
    assert ((targets > 0).sum(1) <= 2).all()
    # Each class is heard about as much as before.
    torch.testing.assert_close(targets.mean(0), torch.full((CLASSES,), 1 / CLASSES), atol=0.03, rtol=0)


@pytest.mark.parametrize("way", [0, 1], ids=["between", "mixup"])
def test_the_share_of_rows_is_kept_and_the_rest_bit_for_bit(way: int) -> None:
    inputs, targets = noise(4_000, 40), in_turn(4_000)
    inputs[:, 3] = -0.0
    given = inputs.clone()
    for p in (0.0, 0.3):
        after, labelled = mixed(p, alpha=1.0)[way](inputs, targets, seeded())
        same = untouched(inputs, after)
        assert float((~same).float().mean()) == pytest.approx(p, abs=0.025)
        assert torch.equal(labelled[same], targets[same])
        assert torch.equal(inputs, given), "what was given was written to"


@pytest.mark.parametrize("way", [0, 1], ids=["between", "mixup"])
def test_the_generator_decides_alone(way: int) -> None:
    inputs, targets, generator = noise(8), in_turn(8), seeded(4)
    mix = mixed()[way]
    state, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index, union-attr]
    first, second = mix(inputs, targets, generator), mix(inputs, targets, generator)
    again = mix(inputs, targets, seeded(4))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], second[0]), "draws go on"
    assert torch.equal(torch.get_rng_state(), state)
    assert (np.random.get_state()[1] == numpys).all()  # type: ignore[index]


@pytest.mark.parametrize("samples", [1, 2, 255, 1_023])
@pytest.mark.parametrize("way", [0, 1], ids=["between", "mixup"])
def test_any_size_works(way: int, samples: int) -> None:
    for count in (1, 2, 3, 7):
        after, targets = mixed()[way](noise(count, samples), in_turn(count), seeded())
        assert after.shape == (count, samples) and targets.shape == (count, CLASSES)
        assert after.dtype == targets.dtype == torch.float32
        assert torch.isfinite(after).all()


def test_what_is_not_set_is_not_mixed() -> None:
    inputs, targets = noise(4), in_turn(4)
    between = Mixing(settings.Augment(between=settings.Between()), CLASSES)
    mixup = Mixing(settings.Augment(mixup=settings.Mixup()), CLASSES)
    for same in (between.spectrograms, mixup.waves):
        after, labelled = same(inputs, targets, seeded())
        assert torch.equal(after, inputs) and torch.equal(labelled, targets)
    for mix in (between.waves, mixup.spectrograms):
        assert not torch.equal(mix(inputs, targets, seeded())[1], targets)


def test_a_mixture_lies_between_its_classes() -> None:
    # The loss of soft targets is linear in them: the mixture's is the mean of both labels' losses.
    inputs, targets = noise(6, 10), in_turn(6)
    partner, share = Mixup(settings.Mixup(alpha=1.0)).draw(inputs, seeded())
    _, soft = Mixup(settings.Mixup(alpha=1.0)).apply(inputs, targets, (partner, share))
    logits = torch.randn(6, CLASSES, generator=seeded(3))
    loss = torch.nn.functional.cross_entropy(logits, soft, reduction="none")
    own, other = (
        torch.nn.functional.cross_entropy(logits, t.argmax(1), reduction="none") for t in (targets, targets[partner])
    )
    torch.testing.assert_close(loss, share * own + (1 - share) * other)


@pytest.mark.parametrize(
    ("section", "values"),
    [
        (settings.Between, {"p": -0.5}),
        (settings.Between, {"alpha": 1.0}),
        (settings.Mixup, {"alpha": 0.0}),
        (settings.Mixup, {"alpha": math.inf}),
        (settings.Mixup, {"p": 2.0}),
        (settings.CutMix, {"alpha": 0.0}),
        (settings.CutMix, {"p": -0.1}),
    ],
)
def test_what_makes_no_sense_is_refused(section: type[settings.Augment], values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        section(**values)
