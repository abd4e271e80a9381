"""export, onnx_model and rounding: a file answers as its classifier does, and is refused where it would not."""

import json
import math
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import soundfile
import torch
from onnx import numpy_helper
from torch import Tensor, nn

import hubbub
from hubbub.classifier import pooling, quantize
from hubbub.classifier.base import ClassifierError
from hubbub.classifier.calibration import Confidence
from hubbub.classifier.export import CLIPS, TOLERANCE, ExportError, Sounds, _adaptive_max_pool2d, export, sounds
from hubbub.classifier.fast_session import front_end
from hubbub.classifier.load import load_torch
from hubbub.classifier.onnx_classifier import META, OnnxClassifier, to_bytes
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.models import cnn
from tests.classifier.test_torch_classifier import HEADS
from tests.helpers import command_line
from tests.helpers.amount import LONG
from tests.helpers.classifiers import small_classifier
from tests.models.test_registry import CLASSES, SETTINGS, recipe

RATE = 16_000
LABELS = tuple("abcdefg")
#: Networks that take one length alone: by their layers, because they hear no more, or because ONNX has no such pooling.
ONE_LENGTH = {"cnn1d", "yamnet", "esresnext", "audioclip", "clap"}
FAST = {"cnn", "yamnet"}
DOC = Path(__file__).parents[2] / "docs" / "export.md"


def waves(rate_hz: int, length: int) -> list[np.ndarray]:
    """Noise, a tone and a rumble, of 2.4 segments."""
    rng, samples = np.random.default_rng(0), round(2.4 * length)
    noise = rng.normal(0, 0.1, (2, samples))
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(samples) / rate_hz) + 0.01 * noise[0]
    return [w.astype(np.float32) for w in (noise[0], tone, 0.02 * noise[1].cumsum())]


def noises(model: TorchClassifier) -> Sounds:
    return Sounds("noise", waves(model.rate_hz, model.recipe.windows.length))


def slow_but(names: Iterable[str], fast: set[str]) -> list[Any]:
    return [name if name in fast else pytest.param(name, marks=pytest.mark.slow) for name in names]


@cache
def small() -> tuple[TorchClassifier, bytes]:
    """A classifier and its exported file, for tests that only look."""
    model = small_classifier()
    model.card, model.confidence = {"trained_on": "noise"}, Confidence(segment=1.5, clip=0.7)
    folder = Path(os.environ["HUBBUB_CACHE"])
    export(model, folder / "small.onnx", noises(model))
    return model, (folder / "small.onnx").read_bytes()


def reference(model: TorchClassifier, segments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    with torch.no_grad():
        embeddings = model.embeddings(torch.from_numpy(segments))
        return embeddings.numpy(), model.network.head(embeddings).numpy()


#: Exported by `make faults` alone, for time: another network has their layers too (ESResNeXt is a part of AudioCLIP),
#: or another test exports them.
ALIKE = {
    *("esresnext", "mn10_as", "resnet50", "vgg16", "mobilenet_v2", "efficientnet_b0", "mobilenetv4_conv_small"),
    *("small", "hubert", "transformers", "wav2vec2"),
    *("ast", "whisper", "clap"),  # test_spectrogram_encoders.py
    *("framewise", "yamnet_framewise"),  # experiment/test_label_sets.py
    *("cnn14", "inception_v3"),  # convolutions and pooling, as compact; torchvision's, as alexnet
}
EXPORTED = [name for name in SETTINGS if LONG or name not in ALIKE]


def shorten(network: nn.Module) -> None:
    """Keep one of blocks that are alike and follow each other: tracing takes as long for each."""
    for module in list(network.modules()):
        if isinstance(module, nn.Sequential | nn.ModuleList):
            blocks = list(module)
            for k in reversed(range(1, len(blocks))):
                first, second = (re.sub(r"StochasticDepth\(.*\)", "", str(block)) for block in blocks[k - 1 : k + 1])
                if first == second and len(list(blocks[k].modules())) > 1:
                    del module[k]


@pytest.mark.parametrize("name", slow_but(EXPORTED, FAST))
def test_a_file_answers_as_its_network_whatever_the_batch(name: str, tmp_path: Path) -> None:
    model = TorchClassifier(recipe(name), LABELS, seed=0)
    if not LONG:
        shorten(model.network)
    file = export(model, tmp_path / "x.onnx", noises(model))
    assert 0 < file.exported["difference"] <= TOLERANCE
    assert file.exported["any_length"] == (name not in ONE_LENGTH)
    segments = np.random.default_rng(1).normal(0, 0.1, (7, model.recipe.windows.length)).astype(np.float32)
    for some in (segments[:1], segments[:2], segments):
        for ours, theirs in zip(file.embeddings_and_logits(some), reference(model, some), strict=True):
            # As a share of the largest: fresh networks give values of very different sizes.
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())
            assert theirs.shape[0] == len(some)
    logits = file.embeddings_and_logits(segments)[1]
    assert (logits.shape[0], logits.shape[-1]) == (7, CLASSES)
    if file.exported["any_length"]:
        longer = np.random.default_rng(2).normal(0, 0.1, (2, segments.shape[1] + 4_321)).astype(np.float32)
        for ours, theirs in zip(file.embeddings_and_logits(longer), reference(model, longer), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())
    [written_file] = tmp_path.iterdir()
    onnx.checker.check_model(onnx.load(written_file))


FAST_HEADS = {"head.name=mlp head.pool=mean head.compress=true"}
EXPORTED_HEADS = [" ".join(s) for s in HEADS if not any(trees in " ".join(s) for trees in ("lightgbm", "ensemble"))]


@pytest.mark.parametrize("settings", slow_but(EXPORTED_HEADS, FAST_HEADS))
def test_heads_views_and_pooling_give_the_same_answer(settings: str, tmp_path: Path) -> None:
    model = small_classifier(*settings.split())
    model.confidence = Confidence(segment=2.0, clip=0.5)
    file = export(model, tmp_path / "x.onnx", noises(model))
    clips = [model.cut(wave) for wave in waves(model.rate_hz, model.recipe.windows.length)]
    segments, offsets = np.concatenate(clips), np.cumsum([0, *(len(clip) for clip in clips[:-1])])
    ours, theirs = (one.predict_proba(one.outputs(segments), offsets) for one in (file, model))
    assert [scores.shape for scores in ours] == [(len(segments), 3), (3, 3)]
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
    assert np.ptp(theirs[0], axis=0).max() > 1e-3, "all segments alike would prove nothing"


def test_a_file_carries_all_that_its_classifier_says(tmp_path: Path) -> None:
    model, content = small()
    (tmp_path / "small.ONNX").write_bytes(content)
    file = hubbub.load(tmp_path / "small.ONNX")
    assert isinstance(file, OnnxClassifier)
    for name in ("recipe", "labels", "activation", "card", "confidence", "rate_hz", "hop", "endings", "views"):
        assert getattr(file, name) == getattr(model, name), name
    assert (file.exported["clips"], file.exported["of"]) == (3, "noise")
    assert file.to("auto") is file.to("cpu") is file
    wave = waves(RATE, 40_000)[0]
    np.testing.assert_array_equal(file.cut(wave), model.cut(wave))
    np.testing.assert_array_equal(file.spans(len(wave)), model.spans(len(wave)))
    ours, theirs = file.classify(wave, rate_hz=44_100), model.classify(wave, rate_hz=44_100)
    assert ours.label == theirs.label
    assert ours.seconds == theirs.seconds
    np.testing.assert_allclose(ours.segments.to_numpy(), theirs.segments.to_numpy(), atol=1e-4)


def test_a_file_says_what_it_cannot_do(tmp_path: Path) -> None:
    file = OnnxClassifier(small()[1])
    with pytest.raises(ClassifierError, match="on the CPU, not on 'cuda'"):
        file.to("cuda")
    with pytest.raises(ClassifierError, match="takes sound"):
        file.classify(tmp_path / "p.png")
    with pytest.raises(ClassifierError, match="Give rate_hz"):
        file.classify(np.zeros(100))
    (tmp_path / "x.onnx").write_bytes(b"")
    with pytest.raises(ClassifierError, match="exported file, which has no gradients"):
        load_torch(tmp_path / "x.onnx")


def test_a_file_answers_where_torch_is_not_installed(tmp_path: Path) -> None:
    model, content = small()
    (tmp_path / "x.onnx").write_bytes(content)
    soundfile.write(tmp_path / "street.wav", waves(RATE, 40_000)[0], RATE)
    code = (
        "import json, sys\n"
        "for name in ('torch', 'torchvision', 'lightning', 'timm', 'captum', 'lightgbm', 'sklearn', 'onnx'):\n"
        "    sys.modules[name] = None\n"
        "import hubbub\n"
        "heard = hubbub.load('x.onnx').classify('street.wav')\n"
        "print(json.dumps({'scores': heard.scores, 'segments': heard.segments.to_numpy().tolist()}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    heard, expected = json.loads(done.stdout), model.classify(tmp_path / "street.wav")
    assert heard["scores"] == pytest.approx(expected.scores, abs=1e-4)
    np.testing.assert_allclose(heard["segments"], expected.segments.to_numpy(), atol=1e-4)


@pytest.mark.parametrize("settings", [("head.name=lightgbm", "head.trees=2"), ("head.name=ensemble", "head.trees=2")])
def test_trees_are_not_exported(settings: tuple[str, ...], tmp_path: Path) -> None:
    model = small_classifier(*settings)
    with pytest.raises(ExportError, match=r"the head '(lightgbm|ensemble)' cannot be exported.*'logreg'"):
        export(model, tmp_path / "x.onnx", noises(model))
    assert list(tmp_path.iterdir()) == []


def test_what_takes_no_sound_or_has_no_head_yet_is_not_exported(tmp_path: Path) -> None:
    model = small_classifier("frontend.name=precomputed", "frontend.frames=100")
    with pytest.raises(ExportError, match="takes spectrograms or images"):
        export(model, tmp_path / "x.onnx", Sounds("noise", waves(RATE, 32_000)))
    model = small_classifier("head.name=logreg")
    model.head = None
    with pytest.raises(ExportError, match="has not been fitted"):
        export(model, tmp_path / "x.onnx", noises(model))
    assert list(tmp_path.iterdir()) == []


class Drifting(cnn.SmallCNN):
    """A network that an exporter gets wrong."""

    wrong = 1.001

    def embed(self, x: Tensor) -> Tensor:
        return super().embed(x) * (self.wrong if torch.compiler.is_exporting() else 1.0)


@pytest.mark.parametrize(("wrong", "by"), [(1.001, r"0\.00\d+"), (math.nan, "nan")])
def test_a_file_that_would_answer_otherwise_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: float, by: str
) -> None:
    monkeypatch.setattr(Drifting, "wrong", wrong)
    model = small_classifier()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model.network = Drifting(len(model.labels), width=4)
    said = rf"differ from the classifier's by {by} on noise, and 0\.0001 is allowed. Nothing was written"
    with pytest.raises(ExportError, match=said):
        export(model, tmp_path / "x.onnx", noises(model))
    assert list(tmp_path.iterdir()) == []


def altered(content: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """The file with its metadata changed by somebody who does not know of checksums."""
    proto = onnx.load_from_string(content)
    [entry] = [entry for entry in proto.metadata_props if entry.key == META]
    held = json.loads(entry.value)
    change(held)
    entry.value = json.dumps(held)
    return proto.SerializeToString()


def foreign() -> bytes:
    """An ONNX file of somebody else's."""
    proto = onnx.load_from_string(small()[1])
    del proto.metadata_props[:]
    return proto.SerializeToString()


def with_other_weights() -> bytes:
    proto = onnx.load_from_string(small()[1])
    tensor = max(proto.graph.initializer, key=lambda t: len(t.raw_data))
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(1.1), tensor.name))
    return proto.SerializeToString()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda: b"", "not a whole ONNX file"),
        (lambda: b"a text file", "not a whole ONNX file"),
        (lambda: small()[1][: len(small()[1]) // 2], "not a whole ONNX file"),
        (lambda: small()[1][:-3], r"not a whole ONNX file|cannot be read|sha256 differs"),
        (foreign, "hubbub did not write: it has no labels"),
        (with_other_weights, "sha256 differs"),
        (lambda: altered(small()[1], lambda held: held.update(labels=["x", "y", "z"])), "sha256 differs"),
        (lambda: altered(small()[1], lambda held: held.update(format=9)), "exported in format 9; this hubbub reads 1"),
        (lambda: altered(small()[1], lambda held: held.pop("sha256")), "metadata holds no sha256"),
    ],
)
def test_a_file_that_is_not_what_was_exported_is_refused(
    content: Callable[[], bytes], said: str, tmp_path: Path
) -> None:
    (tmp_path / "x.onnx").write_bytes(content())
    with pytest.raises(ClassifierError, match=said) as refused:
        hubbub.load(tmp_path / "x.onnx")
    assert "x.onnx" in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClassifierError, match="hubbub export MODEL"):
        hubbub.load(tmp_path / "absent.onnx")


def test_settings_that_do_not_hold_are_refused_though_the_checksum_does() -> None:
    proto = onnx.load_from_string(small()[1])
    held = json.loads(next(entry.value for entry in proto.metadata_props))
    del proto.metadata_props[:]
    held["recipe"]["network"]["nme"] = "cnn"
    with pytest.raises(ClassifierError, match="is not whole"):
        OnnxClassifier(to_bytes(proto, held, None))


@pytest.mark.parametrize(("size", "out"), [((7, 5), (3, 5)), ((341, 10), (171, 4)), ((6, 6), (1, 1)), ((5, 3), (7, 2))])
def test_our_adaptive_pooling_is_torchs(size: tuple[int, int], out: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(_adaptive_max_pool2d(x, list(out))[0], torch.nn.functional.adaptive_max_pool2d(x, out))


def test_int8_is_smaller_and_its_cost_is_measured(tmp_path: Path) -> None:
    model, _ = small()
    some = waves(RATE, model.recipe.windows.length)
    checked_on = Sounds("noise", some * 3, np.zeros(9, np.int64))
    file = export(model, tmp_path / "x.onnx", checked_on, int8=True)
    cost = file.exported["int8"]
    assert cost["clips"] == 6
    before, after = (
        [one.predict_proba(one.outputs(one.cut(wave)), [0])[1][0] for wave in some] for one in (model, file)
    )
    assert cost["largest_difference"] == pytest.approx(np.abs(np.subtract(before, after)).max(), abs=1e-4)
    assert 0 < cost["mean_difference"] < 0.05
    assert cost["accuracy"] == pytest.approx(np.mean([scores.argmax() == 0 for scores in after]))
    assert cost["accuracy_exact"] == pytest.approx(np.mean([scores.argmax() == 0 for scores in before]))
    kinds = {node.op_type for node in onnx.load_from_string((tmp_path / "x.onnx").read_bytes()).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    assert 0 < cost["rounded"] <= cost["layers"] and cost["cosine"] >= quantize.ALIKE
    assert hubbub.load(tmp_path / "x.onnx").card == model.card


def segments_of(model: TorchClassifier) -> np.ndarray:
    return np.concatenate([model.cut(wave) for wave in waves(RATE, model.recipe.windows.length)])


def test_the_front_end_and_the_last_layer_are_not_rounded() -> None:
    model, content = small()
    proto = onnx.load_from_string(content)
    after = quantize.quantized(proto, segments_of(model))[0]
    first = front_end(after)
    kinds = {node.op_type for node in after.graph.node if node.name in first}
    assert "Log" in kinds and not kinds & {"QuantizeLinear", "DequantizeLinear"}
    before, kept = ({t.name: numpy_helper.to_array(t) for t in one.graph.initializer} for one in (proto, after))
    np.testing.assert_array_equal(kept["last.weight"], before["last.weight"])
    assert sum(value.dtype == np.int8 for value in kept.values()) >= 2


def test_rounding_stops_where_the_embeddings_would_change(monkeypatch: pytest.MonkeyPatch) -> None:
    model, content = small()
    proto, segments = onnx.load_from_string(content), segments_of(model)
    least = quantize.quantized(proto, segments)[1]
    monkeypatch.setattr(quantize, "ALIKE", 1.1)  # which no rounding reaches
    same, facts = quantize.quantized(proto, segments)
    assert facts == {"rounded": 0, "layers": least["layers"], "cosine": 1.0}
    # What is left of it is the scaling of channels, which changes no result.
    meta = json.loads(proto.metadata_props[0].value)
    ours = OnnxClassifier(to_bytes(same, meta, None)).embeddings_and_logits(segments)
    theirs = OnnxClassifier(content).embeddings_and_logits(segments)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4 * np.abs(other).max())


def test_fast_gives_nearly_the_same_and_says_in_what_it_computes(tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="the extra 'fast' is not installed")
    model, content = small()
    (tmp_path / "x.onnx").write_bytes(content)
    export(model, tmp_path / "y.onnx", Sounds("noise", waves(RATE, model.recipe.windows.length) * 3), int8=True)
    exact, fast, small8 = (
        hubbub.load(tmp_path / name, fast=asked)
        for name, asked in (("x.onnx", False), ("x.onnx", True), ("y.onnx", True))
    )
    assert exact.precision == "single" and fast.precision in ("bfloat16", "single")
    assert small8.precision == f"8 bits, {fast.precision}"
    segments = np.tile(segments_of(model), (9, 1))  # several parts, the last of which is not full
    expected = exact.embeddings_and_logits(segments)
    for one, least in ((fast, 0.999), (small8, 0.99)):
        for ours, theirs in zip(one.embeddings_and_logits(segments), expected, strict=True):
            assert ours.shape == theirs.shape
            alike = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
            assert alike.min() > least


def test_fast_without_openvino_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ClassifierError, match=r"pip install 'hubbub\[fast\]'"):
        OnnxClassifier(small()[1], fast=True)


def test_too_few_clips_do_not_measure_int8(tmp_path: Path) -> None:
    model = small_classifier()
    with pytest.raises(ExportError, match="2 clips are too few"):
        export(model, tmp_path / "x.onnx", Sounds("noise", waves(RATE, 32_000)[:2]), int8=True)
    assert list(tmp_path.iterdir()) == []


def listed(folder: Path) -> Path:
    """A data set of 30 clips of two classes, and one more that is listed and missing."""
    rng, rows = np.random.default_rng(0), ["path,label,fold"]
    for k in range(30):
        soundfile.write(folder / f"{k}.wav", rng.normal(0, 0.1, RATE), RATE)
        rows.append(f"{k}.wav,{'ab'[k % 2]},{k % 3}")
    (folder / "list.csv").write_text("\n".join([*rows, "gone.wav,a,0"]))
    return folder / "list.csv"


def test_clips_are_of_the_classifiers_own_data_with_their_classes(tmp_path: Path) -> None:
    name = str(listed(tmp_path))
    model = small_classifier(f"data.name={name}", labels=("a", "b"))
    drawn = sounds(model, CLIPS)
    assert len(drawn.waves) == CLIPS
    assert drawn.name == model.recipe.data.name or drawn.name == "list"
    assert drawn.targets is not None and set(drawn.targets) == {0, 1}
    again = sounds(model, CLIPS)
    assert all(np.array_equal(a, b) for a, b in zip(drawn.waves, again.waves, strict=True))
    for wave, target in zip(drawn.waves, drawn.targets, strict=True):
        [own] = [
            k for k in range(30) if np.array_equal(wave, soundfile.read(tmp_path / f"{k}.wav", dtype="float32")[0])
        ]
        assert own % 2 == target
    others = sounds(small_classifier(f"data.name={name}", labels=("b", "a")), CLIPS)
    assert others.targets is None


@pytest.mark.slow
def test_yamnet_in_a_file_gives_the_references_values(home: Callable[[str, str], Path], tmp_path: Path) -> None:
    home("weights", "yamnet.h5")
    golden = np.load(home("data", "esc50").parents[1] / "golden" / "yamnet_golden.npz")
    model = load_torch("yamnet")
    checked_on = sounds(model)
    assert checked_on.name == "esc50"
    file = export(model, tmp_path / "yamnet.onnx", checked_on)
    for name in ("dog", "rain", "short_noise"):
        embeddings, logits = file.embeddings_and_logits(file.cut(golden[f"{name}/pcm16"] / np.float32(32768)).copy())
        np.testing.assert_allclose(embeddings, golden[f"{name}/embeddings"], atol=1e-3)
        scores = pooling.probabilities(logits, "sigmoid")
        np.testing.assert_allclose(scores, golden[f"{name}/scores"], atol=1e-4)


@pytest.mark.slow
def test_the_commands_of_the_page_run(tmp_path: Path) -> None:
    text = DOC.read_text(encoding="utf-8")
    commands = [shlex.split(line) for line in re.findall(r"^    hubbub (.+)$", text, re.MULTILINE)]
    assert len(commands) == 3
    model = small_classifier(f"data.name={listed(tmp_path)}", labels=("a", "b"))
    model.save(tmp_path / "runs" / "demo" / "classifier")
    soundfile.write(tmp_path / "street.wav", waves(RATE, 40_000)[0], RATE)
    printed = []
    for words in commands:
        done = command_line.run_hubbub(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        printed.append(done.stdout)
    assert re.search(
        r"demo\.onnx: \d\.\d MB, ONNX opset 20\nlargest difference on 20 clips of \S+: \d\.?\d*e-0\d", printed[0]
    )
    assert model.classify(tmp_path / "street.wav").label in printed[1]
    assert re.search(
        r"int8: \d+ of \d+ layers rounded; cosine of embeddings [01]\.\d+; \d+\.\d% of predictions on 20 other ",
        printed[2],
    )
    assert "accuracy there" in printed[2]
    # The program for other readers of the file, as it stands there.
    [program] = re.findall(r"```python\n(.+?)```", text, re.DOTALL)
    segments = model.cut(waves(RATE, 40_000)[0])
    before, after = (
        "import numpy\nsegments = numpy.load('segments.npy')",
        "numpy.save('logits.npy', logits)\nprint(labels)",
    )
    code = f"{before}\n{program}\n{after}"
    np.save(tmp_path / "segments.npy", segments)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['a', 'b']"
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), reference(model, np.array(segments))[1], atol=1e-4)
