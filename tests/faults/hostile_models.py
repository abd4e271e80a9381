"""Classifiers, networks of other teams, weights and archives of recordings, and what reads them."""

import io
import json
import os
import pickle
import random
import shutil
import sqlite3
import struct
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import safetensors.torch
import soundfile
import torch
from onnx import helper
from starlette.testclient import TestClient

import hubbub
from hubbub.archive import labels, map, search
from hubbub.archive.archive import Archive
from hubbub.archive.index import index
from hubbub.archive.session import Session
from hubbub.archive.tables import labels_csv
from hubbub.classifier.export import Sounds, export
from hubbub.classifier.load import load_torch
from hubbub.classifier.onnx_classifier import META, to_bytes
from hubbub.classifier.saved import CARD, sign
from hubbub.data.archive_clips import from_archive
from hubbub.data.archive_file import FILE
from hubbub.errors import HubbubError
from hubbub.models import checkpoint
from hubbub.models.foreign import Foreign
from hubbub.runtime.shipped import FOLDER as SHIPPED
from hubbub.serve.explore.app import create_app
from tests.faults.kinds import Folders, Kind, command, read_all
from tests.faults.mutate import mutated_bytes, mutated_json, mutated_text, mutated_tree
from tests.helpers.archives import label, tone_archive
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
        written = card["sha256"] = {}
        del written
        (copy / CARD).unlink()
        sign(card, copy)
    except (ValueError, TypeError, KeyError):  # no card any more
        return
    finally:
        if not (copy / CARD).exists():
            (copy / CARD).write_text(json.dumps(card))


def mutated_tensors(rng: random.Random, whole: bytes) -> bytes:
    """A safetensors file with a hostile header of the right length, or with any faults."""
    if rng.random() < 0.5:
        return mutated_bytes(rng, whole)
    size = struct.unpack("<Q", whole[:8])[0]
    head = json.dumps(mutated_tree(rng, json.loads(whole[8 : 8 + size]))).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(head)) + head + whole[8 + size :]


def mutated_onnx(rng: random.Random, whole: bytes) -> bytes:
    """A graph with hostile operators, attributes, tensors or metadata, or with any faults."""
    if rng.random() < 0.3:
        return mutated_bytes(rng, whole)
    model = onnx.load_model_from_string(whole)
    for _ in range(rng.choice((1, 1, 2, 3))):
        rng.choice(_ONNX_FAULTS)(rng, model.graph, model)
    content: bytes = model.SerializeToString()
    return content


def _operator(rng: random.Random, graph: Any, model: Any) -> None:
    node = rng.choice(graph.node)
    node.op_type = rng.choice(
        (
            *{one.op_type for one in graph.node},
            "Loop",
            "If",
            "Scan",
            "Expand",
            "Tile",
            "Nothing",
            "Gather",
            "Resize",
            "NonZero",
        )
    )
    node.domain = rng.choice(("", "", "", "com.microsoft", "theirs"))


def _inputs(rng: random.Random, graph: Any, model: Any) -> None:
    node, names = rng.choice(graph.node), [name for one in graph.node for name in (*one.input, *one.output)]
    if not node.input:
        return
    at = rng.randrange(len(node.input))
    kind = rng.randrange(4)
    if kind == 0:
        del node.input[at]
    elif kind == 1:
        node.input.append(rng.choice(names))
    else:
        node.input[at] = rng.choice((*names, "", "nothing"))


def _attribute(rng: random.Random, graph: Any, model: Any) -> None:
    node = rng.choice([one for one in graph.node if one.attribute] or [None])
    if node is None:
        return
    attribute = rng.choice(node.attribute)
    value = rng.choice((0, -1, 1, 2**31, 2**40, -(2**63), 2**63 - 1, 65536))
    if attribute.ints:
        attribute.ints[rng.randrange(len(attribute.ints))] = value
        if rng.random() < 0.3:
            attribute.ints.extend([value] * rng.choice((1, 5, 100)))
    elif attribute.type == onnx.AttributeProto.FLOAT:
        attribute.f = rng.choice((float("nan"), float("inf"), 0.0, -1.0, 1e38))
    elif attribute.type == onnx.AttributeProto.INT:
        attribute.i = value
    else:
        attribute.type = rng.choice((1, 2, 3, 4, 5, 6, 7, 8, 11))


def _tensor(rng: random.Random, graph: Any, model: Any) -> None:
    tensor = rng.choice(list(graph.initializer) or [None])
    if tensor is None:
        return
    kind = rng.randrange(6)
    if kind == 0 and tensor.dims:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice((0, -1, 1, 2**20, 2**31, 2**62, 3))
    elif kind == 1:
        tensor.dims.append(rng.choice((0, 1, 2**31, -1)))
    elif kind == 2:
        tensor.data_type = rng.randrange(25)
    elif kind == 3 and tensor.raw_data:
        tensor.raw_data = mutated_bytes(rng, tensor.raw_data)
    elif kind == 4 and tensor.raw_data:
        size = len(tensor.raw_data) // 4
        values = rng.choice((np.nan, np.inf, 1e38, -1e38, 0)) * np.ones(max(size, 1), np.float32)
        tensor.raw_data = values.tobytes()
    else:
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.ClearField("raw_data")
        where = rng.choice(
            ("/etc/passwd", "../../../../../etc/passwd", "classifier.json", "", "network.safetensors", "/dev/zero")
        )
        del tensor.external_data[:]
        for key, value in {
            "location": where,
            "offset": rng.choice(("0", "-1", "8", str(2**62))),
            "length": rng.choice(("4", str(2**40), "-1", "x")),
        }.items():
            tensor.external_data.add(key=key, value=value)


def _edges(rng: random.Random, graph: Any, model: Any) -> None:
    value = rng.choice([*graph.input, *graph.output])
    shape = value.type.tensor_type.shape
    kind = rng.randrange(4)
    if kind == 0 and shape.dim:
        shape.dim[rng.randrange(len(shape.dim))].dim_value = rng.choice((0, -1, 1, 3, 2**31, 2**62))
    elif kind == 1:
        value.type.tensor_type.elem_type = rng.randrange(20)
    elif kind == 2:
        value.name = rng.choice(("", "x", graph.node[0].output[0]))
    else:
        shape.dim.add(dim_value=rng.choice((1, 7)))


def _metadata(rng: random.Random, graph: Any, model: Any) -> None:
    for one in model.metadata_props:
        if one.key == META:
            one.value = mutated_json(rng, one.value.encode()).decode("utf-8", "replace")


def _added(rng: random.Random, graph: Any, model: Any) -> None:
    """An operator between the input and what takes it."""
    name = graph.input[0].name
    nodes = rng.choice(
        (
            [
                helper.make_node("Constant", [], ["r"], value_ints=[1, rng.choice((3, 2**62))]),
                helper.make_node("Tile", [name, "r"], ["added"]),
            ],
            [
                helper.make_node("Constant", [], ["s"], value_ints=[rng.choice((4, 2**62)), 1]),
                helper.make_node("Expand", [name, "s"], ["added"]),
            ],
            [helper.make_node("Identity", [name], ["added"], domain="theirs")],
            [helper.make_node("ReduceSum", [name], ["added"])],
        )
    )
    for node in graph.node:
        for at, one in enumerate(node.input):
            if one == name:
                node.input[at] = "added"
    for number, node in enumerate(nodes):
        graph.node.insert(number, node)


_ONNX_FAULTS = (_operator, _inputs, _attribute, _attribute, _tensor, _tensor, _edges, _metadata, _metadata, _added)


class Exported(Kind):
    """Exported classifiers, their checksums made right again."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        for name, settings in {"network": (), "logreg": ("head.name=logreg", "head.pool=mean+max")}.items():
            model = small_classifier(*settings)
            export(model, folder / "made.onnx", Sounds("noise", [NOISE]))
            self.files[f"{name}.onnx"] = (folder / "made.onnx").read_bytes()
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
        import base64

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
            ("new.pt", state, True), ("old.pt", state, False), ("wrapped.ckpt", {"state_dict": state, "n": np.ones(3)}, True),
            
            ("evil.pt", {"state_dict": state, "x": _Runs()}, True), ("evil-old.pt", {"x": _Runs()}, False),
        ):  # fmt: skip
            content = io.BytesIO()
            torch.save(what, content, _use_new_zipfile_serialization=zipped)
            self.files[name] = content.getvalue()
        self.files["bare.pt"] = pickle.dumps({"x": _Runs()})
        self.doors = {"python": checkpoint.read}

    def mutated(self, rng: random.Random, name: str) -> bytes:
        return mutated_tensors(rng, self.files[name]) if name.endswith("rs") else super().mutated(rng, name)


class Archives(Folders):
    """Archives of recordings: their database, embeddings and map."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        if not (self.source / "archive").exists():
            made, _ = tone_archive(folder / "made", 2)
            with closing(Archive(made)) as opened:
                label(opened, [(0, "low", "yes"), (1, "low", "no"), (2, "middle", "yes"), (3, None, "nothing")])
            map.compute(made)
            with closing(sqlite3.connect(made / FILE)) as database:
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            for left in (".lock", ".holder.json", f"{FILE}-wal", f"{FILE}-shm"):
                (made / left).unlink(missing_ok=True)
            shutil.copytree(made, self.source / "archive")
        self.recordings = folder / "made" / "recordings"
        self.read()
        self.doors = {"python": self.open, "index": self.index, "cli": self.search, "server": self.explore}

    def names(self) -> list[str]:
        database = f"archive/{FILE}"
        return [database, database, database, *(name for name in self.files if name != database)]

    def mutated(self, rng: random.Random, name: str) -> bytes:
        if name.endswith(FILE) and rng.random() < 0.6:
            return self.other_cells(rng, self.files[name])
        return super().mutated(rng, name)

    def other_cells(self, rng: random.Random, whole: bytes) -> bytes:
        """A whole database with hostile values in it."""
        place = self.folder / "cells.sqlite"
        place.write_bytes(whole)
        values = (
            None,
            0,
            -1,
            2**62,
            1e308,
            "x",
            "",
            "[]",
            "{}",
            "nan",
            b"\xff\x00",
            "é" * 300,
            "../../etc/passwd",
            "2024-13-45",
            "[[[",
        )
        with closing(sqlite3.connect(place, isolation_level=None)) as database:
            database.execute("PRAGMA ignore_check_constraints = ON")
            for _ in range(rng.choice((1, 1, 2, 4))):
                table = rng.choice(("about", "about", "files", "files", "files", "labels", "labels", "classes"))
                columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
                rows = database.execute(f"SELECT {columns[0]} FROM {table}").fetchall()
                try:
                    if rng.random() < 0.1:
                        database.execute(
                            rng.choice(
                                (
                                    f"DELETE FROM {table}",
                                    f"DROP TABLE {table}",
                                    f"ALTER TABLE {table} RENAME COLUMN {columns[-1]} TO other",
                                    "PRAGMA user_version = 7",
                                    "DROP VIEW labelled",
                                )
                            )
                        )
                    else:
                        database.execute(
                            f"UPDATE {table} SET {rng.choice(columns)} = ? WHERE {columns[0]} = ?",
                            (rng.choice(values), rng.choice(rows)[0]),
                        )
                except (sqlite3.Error, IndexError):
                    continue
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return place.read_bytes()

    def open(self, copy: Path) -> None:
        def archive() -> None:
            with closing(Archive(copy)) as opened:
                opened.summary()
                mask = search.Filters(between=(datetime(2020, 1, 1).time(), datetime(2020, 1, 1, 12).time())).mask(
                    opened
                )
                search.by_score(np.zeros(opened.segments, np.float32), mask, 5)
                labels.said(opened.database, [0, 1])
                if opened.segments:
                    opened.place(opened.segments - 1)
                    opened.vectors.take([0])

        def session() -> None:
            opened = Session(copy)
            with opened:
                list(labels_csv(opened))

        read_all(archive, session, lambda: from_archive(copy), lambda: map.read(copy))

    def index(self, copy: Path) -> None:
        index(self.recordings, copy)

    def search(self, copy: Path) -> None:
        wave = next(self.recordings.rglob("*.wav"))
        command("search", str(copy), "--like", str(wave), "--top", "3", "--out", str(self.folder / "hits"))
        shutil.rmtree(self.folder / "hits", ignore_errors=True)

    def explore(self, copy: Path) -> None:
        app = create_app(Session(copy))  # which enters the session
        with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
            answers = [
                client.get(f"/v1/{route}")
                for route in ("archive", "classes", "segment?segment=0", "sound?segment=0", "spectrogram?segment=1")
            ]
        for answer in answers:
            assert answer.status_code != 500, f"{answer.request.url}: {answer.text[:300]}"
        if all(answer.status_code >= 400 for answer in answers):
            raise HubbubError("all routes refuse")


MODELS: dict[str, type[Kind]] = {
    "classifiers": Classifiers,
    "exported": Exported,
    "theirs": Theirs,
    "litert": TheirsLite,
    "weights": Weights,
    "archives": Archives,
}
