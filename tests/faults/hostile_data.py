"""Sounds, tables, recipes, arrays, pictures and packed archives, and what reads them."""

import io
import json
import random
import shutil
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import soundfile
from PIL import Image

import hubbub
from hubbub.audio import decode, image_files
from hubbub.audio.recorded import when_recorded
from hubbub.config.recipe import Recipe
from hubbub.data import annotations, features
from hubbub.data.open import open_data
from hubbub.data.predictions import match_predictions, read_predictions
from hubbub.errors import HubbubError
from hubbub.experiment import suite
from hubbub.inference.predict import predict_files
from tests.audio.test_containers import COUNTED, MEDIA, UNCOUNTED, written
from tests.audio.test_decode import tone, write_media
from tests.data import test_damaged
from tests.data.test_annotations import AOEF, TABLES
from tests.faults.hostile_packed import Packed
from tests.faults.kinds import Folders, Kind, command, read_all
from tests.faults.mutate import mutated_json, mutated_text

__all__ = ["DATA"]


class Sounds(Kind):
    """Every container and coding of libsndfile and FFmpeg, and what is no sound."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.model: Any = None
        for number, (container, coding) in enumerate(_codings()):
            self.files[f"{number}.{container.lower()}"] = written(container, coding, tone(seconds=0.3))
        for number, (name, codec, options) in enumerate(MEDIA):
            place = folder / name
            self.files[f"m{number}-{name}"] = write_media(place, codec, options=options).read_bytes()
        self.doors = {"python": self.decode, "predict": self.predict, "cli": self.classify, "server": self.post}

    def decode(self, path: Path) -> None:
        read_all(
            lambda: decode.decode(io.BytesIO(path.read_bytes())),
            lambda: decode.load(path, 16_000, 0.05, 0.2),
            lambda: when_recorded(str(path), io.BytesIO(path.read_bytes())),
        )

    def predict(self, path: Path) -> None:
        self.model = self.model or hubbub.load("small")
        read_all(lambda: self.model.classify(path), lambda: list(predict_files(self.model, [str(path)])))

    def classify(self, path: Path) -> None:
        command("classify", str(path), "--model", "small", "--json", "--events")

    def post(self, path: Path) -> None:
        route = "explain" if random.Random(path.read_bytes()).random() < 0.03 else "classify?events=true"
        answer = httpx.post(f"{self.server}/v1/{route}", content=path.read_bytes(), timeout=60)  # type: ignore[attr-defined]
        assert answer.status_code in (200, 400, 413, 415, 422), f"{answer.status_code}: {answer.text[:300]}"
        if answer.status_code != 200:
            raise HubbubError(answer.json()["error"])


def _codings() -> list[tuple[str, str]]:
    uncounted = [(name, soundfile.default_subtype(name)) for name in UNCOUNTED]
    return [*COUNTED, *uncounted, ("WAVEX", "PCM_16"), ("HTK", "PCM_16"), ("WVE", "ALAW")]


class Tables(Folders):
    """Lists of clips and annotations, beside their sounds."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        sounds = self.source / "sounds"
        sounds.mkdir(exist_ok=True)
        for name in ("a", "b", "c", "d", "night", "day"):
            soundfile.write(sounds / f"{name}.wav", tone(seconds=0.1 if len(name) == 1 else 20)[::4], 8_000)
        listed = {name: "\n".join(lines) + "\n" for name, lines in TABLES.items()}
        listed["clips.csv"] = "path,label,fold\na.wav,x,1\nb.wav,y,1\nc.wav,x,2\nd.wav,y,2\n"
        listed["sets.csv"] = "path,labels,group\na.wav,x;y,p\nb.wav,y,p\nc.wav,x,q\nd.wav,,q\n"
        listed["hot.csv"] = "file,x,y,z\na.wav,1,0,1\nb.wav,0,1,0\nc.wav,1,1,0\nd.wav,0,0,0\n"
        self.files = {f"sounds/{name}": text.encode() for name, text in listed.items()}
        self.files["sounds/aoef.json"] = AOEF.read_bytes()
        line = {
            "file": "a.wav",
            "label": "x",
            "score": 0.5,
            "events": [{"start": 0.0, "end": 0.1, "label": "x", "score": 0.5}],
        }
        self.files["sounds/found.jsonl"] = "\n".join(json.dumps({**line, "file": f"{n}.wav"}) for n in "abcd").encode()
        rows = pd.DataFrame(
            {
                "file": ["a.wav", "b.wav"],
                "start": [0.0, 0.0],
                "end": [0.1, 0.05],
                "label": ["x", "y"],
                "score": [0.9, 0.8],
            }
        )
        content = io.BytesIO()
        rows.to_parquet(content)
        self.files["sounds/found.parquet"] = content.getvalue()
        self.last = ""
        self.doors = {"python": self.read_table, "cli": self.check}

    def placed(self, name: str, content: bytes) -> Path:
        return super().placed(name, content) / name.partition("/")[2]

    def mutated(self, rng: random.Random, name: str) -> bytes:
        if name.endswith((".json", ".jsonl")):
            return mutated_json(rng, self.files[name])
        return super().mutated(rng, name) if name.endswith(".parquet") else mutated_text(rng, self.files[name])

    def read_table(self, path: Path) -> None:
        read_all(
            lambda: annotations.read(path, untimed=True),
            lambda: open_data(str(path)),
            lambda: open_data(str(path), multilabel=True),
        )

    def check(self, path: Path) -> None:
        command("data", "check", str(path))


class Predicted(Kind):
    """Predictions of other programs, scored against clips and annotations."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        import matplotlib.font_manager  # noqa: F401 - it asks a program for the fonts, once

        self.data = folder / "data"
        self.data.mkdir(exist_ok=True)
        for name in "abcd":
            soundfile.write(self.data / f"{name}.wav", tone(seconds=0.1)[::4], 8_000)
        (self.data / "clips.csv").write_text("path,label,fold\na.wav,x,1\nb.wav,y,1\nc.wav,x,2\nd.wav,y,2\n")
        self.clips = open_data(str(self.data / "clips.csv"))
        scores = pd.DataFrame(
            {"clip": list("abcd"), "fold": [1, 1, 2, 2], "x": [0.9, 0.2, 0.6, 0.4], "y": [0.1, 0.8, 0.4, 0.6]}
        )
        scores["clip"] += ".wav"
        self.files["p.csv"] = scores.to_csv(index=False).encode()
        self.files["q.csv"] = scores[["clip"]].assign(prediction=list("xyxy")).to_csv(index=False).encode()
        self.files["p.jsonl"] = scores.to_json(orient="records", lines=True).encode()
        content = io.BytesIO()
        scores.to_parquet(content)
        self.files["p.parquet"] = content.getvalue()
        self.doors = {"python": self.score, "cli": self.score_command}

    def mutated(self, rng: random.Random, name: str) -> bytes:
        if name.endswith(".parquet"):
            return super().mutated(rng, name)
        return (mutated_json if name.endswith("l") else mutated_text)(rng, self.files[name])

    def score(self, path: Path) -> None:
        match_predictions(read_predictions(path), self.clips)

    def score_command(self, path: Path) -> None:
        command("score", str(path), "--data", str(self.data / "clips.csv"), "--out", str(self._out()))

    def _out(self) -> Path:
        shutil.rmtree(self.folder / "out", ignore_errors=True)
        return self.folder / "out"


class Recipes(Kind):
    """Recipes and suites in TOML, and hyperparameters in them."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        shipped = Path(hubbub.__file__).parent / "config" / "recipes"
        self.files = {one.name: one.read_bytes() for one in sorted(shipped.rglob("*.toml"))}
        self.doors = {"python": self.load, "cli": self.show}

    def mutated(self, rng: random.Random, name: str) -> bytes:
        return mutated_text(rng, self.files[name])

    def load(self, path: Path) -> None:
        read_all(lambda: Recipe.load(str(path)), lambda: suite.runs_of([str(path)], Path("runs")))

    def show(self, path: Path) -> None:
        command("bench", str(path), "--folds", "nowhere", "--out", str(self.folder / "runs"))


class Features(Folders):
    """Spectrograms in a zip of arrays with its facts beside it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (self.source / "set").mkdir(exist_ok=True)
        test_damaged.features(self.source / "set")
        self.read()
        self.doors = {"python": lambda copy: test_damaged.read_all(copy / features.ARRAYS), "cli": self.leaks}

    def mutated(self, rng: random.Random, name: str) -> bytes:
        return mutated_json(rng, self.files[name]) if name.endswith(".json") else super().mutated(rng, name)

    def leaks(self, copy: Path) -> None:
        command("data", "check", str(copy / features.ARRAYS))


class Pictures(Kind):
    """Pictures and spectrograms in files of their own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        rng = np.random.default_rng(0)
        for mode, shape in {"RGB": (20, 30, 3), "L": (20, 30), "RGBA": (20, 30, 4)}.items():
            image = Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8), mode)
            for kind in ("PNG", "JPEG", "BMP", "TIFF", "WEBP"):
                if (mode, kind) in (("RGBA", "JPEG"), ("L", "WEBP")):
                    continue
                content = io.BytesIO()
                image.save(content, kind)
                self.files[f"{mode}.{kind.lower()}"] = content.getvalue()
        for name, values in {"f": rng.normal(size=(3, 4)).astype("f4"), "i": np.arange(12).reshape(3, 4)}.items():
            content = io.BytesIO()
            np.save(content, values)
            self.files[f"{name}.npy"] = content.getvalue()
        content = io.BytesIO()
        Image.fromarray(rng.integers(0, 2, (20, 30), dtype=np.uint8) * 255).convert("1").save(
            content, "TIFF", compression="group4"
        )
        self.files["fax.tiff"] = content.getvalue()
        self.doors = {"python": self.look, "cli": self.check}

    def look(self, path: Path) -> None:
        if path.suffix == ".npy":
            image_files.read_spectrogram(path)
        else:
            read_all(lambda: image_files.read_image(path, (16, 16)), lambda: image_files.is_grey(path))

    def check(self, path: Path) -> None:
        kinds = self.folder / "set"
        for name in ("a", "b"):
            (kinds / name).mkdir(parents=True, exist_ok=True)
            for old in (kinds / name).iterdir():
                old.unlink()
        (kinds / "a" / path.name).write_bytes(path.read_bytes())
        (kinds / "b" / path.name).write_bytes(self.files[path.name])
        command("data", "check", str(kinds))


DATA: dict[str, type[Kind]] = {
    "sounds": Sounds,
    "tables": Tables,
    "predicted": Predicted,
    "recipes": Recipes,
    "features": Features,
    "pictures": Pictures,
    "packed": Packed,
}
