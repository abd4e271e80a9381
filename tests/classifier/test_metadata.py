"""saved: whatever a classifier's files hold, loading them gives a classifier that answers, or a ClassifierError."""

import json
import math
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors.torch
import torch
from onnx import numpy_helper

import hubbub
from hubbub.classifier.base import ClassifierError
from hubbub.classifier.calibration import Confidence
from hubbub.classifier.metadata import parse_json, read_metadata
from hubbub.classifier.onnx_classifier import META, OnnxClassifier, to_bytes
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.runtime import files
from tests.classifier.test_export import small
from tests.classifier.test_torch_classifier import NOISE, RATE, _edit
from tests.helpers.classifiers import small_classifier

ODD: tuple[Any, ...] = (None, True, 0, -1, 2**80, 1.5, "", "x", "\x00", [], [[]], {}, {"a": 1}, [None], ["a", "a"])
CARD = {
    "format": 2,
    "labels": ["dog", "rain"],
    "activation": "softmax",
    "recipe": {"data": {"name": "street"}},
    "card": {"trained_on": "noise", "not_comparable": ["SYNTHETIC"]},
    "confidence": {"segment": 1.5, "clip": 0.7, "threshold": None},
}


def places(tree: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value of a tree."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        yield (*above, key)
        yield from places(value, (*above, key))


def changed(way: tuple[Any, ...], change: Callable[[Any, Any], None]) -> dict[str, Any]:
    """The card with one value changed."""
    tree: Any = json.loads(json.dumps(CARD))
    *above, last = way
    at = tree
    for key in above:
        at = at[key]
    change(at, last)
    return tree


def test_a_card_gives_its_parts() -> None:
    said = read_metadata(parse_json(json.dumps(CARD), "x", 2), "x")
    assert (said.labels, said.activation, said.card) == (("dog", "rain"), "softmax", CARD["card"])
    assert said.confidence == Confidence(1.5, 0.7, None)


@pytest.mark.parametrize("way", list(places(CARD)), ids=str)
def test_a_value_of_another_kind_is_refused_or_does_no_harm(way: tuple[Any, ...]) -> None:
    for odd in ODD:
        text = json.dumps(changed(way, lambda at, key, odd=odd: at.__setitem__(key, odd)))
        try:
            said = read_metadata(parse_json(text, "x", 2), "x")
        except ClassifierError as error:
            assert str(error).startswith("x ")
            continue
        assert len(set(said.labels)) == len(said.labels) > 0 and all(one.strip() for one in said.labels)
        assert said.activation in ("softmax", "sigmoid")
        numbers: list[Any] = [said.confidence.segment, said.confidence.clip, said.confidence.threshold or 0]
        assert all(type(one) in (int, float) and math.isfinite(one) for one in numbers) and min(numbers[:2]) > 0


PAIRS = [[1.5, 0.0], [0.5, -2]]


@pytest.mark.parametrize(
    ("confidence", "fits"),
    [
        ({"segment": PAIRS, "clip": PAIRS, "clips": [0.5, 1]}, True),
        ({"segment": 1, "clip": 1.0}, True),
        ({"segment": PAIRS[:1]}, False),
        ({"clip": [*PAIRS, [1, 1]]}, False),
        ({"clip": [[0, 0], [1, 1]]}, False),
        ({"clip": [[1], [1]]}, False),
        ({"clip": [[1, None], [1, 1]]}, False),
        ({"clip": [1.0, 1.0]}, False),
        ({"clip": []}, False),
        ({"clips": [0.5]}, False),
        ({"clips": [0.5, 2]}, False),
        ({"clips": 0.5}, False),
    ],
    ids=str,
)
def test_label_sets_are_calibrated_class_by_class(confidence: dict[str, Any], fits: bool) -> None:
    content = CARD | {"activation": "sigmoid", "confidence": confidence}
    if fits:
        said = read_metadata(parse_json(json.dumps(content), "x", 2), "x").confidence
        assert json.loads(json.dumps(asdict(said))) == json.loads(json.dumps(asdict(Confidence()))) | confidence
        return
    with pytest.raises(ClassifierError, match="x is not whole"):
        read_metadata(parse_json(json.dumps(content), "x", 2), "x")


def test_classes_that_exclude_each_other_are_not_calibrated_one_by_one() -> None:
    content = CARD | {"confidence": {"segment": PAIRS}}
    with pytest.raises(ClassifierError, match="classes exclude each other"):
        read_metadata(parse_json(json.dumps(content), "x", 2), "x")


@pytest.mark.parametrize("name", CARD)
def test_a_missing_part_is_named(name: str) -> None:
    with pytest.raises(ClassifierError, match=rf"'{name}' is missing|names no format"):
        read_metadata(parse_json(json.dumps({k: v for k, v in CARD.items() if k != name}), "x", 2), "x")


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "null", "2", '"format"', "[" * 100_000, '{"format": ' * 100_000, "\x00"),
        json.dumps(CARD).replace("1.5", "NaN"),
        json.dumps(CARD).replace("1.5", "1e999"),
        json.dumps(CARD).replace("1.5", "9" * 5_000),
        json.dumps(CARD).replace('"noise"', "-Infinity"),
        json.dumps(CARD).replace('"format": 2', '"format": true'),
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_card_is_refused(text: str) -> None:
    with pytest.raises(ClassifierError):
        read_metadata(parse_json(text, "x", 2), "x")


def test_a_folder_whose_card_was_forged_is_refused(tmp_path: Path) -> None:
    folder = small_classifier().save(tmp_path / "model")
    before = (folder / "classifier.json").read_text()
    held = json.loads(before)
    recipe = held["recipe"]
    for changes in (
        *({"labels": odd} for odd in ODD),
        *({"recipe": odd} for odd in ODD),
        {"labels": ["a", "b", "c", "d"]},
        {"activation": "tanh"},
        {"confidence": {"segment": "1"}},
        {"confidence": {"events": 0.5}},
        {"confidence": {"events": [0.5]}},
        {"confidence": {"events": [0.5] * (len(held["labels"]) - 1) + [0.0]}},
        {"confidence": {"events": ["0.5"] * len(held["labels"])}},
        {"recipe": recipe | {"network": recipe["network"] | {"name": "no-such-network"}}},
        {"recipe": recipe | {"network": recipe["network"] | {"width": 5}}},
        {"recipe": recipe | {"head": {"name": "logreg"}}},
        {"recipe": recipe | {"frontend": recipe["frontend"] | {"n_mels": 1}}},
    ):
        _edit(folder, **changes)
        with suppress(ClassifierError):
            assert math.isfinite(TorchClassifier.load(folder).classify(NOISE, RATE).score)
        (folder / "classifier.json").write_text(before)
    for sums in (None, {}, [], {"../../etc/passwd": "0"}, {"classifier.json": 1}):
        (folder / "classifier.json").write_text(json.dumps(held | {"sha256": sums}))
        with pytest.raises(ClassifierError):
            TorchClassifier.load(folder)
    (folder / "classifier.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ClassifierError, match="not a whole classifier"):
        TorchClassifier.load(folder)


# Weights that are no numbers.


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("file", ["network", "head"])
def test_weights_that_are_not_finite_are_refused_by_name(file: str, value: float, tmp_path: Path) -> None:
    folder = small_classifier("head.name=logreg").save(tmp_path / "model")
    tensors = safetensors.torch.load_file(folder / f"{file}.safetensors")
    name = next(name for name, tensor in tensors.items() if tensor.is_floating_point() and tensor.numel() > 3)
    tensors[name].flatten()[3] = value
    safetensors.torch.save_file(tensors, folder / f"{file}.safetensors")
    sums = json.loads((folder / "classifier.json").read_text())["sha256"]
    sums[f"{file}.safetensors"] = files.sha256(folder / f"{file}.safetensors")
    _edit(folder, sha256=sums)
    with pytest.raises(ClassifierError, match=rf"{file}\.safetensors: '{name}' holds values that are not finite"):
        hubbub.load(folder)


def test_an_answer_that_is_not_finite_is_refused_when_it_is_made() -> None:
    model = small_classifier()
    with torch.no_grad():
        model.network.fc.bias[1] = math.nan
    with pytest.raises(ClassifierError, match="scores are not finite numbers"):
        model.classify(NOISE, RATE)


def resigned(change: Callable[[onnx.ModelProto, dict[str, Any]], None]) -> bytes:
    """The small file changed by one who can write checksums."""
    proto = onnx.load_from_string(small()[1])
    held = json.loads(next(entry.value for entry in proto.metadata_props if entry.key == META))
    del proto.metadata_props[:]
    change(proto, held)
    return to_bytes(proto, held, None)


def _spoil(proto: onnx.ModelProto, held: dict[str, Any]) -> None:
    tensor = max(proto.graph.initializer, key=lambda t: len(t.raw_data))
    values = np.array(numpy_helper.to_array(tensor))
    values.flat[0] = np.nan
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def _of_seven_samples(proto: onnx.ModelProto, held: dict[str, Any]) -> None:
    proto.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 7


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_spoil, "not finite numbers"),
        (lambda proto, held: held.update(labels=["x", "y"]), "has 2 labels and gives 3 scores"),
        (_of_seven_samples, "its graph cannot be run"),
        (lambda proto, held: held.update(confidence={"clip": 0}), "two temperatures above 0"),
        (lambda proto, held: held.update(labels="xyz"), "not a list of names"),
    ],
)
def test_an_exported_file_that_was_forged_is_refused(change: Any, said: str, tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(resigned(change))
    with pytest.raises(ClassifierError, match=said):
        hubbub.load(tmp_path / "x.onnx")


def test_a_flipped_byte_or_an_end_too_early_is_refused(tmp_path: Path) -> None:
    """Wherever it is; in the metadata, which is at the end, more often."""
    content, rng = small()[1], np.random.default_rng(0)
    assert isinstance(OnnxClassifier(content), OnnxClassifier)
    start = content.rfind(META.encode())
    spots = [*rng.integers(0, len(content), 100), *rng.integers(start, len(content), 200), start, len(content) - 1]
    for spot in map(int, spots):
        spoilt = bytearray(content)
        spoilt[spot] ^= int(rng.integers(1, 256))
        with pytest.raises(ClassifierError):
            OnnxClassifier(bytes(spoilt))
    for length in map(int, [*rng.integers(0, len(content), 30), *rng.integers(start, len(content), 30)]):
        with pytest.raises(ClassifierError):
            OnnxClassifier(content[:length])


@pytest.mark.parametrize("ending", ["", ".onnx"])
@pytest.mark.parametrize("name", ["x" * 300, "a\x00b", "pipe", "loop", "zero", "folder"])
def test_a_name_that_leads_to_no_classifier_is_refused(name: str, ending: str, tmp_path: Path) -> None:
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "folder").mkdir()
    for kind in ("", ".onnx"):
        os.mkfifo(tmp_path / f"pipe{kind}")
        (tmp_path / f"loop{kind}").symlink_to(f"loop{kind}")
        (tmp_path / f"zero{kind}").symlink_to("/dev/zero")
    with pytest.raises(ClassifierError, match=r"not a folder|cannot be read|is missing"):
        hubbub.load(tmp_path / f"{name}{ending}")
