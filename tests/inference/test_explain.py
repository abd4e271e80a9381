"""explain: maps lie where the event is, in every network; what was listened to and the rest are the recording."""

import copy
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from hubbub.audio.frontend import FrontEnd
from hubbub.classifier import pooling
from hubbub.classifier.base import ClassifierError
from hubbub.classifier.export import Sounds, export
from hubbub.classifier.load import load_torch
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.config.recipe import Recipe
from hubbub.data import synthetic
from hubbub.inference import gradcam
from hubbub.inference.explain import ExplainError, curves, explain, split_audio
from hubbub.inference.occlusion import occlude
from hubbub.inference.stft import Grid
from hubbub.models.esresnext import ESResNeXt
from hubbub.models.heads import build_head
from hubbub.models.network import Network
from hubbub.models.yamnet import YAMNet
from hubbub.report import explanation
from hubbub.report.explanation import write_explanation, write_spectrogram_explanation
from tests.helpers.classifiers import small_classifier
from tests.models.test_registry import LARGE, SEQUENCES, SETTINGS, drawn, parameters
from tests.models.test_registry import recipe as network_recipe

RATE = 16_000
STREET = synthetic.SAMPLE_RATE_HZ
LABELS = ("air_conditioner", "car_horn", "dog_bark", "jackhammer", "siren")
ONSET, OFFSET = 2.6, 3.2


def burst(at: float, hz: float, seconds: float, rate_hz: int = RATE) -> np.ndarray:
    """A short tone in faint noise."""
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    noise = np.random.default_rng(0).normal(0, 1e-4, len(time))
    return (0.5 * np.sin(2 * np.pi * hz * time) * np.exp(-(((time - at) / 0.02) ** 2)) + noise).astype(np.float32)


# Where a map's cells lie

FRONTS: dict[str, dict[str, Any]] = {
    "librosa": {},
    "tensorflow": {"convention": "tensorflow", "win_length": 400, "n_fft": 512, "mel_scale": "htk", "hop": 160},
    "not centred": {"centre": False, "n_fft": 2048, "win_length": 1200},
    "resized": {"size": (96, 50), "n_mels": 128},
    "padded": {"frames": 160},
    "cut": {"frames": 70},
    "narrow": {"f_min_hz": 300.0, "f_max_hz": 5000.0},
}


@pytest.mark.parametrize("name", FRONTS)
@pytest.mark.parametrize(("at", "hz"), [(0.2, 3800), (0.5, 700), (1.1, 1500)])
def test_a_front_end_knows_where_a_sound_lies_on_its_picture(name: str, at: float, hz: float) -> None:
    front = FrontEnd(
        Recipe.of({"data": {"name": "street"}, "frontend": {"name": "logmel"} | FRONTS[name]}).frontend, RATE
    )
    picture = front(torch.from_numpy(burst(at, hz, 2.0))[None])[0]
    _lies_at(picture, front.positions(torch.tensor([at]), torch.tensor([hz]), 2 * RATE))


def _lies_at(picture: Tensor, places: tuple[Tensor, Tensor]) -> None:
    """The loudest cell holds the place, but for one cell."""
    height, width = picture.shape
    row, column = divmod(int(picture.argmax()), width)
    assert abs(float(places[0]) * width - 0.5 - column) <= 1
    assert abs(float(places[1]) * height - 0.5 - row) <= 1


@pytest.mark.parametrize(("at", "hz"), [(0.1, 3800), (0.5, 300), (0.9, 1500)])
def test_networks_with_a_front_end_of_their_own_know_it_too(at: float, hz: float) -> None:
    yamnet, esresnext = YAMNet(), ESResNeXt(3)
    places = yamnet.positions(torch.tensor([at]), torch.tensor([hz]), 15_600)
    _lies_at(yamnet.frontend(torch.from_numpy(burst(at, hz, 0.975))[None])[0], places)
    wave = torch.from_numpy(burst(at, hz, 1.0, 44_100))[None]
    places = esresnext.positions(torch.tensor([at]), torch.tensor([hz]), 44_100)
    _lies_at(esresnext.log_power(wave)[0].flatten(0, 1), places)


def test_what_no_band_and_no_window_reaches_is_heard_nowhere() -> None:
    front = FrontEnd(Recipe.of({"data": {"name": "street"}, "frontend": {"name": "logmel", "frames": 50} | {
        "f_min_hz": 300.0, "f_max_hz": 5000.0}}).frontend, RATE)  # fmt: skip
    columns, rows = front.positions(
        torch.tensor([0.0, 0.9, 1.2]), torch.tensor([200.0, 301.0, 4999.0, 5100.0]), 2 * RATE
    )
    assert columns.isnan().tolist() == [False, False, True]
    assert rows.isnan().tolist() == [True, False, False, True]


class Loudness(Network):
    """The louder the picture, the more its first class; its map is the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.map, self.fc = nn.Identity(), nn.Linear(1, 2)
        self.fc.weight = nn.Parameter(torch.tensor([[1.0], [-1.0]]))

    @property
    def cam_layer(self) -> nn.Module:
        return self.map

    def embed(self, x: Tensor) -> Tensor:
        return self.map(x[:, None]).mean(dim=(2, 3))


@pytest.mark.parametrize("name", [name for name in FRONTS if name != "cut"])
@pytest.mark.parametrize(("at", "hz"), [(0.31, 3800), (1.77, 700), (2.9, 1500)])
def test_a_sound_lights_up_at_its_second_and_its_frequency(name: str, at: float, hz: float) -> None:
    front = {"name": "logmel", "log": "offset", "offset": 1.0, **FRONTS[name]}  # 0 and more, which Grad-CAM keeps
    windows_ = {"length": 20_000, "hop": 9_001}
    recipe = Recipe.of({"data": {"name": "street"}, "frontend": front, "windows": windows_})
    found = explain(TorchClassifier(recipe, ("a", "b"), network=Loudness()), burst(at, hz, 3.3), RATE, "a")
    row, column = np.unravel_index(found.map.argmax(), found.map.shape)
    assert found.times[column] == pytest.approx(at, abs=0.03)
    assert found.hz[row] == pytest.approx(hz, rel=0.06)
    for one in found.segments:
        if one.start + 0.05 < at < one.end - 0.05:
            row, column = np.unravel_index(one.map.argmax(), one.map.shape)
            assert one.times[column] == pytest.approx(at, abs=0.03)
            assert found.hz[row] == pytest.approx(hz, rel=0.06)


# Every network of the contract


@pytest.mark.parametrize("name", parameters(SETTINGS))
def test_every_network_is_explained(name: str) -> None:
    length = 6_000 if "framewise" in name else 8_000  # whose segments lie beside each other
    recipe = network_recipe(name, windows={"length": length, "hop": 6_000})
    if name in ("cnn1d", "inception_v3", *LARGE):
        recipe = network_recipe(name)
    model = TorchClassifier(recipe, tuple("abcdefg"), network=drawn(name))
    wave = np.random.default_rng(0).normal(0, 0.1, model.rate_hz // 2).astype(np.float32)
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    found = explain(model, wave, model.rate_hz)
    assert found.method == "Grad-CAM"
    assert found.map.shape == (len(found.hz), len(found.times))
    assert np.isfinite(found.map).all() and found.map.min() >= 0
    assert found.map.max() == 1 or "no part of the sound raises" in found.caveats[-1]
    assert len(found.segments) == len(model.spans(len(wave)))
    for one, (start, end) in zip(found.segments, model.spans(len(wave)), strict=True):
        assert (one.start, one.end) == (start, end)
        assert one.map.shape == (len(found.hz), len(one.times))
        assert start - 1e-6 <= one.times[0] <= one.times[-1] <= end + 1e-6
        assert one.map.min() >= 0 and one.map.max() <= 1
    assert any("when, not how high" in caveat for caveat in found.caveats) == (name in SEQUENCES)
    kept, rest = split_audio(found)
    assert np.abs(kept + rest - wave).max() < 1e-6
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.network.state_dict().items())


@pytest.mark.parametrize("third", [0, 1, 2])
def test_a_network_that_hears_one_third_of_the_spectrum_is_shown_there(third: int) -> None:
    network = copy.deepcopy(drawn("esresnext"))
    with torch.no_grad():
        network.conv1.weight[:, [part for part in range(3) if part != third]] = 0
    model = TorchClassifier(network_recipe("esresnext"), tuple("abcdefg"), network=network)
    wave = np.random.default_rng(0).normal(0, 0.1, model.rate_hz // 2).astype(np.float32)
    for label in "abcdefg":  # of random weights, some speak for a class and some against it
        found = explain(model, wave, model.rate_hz, label)
        if found.map.any():
            break
    # A row of the map is a thirty-third of the spectrum; between two they are mixed.
    row = 44_100 / 2 / 33
    inside = (found.hz > 11 * third * row - row) & (found.hz < 11 * (third + 1) * row + row)
    assert found.map[inside].any()
    assert not found.map[~inside].any()


def test_a_network_without_a_map_is_asked_with_parts_of_the_sound_removed() -> None:
    front = {"name": "logmel", "n_mels": 40, "size": [224, 224]}
    recipe = Recipe.of({"data": {"name": "street"}, "frontend": front, "network": {"name": "pit_ti_224"}})
    found = explain(TorchClassifier(recipe, ("a", "b")), burst(0.3, 900, 0.6), RATE)
    assert found.method == "occlusion"
    assert found.caveats[0].startswith("pit_ti_224 has no map of its input")


# Heads

HEADS = [
    ("head.name=logreg", "head.pool=mean+max"),
    ("head.name=lda", "head.pool=mean"),
    ("head.name=mlp", "head.pool=max", "head.compress=true"),
    ("head.name=logreg", "head.pool=segment"),
    ("network.mode=head",),
]


@pytest.mark.parametrize("settings", HEADS, ids=" ".join)
def test_what_is_weighed_is_what_decides(settings: tuple[str, ...]) -> None:
    """Against differences: of the clip's logit where a head hears pooled embeddings, else of the scored segments'."""
    model, rng = small_classifier(*settings), np.random.default_rng(1)
    embeddings = rng.normal(1, 1, (4, model.network.fc.in_features)).astype(np.float32)
    scores, step = rng.random(4).astype(np.float32), 2e-3
    pool, head = model.recipe.head.pool, model.head

    def decided(rows: np.ndarray) -> float:
        if head is not None and pool != "segment":
            logits, weights = head.decision_function(pooling.pool_embeddings(rows, [0], pool)), np.ones(1)
        elif head is not None:
            logits, weights = head.decision_function(rows), scores
        else:
            with torch.no_grad():
                logits, weights = model.network.head(torch.from_numpy(rows)).numpy(), scores
        return float((logits[:, 1] - logits.mean(axis=1)) @ weights)  # what all classes share decides nothing

    gradient = gradcam.decision_gradient(model, torch.from_numpy(embeddings.copy()), 1, scores).numpy()
    for _ in range(5):
        # As small a step as single precision can tell, in one direction of all.
        way = rng.normal(size=embeddings.shape).astype(np.float32) * step
        difference = (decided(embeddings + way) - decided(embeddings - way)) / 2
        close = 0.01 * float(np.linalg.norm(gradient) * np.linalg.norm(way))
        assert difference == pytest.approx(float((gradient * way).sum()), abs=close)


@pytest.mark.parametrize("name", ["lightgbm", "ensemble"])
def test_a_head_of_trees_is_explained_by_what_is_missed(name: str) -> None:
    found = explain(small_classifier(f"head.name={name}", "head.trees=5"), burst(0.5, 900, 3.0), RATE)
    assert found.method == "occlusion"
    assert found.caveats[0] == f"the head ({name}) has no gradient: patches of the sound were removed instead."
    assert [one.map.shape[1] for one in found.segments] == [126, 125]


# What a trained network looks at


def event(label: str, take: int, onset: float = ONSET, offset: float = OFFSET, snr_db: float = 12.0) -> np.ndarray:
    name = f"{label}-take{take}"
    return synthetic.render(synthetic.StreetClip(name, label, f"{label}-s{take}", 1, 11, snr_db, onset, offset))


@pytest.fixture(scope="module")
def street() -> TorchClassifier:
    """A small network that tells five sounds of the street, trained here on the segments that hold them."""
    recipe = Recipe.load("street-cnn", ["network.width=8", "network.dropout=0"])
    model = TorchClassifier(recipe, LABELS, seed=0)
    rng = np.random.default_rng(0)
    waves, targets = [], []
    for k, label in enumerate(LABELS):
        for take in range(28):
            onset = rng.uniform(0, 1.4)
            wave, _, _ = model.read(event(label, take, onset, onset + 0.6, rng.uniform(3, 18)), STREET)
            waves.append(wave[: recipe.windows.length])
            targets.append(k)
    pictures = model.features(torch.from_numpy(np.stack(waves)))
    goal, generator = torch.tensor(targets), torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(model.network.parameters(), lr=1e-2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model.network.train()
        for _ in range(8):
            for rows in torch.randperm(len(goal), generator=generator).split(20):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model.network.logits(pictures[rows]), goal[rows]).backward()
                optimizer.step()
    return model.eval()


EVENTS = [(label, take) for label in ("car_horn", "dog_bark", "jackhammer", "siren") for take in (40, 41, 42)]


def test_the_maps_energy_lies_on_the_event(street: TorchClassifier) -> None:
    found = [explain(street, event(*one), STREET, one[0]) for one in EVENTS]
    assert np.mean([one.prediction.label == label for one, (label, _) in zip(found, EVENTS, strict=True)]) > 0.6
    inside = (found[0].times >= ONSET) & (found[0].times <= OFFSET)
    shares = [one.map[:, inside].sum() / one.map.sum() for one in found]
    assert inside.mean() == pytest.approx(0.15, abs=0.01)
    assert np.mean(shares) > 0.45, "three times its share of the time"
    # The segment that holds the event lights up, the other does not.
    assert np.mean([one.segments[1].map.sum() / sum(s.map.sum() for s in one.segments) for one in found]) > 0.8


def area(scores: np.ndarray) -> float:
    return float(np.mean((scores[1:] + scores[:-1]) / 2))


def test_deletion_and_insertion_beat_random_maps(street: TorchClassifier) -> None:
    ours, others, generator = [], [], torch.Generator().manual_seed(0)
    for label, take in EVENTS[::2]:
        found = explain(street, event(label, take), STREET, label)
        ours.append([area(scores) for scores in curves(street, found)])
        for _ in range(3):
            random = torch.rand(1, 1, 8, 12, generator=generator)
            smooth = nn.functional.interpolate(random, found.map.shape, mode="bilinear")[0, 0].numpy()
            others.append([area(scores) for scores in curves(street, found, smooth)])
    (deleted, inserted), (by_chance, put_by_chance) = np.mean(ours, axis=0), np.mean(others, axis=0)
    assert deleted < 0.9 * by_chance
    assert inserted > 1.3 * put_by_chance


def test_curves_go_from_the_recording_to_silence_and_back(street: TorchClassifier) -> None:
    found = explain(street, event("siren", 40), STREET)
    deleted, inserted = curves(street, found, steps=4)
    silence = street.classify(np.zeros_like(found.wave), RATE).scores[found.label]
    assert deleted.shape == inserted.shape == (5,)
    assert [deleted[0], inserted[-1]] == pytest.approx([found.score] * 2, abs=1e-3)
    assert [deleted[-1], inserted[0]] == pytest.approx([silence] * 2, abs=1e-3)


def test_other_weights_and_another_class_give_another_map(street: TorchClassifier) -> None:
    untrained = TorchClassifier(street.recipe, LABELS, seed=4)
    same, random, other = [], [], []
    for label, take in EVENTS[::3]:
        wave = event(label, take)
        found = explain(street, wave, STREET, label).map.ravel()[::7]
        noisy = wave + np.random.default_rng(0).normal(0, 1e-5, len(wave)).astype(np.float32)
        same.append(spearmanr(found, explain(street, noisy, STREET, label).map.ravel()[::7])[0])
        random.append(spearmanr(found, explain(untrained, wave, STREET, label).map.ravel()[::7])[0])
        other.append(spearmanr(found, explain(street, wave, STREET, "air_conditioner").map.ravel()[::7])[0])
    assert np.mean(same) > 0.95
    assert abs(np.mean(random)) < 0.5
    assert np.mean(other) < 0.5


def test_what_was_listened_to_keeps_the_class_and_the_rest_loses_it(street: TorchClassifier) -> None:
    kept, rest, whole = [], [], []
    for label, take in EVENTS:
        found = explain(street, event(label, take), STREET, label)
        sounds = split_audio(found)
        assert np.abs(sounds[0] + sounds[1] - found.wave).max() < 1e-6
        whole.append(found.score)
        for scores, wave in zip((kept, rest), sounds, strict=True):
            scores.append(street.classify(wave, RATE).scores[label])
    assert np.mean(kept) > 0.75 * np.mean(whole)
    assert np.mean(rest) < 0.6 * np.mean(whole)


def test_trees_look_at_the_event_too(street: TorchClassifier) -> None:
    recipe = Recipe.of(street.recipe.model_dump() | {"head": {"name": "lightgbm", "trees": 40, "leaves": 7}})
    model = TorchClassifier(recipe, LABELS, network=copy.deepcopy(street.network))
    waves = [event(label, take, 0.7, 1.3) for label in LABELS for take in range(16)]
    rows = model.outputs(np.stack([model.read(wave, STREET)[0][: recipe.windows.length] for wave in waves]))
    model.head = build_head(recipe.head, {}).fit(rows, np.repeat(np.arange(len(LABELS)), 16))
    found = [explain(model, event(*one), STREET, one[0]) for one in EVENTS]
    inside = (found[0].times >= ONSET) & (found[0].times <= OFFSET)  # a seventh of the time
    assert {one.method for one in found} == {"occlusion"}
    assert np.mean([one.map[:, inside].sum() / one.map.sum() for one in found]) > 0.45


# What is refused, and what is written


def test_an_unknown_class_is_refused_with_near_ones(street: TorchClassifier) -> None:
    with pytest.raises(ExplainError, match="knows no 'dog_park'\\. Did you mean 'dog_bark'"):
        explain(street, event("siren", 40), STREET, "dog_park")


@pytest.mark.parametrize("counted", [True, False], ids=["counted", "not-counted"])
def test_a_recording_too_long_to_explain_takes_no_memory(counted: bool, tmp_path: Path) -> None:
    """Hours of silence are a few kilobytes of FLAC, and gigabytes of samples."""
    hours = np.zeros(2 * 3600 * 8000, np.int16)
    soundfile.write(tmp_path / "night.flac", hours, 8000)
    if not counted:
        content = bytearray((tmp_path / "night.flac").read_bytes())
        content[21] &= 0xF0  # 36 bits of STREAMINFO
        content[22:26] = bytes(4)
        (tmp_path / "night.flac").write_bytes(content)
    classifier = small_classifier("head.name=logreg")
    del hours
    tracemalloc.start()
    try:
        with pytest.raises(ExplainError, match="s are too long to explain at once; 300 s are the most"):
            explain(classifier, tmp_path / "night.flac")
        assert tracemalloc.get_traced_memory()[1] < 40_000_000
    finally:
        tracemalloc.stop()


def test_what_is_odd_about_a_recording_stands_beside_its_map(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "crashed.wav", burst(0.5, 1000, 1.0), RATE)
    content = (tmp_path / "crashed.wav").read_bytes()
    at = content.index(b"data") + 4
    (tmp_path / "crashed.wav").write_bytes(content[:at] + bytes(4) + content[at + 4 :])
    found = explain(small_classifier("head.name=logreg"), tmp_path / "crashed.wav")
    assert "Its header says 0 bytes of samples; read to the end of the file: 1.0 s." in found.prediction.warnings[0]


def test_a_folder_holds_pictures_sounds_and_scores(street: TorchClassifier, tmp_path: Path) -> None:
    found = explain(street, event("dog_bark", 40), STREET)
    card = write_explanation(street, found, tmp_path / "why")
    assert card == json.loads((tmp_path / "why" / "explanation.json").read_text())
    assert (card["label"], card["method"], card["remarks"]) == (found.label, "Grad-CAM", [])
    assert card["scores"]["original"] == found.prediction.scores
    named = {*card["files"].values(), *(one["picture"] for one in card["segments"]), "explanation.json"}
    assert {file.name for file in (tmp_path / "why").iterdir()} == named
    assert {file.read_bytes()[:4] for file in (tmp_path / "why").glob("*.png")} == {b"\x89PNG"}
    sounds = {name: soundfile.read(tmp_path / "why" / f"{name}.wav", dtype="float32") for name in ("listened", "rest")}
    assert {rate for _, rate in sounds.values()} == {RATE}
    assert np.abs(sounds["listened"][0] + sounds["rest"][0] - found.wave).max() < 1e-6
    for name, (wave, rate) in sounds.items():
        assert card["scores"][name] == pytest.approx(street.classify(wave, rate).scores, abs=1e-6)
    write_explanation(street, found, tmp_path / "why")  # again, in place of the first


def test_of_many_segments_the_strongest_are_drawn(street: TorchClassifier, tmp_path: Path) -> None:
    found = explain(street, np.tile(event("siren", 40), 5), STREET)
    card = write_explanation(street, found, tmp_path / "long")
    strength = [one.map.max() for one in found.segments]
    drawn_ = [number for number, one in enumerate(card["segments"]) if one["picture"]]
    assert len(card["segments"]) == 10 and len(drawn_) == explanation.MOST_IMAGES == 8
    assert min(strength[k] for k in drawn_) >= max(strength[k] for k in range(10) if k not in drawn_)
    assert (tmp_path / "long" / card["segments"][drawn_[0]]["picture"]).is_file()


def test_a_folder_of_something_else_is_left_alone(street: TorchClassifier, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    found = explain(street, event("siren", 40), STREET)
    for place in (tmp_path, tmp_path / "thesis.txt"):
        with pytest.raises(ExplainError, match="is no explanation\\. Give a new or an empty folder"):
            write_explanation(street, found, place)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("around", [0.0, 1e-4])
def test_the_silence_beside_a_sound_is_dark(street: TorchClassifier, around: float) -> None:
    """A bark of .3 s in digital silence, and in noise 60 dB below it: the map lies on the bark."""
    bark = event("dog_bark", 40, snr_db=60)[: round(0.3 * STREET) + round(ONSET * STREET)][-round(0.3 * STREET) :]
    wave = around * np.random.default_rng(0).normal(size=5 * STREET)
    wave[2 * STREET : 2 * STREET + len(bark)] += bark
    found = explain(street, wave.astype(np.float32), STREET, "dog_bark")
    beside = (found.times < 1.9) | (found.times > 2.4)
    assert found.map[:, beside].sum() < 0.02 * found.map.sum()
    assert found.map.max() == 1


def test_an_answer_to_silence_is_called_that(street: TorchClassifier) -> None:
    silence = np.zeros(5 * STREET, np.float32)
    label = street.classify(silence, STREET).label
    found = explain(street, silence, STREET, label)
    assert f"'{label}' is mostly the answer to digital silence, which fills 3 of 3 segments" in found.caveats[0]
    assert not found.map.any()


@pytest.mark.parametrize("samples", [RATE // 100, 700])
def test_the_shortest_sounds_and_silence(street: TorchClassifier, samples: int, tmp_path: Path) -> None:
    found = explain(street, np.zeros(samples, np.float32), RATE)
    assert np.isfinite(found.map).all() and np.isfinite(found.decibels).all()
    kept, rest = split_audio(found)
    assert len(kept) == len(rest) == samples
    write_explanation(street, found, tmp_path / "short")


def test_a_class_name_is_no_formula(tmp_path: Path) -> None:
    model = TorchClassifier(small_classifier().recipe, (r"$\oops$", "b"))
    assert (
        write_explanation(model, explain(model, burst(0.2, 900, 0.5), RATE, r"$\oops$"), tmp_path / "why")["label"]
        == r"$\oops$"
    )


@pytest.mark.parametrize("head", ["none", "lightgbm"])
def test_a_last_segment_of_one_sample(head: str, tmp_path: Path) -> None:
    front = ["frontend.centre=false", "windows.length=8000", "windows.hop=8000"]
    model = small_classifier(f"head.name={head}", "head.trees=3", *front)
    found = explain(model, np.append(burst(0.2, 900, 0.5), np.float32(0.1)), RATE)
    # Without a margin, the last samples of a segment have no window.
    assert [one.map.shape[1] for one in found.segments] == [31 if head == "none" else 32, 0]
    card = write_explanation(model, found, tmp_path / "tail")
    assert [one["picture"] for one in card["segments"]] == ["segment-0001.png", None]


def test_yamnet_hears_a_bark_where_it_is(home: Any) -> None:
    home("weights", "yamnet.h5")
    home("weights", "yamnet_class_map.csv")
    clip = next(home("data", "esc50").rglob("1-100032-A-0.*"))  # one bark, then digital silence
    found = explain(load_torch("yamnet"), clip, label="Dog")
    sounding = np.flatnonzero(np.abs(found.wave) > 1e-3)[[0, -1]] / found.rate_hz
    inside = (found.times >= sounding[0] - 0.8) & (found.times <= sounding[1] + 0.8)  # a patch lasts .96 s
    assert found.map[:, inside].sum() / found.map.sum() > 0.95
    kept, rest = split_audio(found)
    model = load_torch("yamnet")
    assert model.classify(kept, RATE).scores["Dog"] > 2 * model.classify(rest, RATE).scores["Dog"]


# Without torch


def test_an_exported_classifier_is_explained_as_its_original_is_by_occlusion(
    street: TorchClassifier, tmp_path: Path
) -> None:
    model, wave = street, event("siren", 40, ONSET, OFFSET, 10)[: 4 * STREET]
    file = export(model, tmp_path / "x.onnx", Sounds("noise", [wave]))
    ours, theirs = explain(file, wave, STREET), explain(model, wave, STREET, occlusion=True)
    assert (ours.method, ours.label) == (theirs.method, theirs.label) == ("occlusion", ours.label)
    np.testing.assert_allclose(ours.map, theirs.map, atol=1e-4)
    grid = Grid(len(ours.wave), ours.rate_hz)
    (falls, parts), (expected, others) = (occlude(one, ours.wave, grid, ours.label) for one in (file, model))
    np.testing.assert_allclose(falls, expected, atol=1e-4)  # of log-odds
    assert expected.max() > 0.1
    for (_, one), (_, other) in zip(parts, others, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    assert len(ours.caveats) == 1 and ours.caveats[0].endswith("Grad-CAM needs the run folder that it came from.")
    assert not theirs.caveats  # it was asked for
    assert explain(model, wave, STREET).method == "Grad-CAM"
    kept, rest = split_audio(ours)
    np.testing.assert_allclose(kept + rest, ours.wave, atol=1e-6)


@pytest.mark.parametrize("words", [["x.onnx"], ["run", "--occlusion"]], ids=" ".join)
def test_occlusion_is_explained_where_torch_is_not_installed(words: list[str], tmp_path: Path) -> None:
    model, wave = small_classifier(), burst(1.5, 900, 3.0, STREET)
    export(model, tmp_path / "x.onnx", Sounds("noise", [wave]))
    model.save(tmp_path / "run" / "classifier", (tmp_path / "x.onnx").read_bytes())
    soundfile.write(tmp_path / "street.wav", wave, STREET, subtype="FLOAT")
    code = (
        "import sys\n"
        "for name in ('torch', 'torchvision', 'lightning', 'timm', 'captum'):\n    sys.modules[name] = None\n"
        "from hubbub.cli.main import main\n"
        f"sys.argv = ['hubbub', 'explain', {words[0]!r}, 'street.wav', '--out', 'why', *{words[1:]}]\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = explain(model, tmp_path / "street.wav", occlusion=True)
    assert done.stdout.startswith(f"{expected.label}, by occlusion\n")
    card = json.loads((tmp_path / "why" / "explanation.json").read_text())
    assert card["method"] == "occlusion"
    assert card["scores"]["original"] == pytest.approx(expected.prediction.scores, abs=1e-4)
    listened = soundfile.read(tmp_path / "why" / "listened.wav")[0]
    np.testing.assert_allclose(listened, split_audio(expected)[0], atol=1e-3)


def test_an_exported_classifier_takes_no_images(tmp_path: Path) -> None:
    file = export(small_classifier(), tmp_path / "x.onnx", Sounds("noise", [burst(0.2, 900, 1.0)]))
    with pytest.raises(ClassifierError, match="this classifier takes sound"):
        write_spectrogram_explanation(file, tmp_path / "street.png", tmp_path / "why")
