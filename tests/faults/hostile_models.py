"""Classifiers, networks of other teams, weights and archives of recordings, and what reads them."""

import base64
import io
import json
import os
import pickle
import random
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
import safetensors.torch
import soundfile
import torch

import hubbub
from hubbub.classifier.load import load_torch
from hubbub.classifier.onnx_classifier import EMBEDDINGS, LOGITS, META, SEGMENTS, to_bytes
from hubbub.classifier.saved import CARD, sign
from hubbub.models import checkpoint, yamnet
from hubbub.models.foreign import Foreign
from hubbub.runtime.shipped import FOLDER as SHIPPED
from tests.faults.hostile_archives import Archives
from tests.faults.kinds import Folders, Kind, command
from tests.faults.model_faults import mutated_onnx, mutated_tensors
from tests.faults.mutate import mutated_bytes, mutated_json, mutated_text
from tests.helpers.classifiers import small_classifier
from tests.helpers.foreign import foreign
from tests.helpers.litert import litert

__all__ = ["MODELS"]

NOISE = np.random.default_rng(0).normal(0, 0.1, 40_000).astype(np.float32)


class Classifiers(Folders):
    """Saved classifiers: the shipped one, a network, and heads of numbers and of LightGBM's text."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        shutil.copytree(SHIPPED, self.source / "shipped", dirs_exist_ok=True)
        for name, settings in {
            "network": (),
            "logreg": ("head.name=logreg",),
            "trees": ("head.name=lightgbm",),
        }.items():
            small_classifier(*settings).save(self.source / name)
        self.read()
        self.wave = folder / "x.wav"
        soundfile.write(self.wave, NOISE, 16_000)
        self.doors = {"python": self.load, "torch": self.load_torch, "cli": self.classify}

    def mutated(self, rng: random.Random, name: str) -> bytes:
        whole = self.files[name]
        if name.endswith(".json"):
            return mutated_json(rng, whole)
        if name.endswith(".txt"):
            return mutated_text(rng, whole)
        if name.endswith(".safetensors"):
            return mutated_tensors(rng, whole)
        return mutated_onnx(rng, whole)

    def mend(self, copy: Path) -> None:
        _resign(copy)

    def load(self, copy: Path) -> None:
        hubbub.load(copy).classify(NOISE, 16_000)

    def load_torch(self, copy: Path) -> None:
        load_torch(copy).classify(NOISE, 16_000)

    def classify(self, copy: Path) -> None:
        command("classify", str(self.wave), "--model", str(copy), "--json")


def _resign(copy: Path) -> None:
    """Give the card the checksums of the files as they are now, as one who can write checksums would."""
    try:
        card = json.loads((copy / CARD).read_text(encoding="utf-8"))
        (copy / CARD).unlink()
        sign(card, copy)
    except (ValueError, TypeError, KeyError):  # no card any more
        return
    finally:
        if not (copy / CARD).exists():
            (copy / CARD).write_text(json.dumps(card))


class Exported(Kind):
    """Exported classifiers, their checksums made right again."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.files = {"exported.onnx": _exported()}
        self.wave = folder / "x.wav"
        soundfile.write(self.wave, NOISE, 16_000)
        self.doors = {"python": self.load, "cli": self.classify}

    def mutated(self, rng: random.Random, name: str) -> bytes:
        changed = mutated_onnx(rng, self.files[name])
        return _signed(changed) if rng.random() < 0.9 else changed

    def load(self, path: Path) -> None:
        hubbub.load(path).classify(NOISE, 16_000)

    def classify(self, path: Path) -> None:
        command("classify", str(self.wave), "--model", str(path), "--json")


def _exported() -> bytes:
    """An exported file, around a small graph: torch takes a minute to export a network."""
    graph, model = foreign(("embedding", "label")), small_classifier()
    names = {"x": SEGMENTS, SEGMENTS: "reshaped", "embedding": EMBEDDINGS, "label": LOGITS}
    for one in (*graph.graph.input, *graph.graph.output):
        one.name = names[one.name]
    for node in graph.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    metadata = {
        "labels": list(model.labels), "activation": model.activation, "card": {}, "exported": {"hubbub": "0.1.0"},
        "recipe": model.recipe.model_dump(mode="json", exclude_none=True), "confidence": asdict(model.confidence),
    }  # fmt: skip
    return to_bytes(graph, metadata, None)


def _signed(content: bytes) -> bytes:
    """An exported file with the checksum of what it is now, where it still can have one."""
    try:
        model = onnx.load_model_from_string(content)
        metadata = json.loads({one.key: one.value for one in model.metadata_props}[META])
        del model.metadata_props[:]
        head, distances = metadata.pop("head"), metadata.pop("typicality", None)
        metadata = {key: value for key, value in metadata.items() if key not in ("format", "sha256")}
        signed = to_bytes(model, metadata, None, None)
        if head is None and distances is None:
            return signed
        return to_bytes(model, metadata, base64.b64decode(head), None)
    except Exception:
        return content


class Theirs(Kind):
    """ONNX and LiteRT files of other teams."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.files = {
            "one.onnx": foreign().SerializeToString(),
            "more.onnx": foreign(("power", "embedding", "label")).SerializeToString(),
        }
        self.doors = {"python": self.read}

    def mutated(self, rng: random.Random, name: str) -> bytes:
        return mutated_onnx(rng, self.files[name])

    def read(self, path: Path) -> None:
        network = Foreign(3, (1_600,), 16_000)
        network.read(path)
        with torch.no_grad():
            network(torch.from_numpy(NOISE[None, :1_600]))


class TheirsLite(Theirs):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.files = {"one.tflite": litert(), "more.tflite": litert(("power", "embedding", "label"), rounded=True)}

    def mutated(self, rng: random.Random, name: str) -> bytes:
        return mutated_bytes(rng, self.files[name])


class _Runs:
    """Runs a command where a pickle is loaded as Python does."""

    def __reduce__(self) -> Any:
        return os.system, ("touch /tmp/hubbub-faults-was-here",)


class Weights(Kind):
    """Published weights: safetensors, torch's two formats, and pickles that want to run a command."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        state = {"a.weight": torch.ones(4, 5), "a.bias": torch.arange(4), "b": torch.zeros(2, 2, dtype=torch.float16)}
        safetensors.torch.save_file(state, folder / "w.safetensors")
        self.files["w.safetensors"] = (folder / "w.safetensors").read_bytes()
        for name, what, zipped in (
            ("new.pt", state, True), ("old.pt", state, False),
            ("wrapped.ckpt", {"state_dict": state, "n": np.ones(3)}, True),
            ("evil.pt", {"state_dict": state, "x": _Runs()}, True), ("evil-old.pt", {"x": _Runs()}, False),
        ):  # fmt: skip
            content = io.BytesIO()
            torch.save(what, content, _use_new_zipfile_serialization=zipped)
            self.files[name] = content.getvalue()
        self.files["bare.pt"] = pickle.dumps({"x": _Runs()})
        self.doors = {"python": checkpoint.read}

    def mutated(self, rng: random.Random, name: str) -> bytes:
        return mutated_tensors(rng, self.files[name]) if name.endswith("rs") else super().mutated(rng, name)


class Keras(Kind):
    """Files of Keras, as YAMNet's, with layers of two channels."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        with h5py.File(folder / "w.h5", "w") as file:
            for number in range(1, 15):
                for kind in ("conv",) if number == 1 else ("depthwise_conv", "pointwise_conv"):
                    layer = f"layer{number}/{kind}"
                    kernel = "depthwise_kernel" if kind == "depthwise_conv" else "kernel"
                    file[f"{layer}/{layer}/{kernel}:0"] = np.ones((3, 3, 2, 1 if "depth" in kind else 2), np.float32)
                    for name in ("beta", "moving_mean", "moving_variance"):
                        file[f"{layer}/bn/{layer}/bn/{name}:0"] = np.ones(2, np.float32)
            file["dense/dense/kernel:0"], file["dense/dense/bias:0"] = (
                np.ones((2, 2), np.float32),
                np.ones(2, np.float32),
            )
        self.files["w.h5"] = (folder / "w.h5").read_bytes()
        self.doors = {"python": yamnet.read_h5}


MODELS: dict[str, type[Kind]] = {
    "keras": Keras,
    "classifiers": Classifiers,
    "exported": Exported,
    "theirs": Theirs,
    "litert": TheirsLite,
    "weights": Weights,
    "archives": Archives,
}
