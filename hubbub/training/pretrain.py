"""Pretraining: before it gets labels, a network learns to predict its teacher's embeddings of unlabelled sound.

The sounds are made of unlabelled clips: other places, speeds, levels and mixtures, so that some recordings give many
sounds. The teacher gets the same sounds as the network (consistent teaching: Beyer et al. 2022,
https://arxiv.org/abs/2106.05237). It is done once for all folds and seeds: clips of the recipe's own recordings, and
copies of its clips under other names, are left out, so no network has learnt from its test clips.
"""

import copy
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import safetensors.torch
import torch
from torch import Tensor

from hubbub.audio import decode
from hubbub.augment.outliers import outlier_wave
from hubbub.classifier.base import Classifier
from hubbub.classifier.load import load
from hubbub.classifier.torch_classifier import TorchClassifier, load_audioset
from hubbub.config.augment import Augment
from hubbub.config.teacher import Pretrain
from hubbub.data import cache, entries
from hubbub.data.cache import Waves
from hubbub.data.clips import Clips
from hubbub.data.open import open_data
from hubbub.errors import did_you_mean
from hubbub.runtime import download, files, homes
from hubbub.runtime.prefetch import prefetch
from hubbub.runtime.processes import cores
from hubbub.runtime.progress import track
from hubbub.training.fit import run_training
from hubbub.training.fitted import TrainError
from hubbub.training.module import Training
from hubbub.training.teacher import Heard, Lessons, Pretrained, statistics

__all__ = ["heard", "made_sound", "pretrain", "unlabelled", "without_copies_of"]

Wave = npt.NDArray[np.float32]
#: Part of the key of what is kept. Raise it when the sounds or the training change.
VERSION = 1
#: How often a sound has a second part, a synthetic sound takes a part's place, and a short part is repeated.
SECOND, SYNTHETIC, REPEATED = 0.5, 0.1, 0.5
#: Speeds of a part; level of the second part against the first, and peak of the whole [dB].
SPEEDS, SECOND_DB, PEAK_DB = (0.8, 1.25), (-15.0, 0.0), (-30.0, -0.5)
#: From this mean score of a class, the teacher takes a clip for it; below the other it surely does not.
TAKEN, NOT_TAKEN = 0.3, 0.05
#: Sounds that teacher and front end get at once.
_AT_ONCE = 32
#: The least deviation and peak that a sound is scaled by.
_SILENCE = 1e-6
_FILE = "network.safetensors"


def unlabelled(wanted: Pretrain, clips: Clips) -> Clips:
    """The clips for pretraining, without those of the recordings that `clips` are from. Raises `TrainError` where none
    is left, `ClipsError` or `StoreError` where they are not here."""
    found = open_data(wanted.data, allow_missing=True)
    if unknown := [fold for fold in wanted.folds if fold not in found.folds]:
        raise TrainError(
            f"teacher.pretrain: {found.name} has no fold '{unknown[0]}'. {did_you_mean(unknown[0], found.folds)}"
        )
    own = found.table["group"].isin(set(clips.table["group"]))
    named = found.table["fold"].isin(wanted.folds) | (not wanted.folds)
    table = found.table[named & ~own].reset_index(drop=True)
    return _of_others(found, table)


def without_copies_of(own: Waves, sounds: Clips) -> Clips:
    """The clips for pretraining whose sound is not that of a clip of the recipe's `own` data, under whatever name.
    Raises `TrainError` where none is left."""
    other = ~np.isin(cache.decode_clips(sounds, own.rate_hz).contents, own.contents)
    return sounds if other.all() else _of_others(sounds, sounds.table[other].reset_index(drop=True))


def _of_others(found: Clips, table: pd.DataFrame) -> Clips:
    """Only these clips. Raises `TrainError` where there are none."""
    if not len(table):
        raise TrainError(
            f"teacher.pretrain: no clip of {found.name} is in the named folds and not of a recording of the recipe's "
            "own data. Name other data or folds."
        )
    return replace(found, table=table)


def pretrain(base: TorchClassifier, sounds: Clips) -> Pretrained:
    """What `base`'s network learns from its teacher's embeddings of sounds that are made of clips, once per machine;
    `base` stays as it is."""
    assert base.recipe.teacher and base.recipe.teacher.pretrain
    student, count = _student(base), base.recipe.teacher.pretrain.sounds
    teacher, weights = load("yamnet", device=base.recipe.train.device), download.get("yamnet")
    waves = cache.decode_clips(sounds, base.rate_hz)
    idle = {"seeds", "trackers", "monitor", "patience", "device", "layer_decay", "checkpointing"}
    settings = student.recipe.train.model_dump_json(exclude=idle)
    key = cache.key_of(VERSION, waves.key, count, settings, student.fingerprint(), files.sha256(weights))
    checkpoints = homes.cache_dir() / "pretraining" / key

    def learn(place: Path) -> None:
        spectrograms, embeddings = _taught(student, teacher, waves, count)
        mean, deviation = statistics(embeddings)
        lessons = Lessons((embeddings - mean) / deviation, torch.zeros(count, len(base.labels)))
        module = Training(student, _Made(spectrograms), None, 0, lessons=lessons)
        resume = (checkpoints / "last.ckpt").is_file()
        run_training(module, checkpoints, student.recipe.train.epochs, resume=resume, loggers=[])
        learnt = module.averaged.module if module.averaged else module.learning
        tensors = {f"network.{name}": tensor for name, tensor in learnt.state_dict().items()}
        tensors |= {f"projection.{name}": tensor for name, tensor in module.projection.state_dict().items()}
        tensors |= {"mean": mean, "deviation": deviation}
        plain = {
            name: tensor.cpu().contiguous() for name, tensor in tensors.items() if not name.startswith("network.fc.")
        }
        safetensors.torch.save_file(plain, place / _FILE)

    pretrained = entries.entry(
        homes.cache_dir() / "pretrained" / key, learn, lambda place: Pretrained(place / _FILE, len(sounds), sounds.name)
    )
    shutil.rmtree(checkpoints, ignore_errors=True)
    return pretrained


def heard(base: TorchClassifier, sounds: Clips) -> Heard:
    """Which of the clips for pretraining the teacher takes for one of `teacher.pretrain.outliers`. Raises `TrainError`
    for a class that AudioSet does not have, and where there is no such clip."""
    assert base.recipe.teacher and base.recipe.teacher.pretrain
    wanted, teacher = base.recipe.teacher.pretrain.outliers, load_audioset().to(base.recipe.train.device)
    if missing := [name for name in wanted if name not in teacher.labels]:
        raise TrainError(
            f"teacher.pretrain.outliers: AudioSet has no class '{missing[0]}'. "
            f"{did_you_mean(missing[0], teacher.labels)}"
        )
    segments = cache.embed(cache.decode_clips(sounds, teacher.rate_hz), teacher)
    scores = teacher.predict_proba(segments.values, segments.offsets[:-1])[1]
    score = scores[:, [teacher.labels.index(name) for name in wanted]].max(axis=1)
    taken, not_taken = np.flatnonzero(score >= TAKEN), np.flatnonzero(score < NOT_TAKEN)
    if not len(taken):
        raise TrainError(
            f"teacher.pretrain.outliers: the teacher takes no clip of {sounds.name} for {' or '.join(wanted)}. Name "
            "other classes or data."
        )
    return Heard(cache.decode_clips(sounds, base.rate_hz), taken, not_taken)


def _student(base: TorchClassifier) -> TorchClassifier:
    """A copy of a classifier, whose recipe trains the whole network on embeddings alone, on one device."""
    recipe = base.recipe
    assert recipe.teacher and recipe.teacher.pretrain
    alone = {
        "layer_decay": 1.0,
        "label_smoothing": 0.0,
        "balance": "none",
        "freeze_epochs": 0,
        "warmup_epochs": 0,
        "devices": 1,
        "nodes": 1,
    }
    train = recipe.train.model_copy(update={**alone, "epochs": recipe.teacher.pretrain.epochs})
    teacher = recipe.teacher.model_copy(update={"embedding": 1.0, "scores": 0.0})
    network = recipe.network.model_copy(update={"trained_blocks": None, "lora_rank": 0})
    sections = {"network": network, "train": train, "teacher": teacher, "augment": Augment()}
    changed = recipe.model_copy(update=sections)
    return TorchClassifier(changed, base.labels, network=copy.deepcopy(base.network))


class _Made:
    """The spectrograms of made sounds, which have no class."""

    def __init__(self, spectrograms: Tensor) -> None:
        self._values, self.device = spectrograms, torch.device("cpu")
        self.targets = torch.full((len(spectrograms),), -1)

    def __len__(self) -> int:
        return len(self._values)

    def to(self, device: torch.device) -> None:
        self.device = device

    def fetch(self, rows: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Numbers `[B]` -> spectrograms `[B, F, W]`."""
        return self._values[rows].to(self.device).float().transpose(1, 2)


@torch.inference_mode()
def _taught(student: TorchClassifier, teacher: Classifier, waves: Waves, count: int) -> tuple[Tensor, Tensor]:
    """Made sounds: the student's spectrograms `[count, W, F]` in half precision, and the teacher's mean embeddings
    `[count, D]`."""
    assert student.frontend and student.frontend.logmel
    logmel, samples = student.frontend.logmel.to("cpu"), student.recipe.windows.length
    spectrograms, embeddings = list[Tensor](), list[Tensor]()

    def some(first: int) -> Iterator[tuple[Wave, list[Wave]]]:
        made = [made_sound(waves, number, samples) for number in range(first, min(first + _AT_ONCE, count))]
        yield np.stack(made), [teacher.cut(decode.resample(sound, waves.rate_hz, teacher.rate_hz)) for sound in made]

    jobs = (partial(some, first) for first in range(0, count, _AT_ONCE))
    for taken in track(prefetch(jobs, cores(), 1, cores() + 1), "making sounds", -(-count // _AT_ONCE)):
        ((sounds, cuts),) = taken
        spectrograms.append(logmel(torch.from_numpy(sounds)).transpose(1, 2).half())
        outputs = torch.from_numpy(teacher.segment_embeddings(np.concatenate(cuts)))
        embeddings += [part.mean(0) for part in outputs.split([len(cut) for cut in cuts])]
    return torch.cat(spectrograms), torch.stack(embeddings)


def made_sound(waves: Waves, number: int, samples: int) -> Wave:
    """Made sound `number`, `[samples]`: the same for the same arguments."""
    random = np.random.default_rng([number, samples])
    sound = _part(waves, random, samples)
    if random.random() < SECOND:
        second = _part(waves, random, samples)
        level = 10 ** (random.uniform(*SECOND_DB) / 20)
        sound = sound + second * (level * float(sound.std()) / max(float(second.std()), _SILENCE))
    peak = 10 ** (random.uniform(*PEAK_DB) / 20)
    return (sound * (peak / max(float(np.abs(sound).max()), _SILENCE))).astype(np.float32)


def _part(waves: Waves, random: np.random.Generator, samples: int) -> Wave:
    """A clip, or a synthetic sound, at some speed and place in so many samples."""
    if random.random() < SYNTHETIC:
        return outlier_wave(int(random.integers(2**31)), samples, waves.rate_hz)
    wave = waves.wave(int(random.integers(len(waves))))
    speed = np.exp(random.uniform(*np.log(SPEEDS)))
    wave = decode.resample(wave, round(waves.rate_hz * speed), waves.rate_hz)
    if len(wave) >= samples:
        start = int(random.integers(len(wave) - samples + 1))
        return wave[start : start + samples]
    if random.random() < REPEATED:
        return np.roll(np.resize(wave, samples), int(random.integers(samples)))
    sound = np.zeros(samples, np.float32)
    start = int(random.integers(samples - len(wave) + 1))
    sound[start : start + len(wave)] = wave
    return sound
