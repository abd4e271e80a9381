"""Zero-shot classification: what CLAP gives in the library and AudioCLIP by its towers, as classifiers and runs."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

import hubbub
from hubbub.classifier.base import ClassifierError
from hubbub.classifier.export import Sounds, export
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.cli.main import app
from hubbub.config.recipe import Recipe
from hubbub.data.clips import ClipsError
from hubbub.errors import HubbubError
from hubbub.experiment.run import run_recipe
from hubbub.models.audioclip_texts import TextTower, tokens
from hubbub.models.checkpoint import CheckpointError
from hubbub.models.esresnext import ESResNeXt
from hubbub.models.zero_shot import prompts
from hubbub.report import run_folder
from tests.helpers.shipped_recipes import runs_quick
from tests.helpers.sounds import sounds, write_tones
from tests.helpers.spectrogram_checkpoints import saved

transformers = pytest.importorskip("transformers")

RATE = 48_000
LABELS = ("dog barking", "rain", "siren")
RELATIVE = "the scores compare these labels with each other: one is always the highest, even where none fits."


@pytest.fixture(scope="module")
def clap() -> tuple[Path, Any]:
    """A small checkpoint, and the library's model."""
    folder, theirs = saved("clap")
    return Path(folder), theirs


@pytest.fixture(scope="module")
def model(clap: tuple[Path, Any]) -> TorchClassifier:
    found = hubbub.load(clap[0], labels=LABELS, device="cpu")
    assert isinstance(found, TorchClassifier)
    return found


def wave(seconds: float = 3.0) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)


def test_scores_are_those_of_the_library(clap: tuple[Path, Any], model: TorchClassifier) -> None:
    """Of one segment: with the library's own extractor, tokenizer, and scale."""
    folder, theirs = clap
    assert prompts(LABELS, model.recipe.head.template)[0] == "This is a sound of dog barking."
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), pad_token="<pad>")
    texts = tokenizer([f"This is a sound of {label}." for label in LABELS], padding=True, return_tensors="pt")
    sound = wave(5.0)
    inputs = transformers.AutoFeatureExtractor.from_pretrained(folder)(
        sound, sampling_rate=RATE, return_tensors="pt"
    )  # fmt: skip
    with torch.inference_mode():
        out = theirs(
            input_ids=texts.input_ids, attention_mask=texts.attention_mask, input_features=inputs.input_features
        )
    prediction = model.classify(sound, rate_hz=RATE)
    expected = out.logits_per_audio.softmax(dim=1)[0].numpy()
    np.testing.assert_allclose([prediction.scores[label] for label in LABELS], expected, atol=1e-5)
    assert np.ptp(expected) > 0.01
    assert prediction.warnings == (RELATIVE,)


def test_labels_may_come_in_any_order_and_texts_differ(clap: tuple[Path, Any], model: TorchClassifier) -> None:
    turned = hubbub.load(clap[0], labels=LABELS[::-1], device="cpu").classify(wave(), rate_hz=RATE)
    before = model.classify(wave(), rate_hz=RATE)
    assert tuple(turned.scores) == LABELS[::-1]
    np.testing.assert_allclose([turned.scores[one] for one in LABELS], list(before.scores.values()), atol=1e-6)
    other = hubbub.load(clap[0], labels=LABELS, template="an {}", device="cpu").classify(wave(), rate_hz=RATE)
    assert abs(other.score - before.score) > 1e-4


def test_saved_it_needs_no_checkpoint(clap: tuple[Path, Any], tmp_path: Path) -> None:
    shutil.copytree(clap[0], tmp_path / "clap")
    model = hubbub.load(tmp_path / "clap", labels=LABELS, device="cpu")
    assert isinstance(model, TorchClassifier)
    model.save(tmp_path / "saved")
    shutil.rmtree(tmp_path / "clap")
    answers_alike(tmp_path / "saved", model)


@pytest.mark.slow
def test_an_exported_file_needs_no_checkpoint(model: TorchClassifier, tmp_path: Path) -> None:
    export(model, tmp_path / "x.onnx", Sounds("noise", [wave(), wave(7.0)]))
    answers_alike(tmp_path / "x.onnx", model)


def answers_alike(place: Path, model: TorchClassifier) -> None:
    again, expected = hubbub.load(place, device="cpu"), model.classify(wave(), rate_hz=RATE)
    found = again.classify(wave(), rate_hz=RATE)
    np.testing.assert_allclose(list(found.scores.values()), list(expected.scores.values()), atol=1e-4)
    assert found.warnings == (RELATIVE,) and again.labels == LABELS
    with pytest.raises(ClassifierError, match="is a saved classifier, whose labels are fixed"):
        hubbub.load(place, labels=["cat", "dog"])


@pytest.mark.parametrize("labels", [[], ["rain"], ["rain", "rain "], ["rain", " "], "rain"])
def test_labels_that_cannot_be_compared_are_refused(labels: Any, clap: tuple[Path, Any]) -> None:
    with pytest.raises(ClassifierError, match="give two or more different ones"):
        hubbub.load(clap[0], labels=labels)


def test_clap_without_labels_says_what_to_do() -> None:
    with pytest.raises(ClassifierError, match="clap has no labels of its own"):
        hubbub.load("clap")
    with pytest.raises(ClassifierError, match=r"audioclip has no labels of its own.*load\('audioclip', labels="):
        hubbub.load("audioclip")
    with pytest.raises(ClassifierError, match="template= is the text about labels"):
        hubbub.load("small", template="a {}")
    with pytest.raises(HubbubError, match="Add --model clap"):
        raise CliRunner().invoke(app, ["classify", "x.wav", "--labels", "dog, rain"]).exception  # type: ignore[misc]


def test_a_checkpoint_without_texts_is_refused(clap: tuple[Path, Any], tmp_path: Path) -> None:
    shutil.copytree(clap[0], tmp_path / "clap")
    (tmp_path / "clap" / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"has no tokenizer\.json, which labels need"):
        hubbub.load(tmp_path / "clap", labels=LABELS)
    (tmp_path / "clap" / "tokenizer.json").write_text("{")
    with pytest.raises(CheckpointError, match="is not a tokenizer"):
        hubbub.load(tmp_path / "clap", labels=LABELS)


def test_the_command_line(clap: tuple[Path, Any], model: TorchClassifier, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", wave(), RATE, subtype="FLOAT")
    words = ["classify", str(tmp_path / "x.wav"), "--model", str(clap[0]), "--labels", ", ".join(LABELS), "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exception is None, done.output
    answer = json.loads(done.stdout)
    expected = model.classify(wave(), rate_hz=RATE).scores
    assert answer["scores"].keys() == expected.keys()
    assert all(abs(answer["scores"][label] - score) < 1e-4 for label, score in expected.items())
    assert answer["warnings"] == [RELATIVE]


def plan(folder: Path, clap: Path, **head: Any) -> Recipe:
    return Recipe.of(
        {
            "data": {"name": str(folder / "list.csv")},
            "protocol": {"kind": "kfold", "validation": "none", "folds": ["1"]},
            "audio": {"rate_hz": RATE},
            "windows": {"length": RATE // 4, "hop": RATE // 4},
            "network": {"name": "clap", "weights": str(clap)},
            "head": {"name": "zeroshot", **head},
            "train": {"device": "cpu"},
        }
    )


def test_a_run_fits_nothing_and_tests_every_clip_of_a_fold(clap: tuple[Path, Any], tmp_path: Path) -> None:
    folder = write_tones(tmp_path / "tones")
    summary = run_recipe(plan(folder, clap[0]), tmp_path / "run", refit=False)
    table = run_folder.predictions(tmp_path / "run")
    by_clip = table[table["level"] == "clip"].set_index("clip")
    assert summary.clips == len(by_clip) == 8
    one = hubbub.load(tmp_path / "run" / "test-1" / "seed-42" / "classifier", device="cpu")
    texts = hubbub.load(clap[0], labels=["a", "b"], device="cpu")
    assert isinstance(one, TorchClassifier) and isinstance(texts, TorchClassifier) and one.head and texts.head
    np.testing.assert_array_equal(one.head.arrays()["weights"], texts.head.arrays()["weights"])
    assert (one.confidence.segment, one.confidence.clip, one.confidence.threshold) == (1.0, 1.0, None)
    for clip in ("1-0", "1-5", "1-7"):
        [name] = [known for known in by_clip.index if clip in known]
        expected = one.classify(folder / f"{clip}.wav").scores
        np.testing.assert_allclose(by_clip.loc[name, ["a", "b"]].astype(float), [*expected.values()], atol=1e-3)


def test_recipes_that_it_does_not_fit_are_refused(clap: tuple[Path, Any], tmp_path: Path) -> None:
    good = plan(tmp_path, clap[0]).model_dump(exclude_none=True)
    with pytest.raises(HubbubError, match="compares sounds with texts, as clap and audioclip do"):
        Recipe.of({**good, "network": {"name": "yamnet"}})
    with pytest.raises(HubbubError, match="leave out pool and compress"):
        Recipe.of({**good, "head": {"name": "zeroshot", "pool": "mean"}})
    with pytest.raises(HubbubError, match="template"):
        Recipe.of({**good, "head": {"name": "zeroshot", "template": "a sound"}})
    with pytest.raises(ClipsError, match="is for clips of one label"):
        sounds(tmp_path, "a.wav", "b.wav", "c.wav", seconds=0.3)
        (tmp_path / "list.csv").write_text("path,label\na.wav,x;y\nb.wav,x\nc.wav,y\n")
        sets = Recipe.of({**good, "data": {"name": str(tmp_path / "list.csv"), "multilabel": True, "separator": ";"}})
        run_recipe(sets, tmp_path / "run")


@pytest.mark.slow
def test_the_recipe_runs_quick_with_random_weights(
    home: Callable[[str, str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs_quick("esc50-clap-zeroshot", home, tmp_path, monkeypatch)
    reasons = run_folder.read_summary(tmp_path / "run").why_not_comparable
    assert any(reason.startswith("RANDOM INITIALISATION: the clap's weights") for reason in reasons)


@pytest.fixture(scope="module")
def audioclip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ESResNeXt, TextTower]:
    """A data home with a file as AudioCLIP's authors published it, but random, and the towers in it."""
    home = tmp_path_factory.mktemp("home")
    torch.manual_seed(0)
    sound, text = ESResNeXt(1_024).eval(), TextTower().eval()
    state = {f"audio.{name}": tensor for name, tensor in sound.state_dict().items()}
    (home / "weights").mkdir()
    torch.save(
        {**state, **text.state_dict(), "visual.conv1.weight": torch.zeros(2), "logit_scale_at": torch.tensor(3.0)},
        home / "weights" / "AudioCLIP-Full-Training.pt",
    )
    return home, sound, text


@pytest.mark.slow
def test_audioclip_compares_sounds_with_labels(
    audioclip: tuple[Path, ESResNeXt, TextTower], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, sound, text = audioclip
    monkeypatch.setenv("HUBBUB_HOME", str(home))
    model = hubbub.load("audioclip", labels=LABELS, device="cpu")
    assert isinstance(model, TorchClassifier) and model.recipe.head.template == "{}"
    segment = np.random.default_rng(0).normal(0, 0.1, 5 * 44_100).astype(np.float32)
    with torch.inference_mode():
        of_sound, of_texts = sound(torch.from_numpy(segment)[None]), text(tokens(LABELS))
        cosines = torch.nn.functional.cosine_similarity(of_sound, of_texts)
        expected = (np.exp(3) * cosines).softmax(dim=0).numpy()
    prediction = model.classify(segment, rate_hz=44_100)
    np.testing.assert_allclose([prediction.scores[label] for label in LABELS], expected, atol=1e-4)
    assert np.ptp(expected) > 0.01 and prediction.warnings == (RELATIVE,)
    model.save(tmp_path / "saved")
    again = hubbub.load(tmp_path / "saved", device="cpu").classify(segment, rate_hz=44_100)
    np.testing.assert_allclose(list(again.scores.values()), list(prediction.scores.values()), atol=1e-6)
    soundfile.write(tmp_path / "x.wav", segment, 44_100, subtype="FLOAT")
    words = ["classify", str(tmp_path / "x.wav"), "--model", "audioclip", "--labels", ", ".join(LABELS), "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exception is None, done.output
    assert json.loads(done.stdout)["scores"] == pytest.approx(prediction.scores, abs=1e-4)


@pytest.mark.slow
def test_a_run_of_audioclip_fits_nothing(
    audioclip: tuple[Path, ESResNeXt, TextTower], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBBUB_HOME", str(audioclip[0]))
    folder = write_tones(tmp_path / "tones")
    content = plan(folder, Path("default")).model_dump(exclude_none=True)
    content |= {"audio": {"rate_hz": 44_100}, "windows": {"length": 11_025, "hop": 11_025}}
    content |= {"network": {"name": "audioclip"}, "head": {"name": "zeroshot", "template": "{}"}}
    summary = run_recipe(Recipe.of(content), tmp_path / "run", refit=False)
    assert summary.clips == 8
    one = hubbub.load(tmp_path / "run" / "test-1" / "seed-42" / "classifier", device="cpu")
    texts = hubbub.load("audioclip", labels=["a", "b"], device="cpu")
    assert isinstance(one, TorchClassifier) and isinstance(texts, TorchClassifier) and one.head and texts.head
    np.testing.assert_array_equal(one.head.arrays()["weights"], texts.head.arrays()["weights"])
