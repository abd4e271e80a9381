"""pretrain: sounds made of unlabelled clips, and a network that learns its teacher's embeddings of them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hubbub.classifier.load import load
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.config.recipe import Recipe, RecipeError
from hubbub.config.teacher import Pretrain
from hubbub.data import cache
from hubbub.data.cache import Waves
from hubbub.data.clips import Clips
from hubbub.data.open import open_data
from hubbub.training import pretrain as module
from hubbub.training.fitted import TrainError
from hubbub.training.pretrain import heard, made_sound, pretrain, unlabelled, without_copies_of
from tests.helpers.recipes import plan

RATE = 16_000


def waves(*parts: np.ndarray) -> Waves:
    offsets = np.cumsum([0, *map(len, parts)])
    names = tuple(f"clip {n}" for n in range(len(parts)))
    return Waves(np.concatenate(parts).astype(np.float32), offsets, names, RATE, "made")


def tone(hz: float, seconds: float) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE)


# The sounds


def test_a_sound_is_the_same_each_time_and_its_peak_is_below_full_scale() -> None:
    of = waves(tone(500, 0.4), tone(900, 3.0), np.zeros(RATE))
    for number in range(40):
        sound = made_sound(of, number, RATE)
        assert sound.shape == (RATE,) and sound.dtype == np.float32
        assert np.array_equal(sound, made_sound(of, number, RATE))
        peak = 20 * np.log10(np.abs(sound).max() + 1e-12)
        assert peak < -0.49 and (peak > -30.1 or not sound.any())
    assert not np.array_equal(made_sound(of, 0, RATE), made_sound(of, 1, RATE))


def test_sounds_hold_the_clips_at_other_speeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SYNTHETIC", 0.0)
    monkeypatch.setattr(module, "SECOND", 0.0)
    of = waves(tone(1000, 2.0))
    pitches = [np.abs(np.fft.rfft(made_sound(of, number, RATE))).argmax() for number in range(40)]
    assert min(pitches) >= 795 and max(pitches) <= 1255
    assert max(pitches) - min(pitches) > 300


def test_a_short_clip_is_placed_or_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SYNTHETIC", 0.0)
    monkeypatch.setattr(module, "SECOND", 0.0)
    of = waves(tone(1000, 0.25) + 0.01)
    sounding = [float((made_sound(of, number, RATE) != 0).mean()) for number in range(40)]
    assert any(share > 0.95 for share in sounding) and any(0.15 < share < 0.4 for share in sounding)


# The clips


def test_recordings_of_the_recipes_own_data_are_left_out() -> None:
    everything = open_data("street")
    half = everything.table.iloc[: len(everything) // 2]
    own = Clips("own", half, everything.labels)
    found = unlabelled(Pretrain(data="street"), own)
    assert not set(found.table["group"]) & set(half["group"])
    assert set(found.table["clip"]) == set(everything.table["clip"][~everything.table["group"].isin(half["group"])])
    with pytest.raises(TrainError, match="Name other data or folds"):
        unlabelled(Pretrain(data="street"), everything)


def test_copies_under_other_names_are_left_out() -> None:
    everything = open_data("street")
    few = replace(everything, table=everything.table.iloc[:12].reset_index(drop=True))
    names = [f"mine {number}" for number in range(4)]
    own = Clips("own", few.table.iloc[:4].assign(clip=names, group=names), everything.labels)
    assert len(unlabelled(Pretrain(data="street"), own)) == len(everything), "the names alone do not tell"
    found = without_copies_of(cache.decode_clips(own, RATE), few)
    assert list(found.table["clip"]) == list(few.table["clip"].iloc[4:])
    with pytest.raises(TrainError, match="Name other data or folds"):
        without_copies_of(cache.decode_clips(few, RATE), few)


def test_only_the_named_folds_are_used(home: Callable[[str, str], Path]) -> None:
    home("data", "urbansound8k")
    nothing = Clips("none", open_data("urbansound8k", allow_missing=True).table.iloc[:0], ())
    found = unlabelled(Pretrain(data="urbansound8k", folds=("4", "5")), nothing)
    assert set(found.table["fold"]) == {"4", "5"}
    with pytest.raises(TrainError, match="no fold '11'"):
        unlabelled(Pretrain(data="urbansound8k", folds=("4", "11")), nothing)


def outliers_of(*names: str) -> TorchClassifier:
    pretraining = {"data": "unused", "sounds": 96, "epochs": 6, "outliers": list(names)}
    return TorchClassifier(recipe(teacher={"pretrain": pretraining}, evaluate={"unknown": "outliers"}), ("a", "b"))


def test_the_teacher_says_which_clips_are_outliers(clips: Clips) -> None:
    """By AudioSet's names: of twenty clips, those of babies and of dogs, and the others are surely neither."""
    found, labels = heard(outliers_of("Baby cry, infant cry", "Dog"), clips), clips.table["label"]
    assert set(labels.iloc[found.outliers]) == {"crying_baby", "dog"}
    assert len(found.outliers) >= 3 and len(found.others) >= 10
    assert not {"crying_baby", "dog"} & set(labels.iloc[found.others])
    assert found.sounds.rate_hz == RATE and len(found.sounds) == len(clips)


def test_classes_that_cannot_be_outliers_are_refused(clips: Clips) -> None:
    with pytest.raises(TrainError, match=r"AudioSet has no class 'Speach'\. Did you mean 'Speech'"):
        heard(outliers_of("Speach"), clips)
    with pytest.raises(TrainError, match=r"takes no clip of esc10 for Bagpipes\. Name other classes or data"):
        heard(outliers_of("Bagpipes"), clips)
    with pytest.raises(RecipeError, match=r"teacher\.pretrain\.outliers .* set evaluate\.unknown = 'outliers'"):
        recipe(teacher={"pretrain": {"data": "unused", "outliers": ["Speech"]}})


# The training


def recipe(**sections: dict[str, object]) -> Recipe:
    """Pretraining of a small network for some steps on .5 s of log-mel."""
    given: dict[str, dict[str, object]] = {
        "windows": {"length": RATE // 2, "hop": RATE // 2},
        "network": {"width": 8},
        "teacher": {"pretrain": {"data": "unused", "sounds": 96, "epochs": 6}},
        "train": {"epochs": 1, "batch_size": 12, "learning_rate": 0.01, "schedule": "onecycle", "average": 0.9},
    }
    return plan(**given | sections)


@pytest.fixture
def clips(home: Callable[[str, str], Path]) -> Clips:
    home("weights", "yamnet.h5")
    home("data", "esc50")
    found = open_data("esc10")
    return Clips("esc10", found.table.iloc[::20].reset_index(drop=True), found.labels)


def test_the_network_predicts_its_teachers_embeddings_of_other_sounds(clips: Clips) -> None:
    """Of sounds that were not among those it learnt from, and better than by their mean, which has a cosine of 0."""
    base = TorchClassifier(recipe(), ("a", "b"), seed=3)
    before = {name: tensor.clone() for name, tensor in base.network.state_dict().items()}
    found = pretrain(base, clips)
    assert all(torch.equal(tensor, before[name]) for name, tensor in base.network.state_dict().items())
    assert found.clips == 20 and found.name == "esc10"
    state = found.of("network")
    assert set(state) == {name for name in before if not name.startswith("fc.")}
    base.network.load_state_dict(before | state)
    mean, deviation = found.statistics
    projection = nn.Linear(base.network.fc.in_features, len(mean))
    projection.load_state_dict(found.of("projection"))
    teacher, of = load("yamnet"), module.cache.decode_clips(clips, RATE)
    made = [made_sound(of, number, RATE // 2) for number in range(1000, 1060)]
    taught = np.stack([teacher.segment_embeddings(teacher.cut(sound)).mean(0) for sound in made])
    with torch.no_grad():
        predicted = projection(base.eval().embeddings(torch.from_numpy(np.stack(made))))
    cosine = nn.functional.cosine_similarity(predicted, (torch.from_numpy(taught) - mean) / deviation)
    assert float(cosine.mean()) > 0.2


def test_a_second_run_reads_what_the_first_has_learnt(clips: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    first = pretrain(TorchClassifier(recipe(), ("a", "b"), seed=3), clips)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("it was trained again")

    monkeypatch.setattr(module, "run_training", never)
    again = pretrain(TorchClassifier(recipe(augment={"mixup": {"alpha": 0.3}}), ("a", "b"), seed=3), clips)
    assert first.file == again.file, "what only a training with labels uses is no reason to do it again"
    with pytest.raises(AssertionError, match="again"):
        pretrain(TorchClassifier(recipe(), ("a", "b"), seed=4), clips)


def test_networks_on_waves_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"teacher\.pretrain .* frontend\.name = 'logmel'"):
        recipe(frontend={"name": "none"}, network={"name": "esresnext"}, audio={"rate_hz": 44_100})
