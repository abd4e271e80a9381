"""The Python examples of the docs run, and docs/api.md names all that is public and nothing else."""

import re
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import hubbub
from hubbub.classifier.prediction import Prediction
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.config.recipe import Recipe
from hubbub.inference.explain import Explanation
from hubbub.report.run import Run
from tests.helpers.sounds import sounds

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "api.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the pages have it: classifiers and sounds under the names of their examples."""
    model = TorchClassifier(Recipe.load("street-cnn", ["network.width=4"]), ("dog", "siren"))
    for name in ("demo", "mine"):
        model.save(tmp_path / "runs" / name)
    sounds(tmp_path, "street.wav", "day.flac", seconds=3)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_example_runs(folder: Path) -> None:
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) >= 6
    for block in blocks:
        exec(block, names)


def test_the_python_of_explain_runs(folder: Path) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (DOCS / "explain.md").read_text(encoding="utf-8"), re.DOTALL)
    exec(block, {})
    assert (folder / "why" / "explanation.json").is_file()


def test_the_python_of_classify_runs(folder: Path) -> None:
    text = (DOCS / "classify.md").read_text(encoding="utf-8").partition("## In Python")[2]
    code = "\n".join(line[4:] for line in text.splitlines() if line.startswith("    "))
    names: dict[str, Any] = {"blocks": np.zeros((30, 4800), np.float32)}
    exec(code, names)
    assert len(names["found"]) == 0 and names["scores"].shape[1] == 2


def test_the_page_has_a_section_for_each_public_name() -> None:
    sections = set(re.findall(r"^## (\w+)$", PAGE, re.MULTILINE))
    assert sections == set(hubbub.__all__) - {"__version__"}


def test_every_public_name_stays_what_it_is_when_its_wing_is_imported() -> None:
    for wing in Path(hubbub.__file__).parent.glob("*/__init__.py"):
        import_module(f"hubbub.{wing.parent.name}")
    assert all(not isinstance(getattr(hubbub, name), ModuleType) for name in hubbub.__all__)


@pytest.mark.parametrize(
    ("section", "kind"),
    [
        ("Classifier", TorchClassifier),
        ("Prediction", Prediction),
        ("explain", Explanation),
        ("Stream", hubbub.Stream),
        ("Run", Run),
    ],
)
def test_every_attribute_in_the_tables_exists(section: str, kind: type) -> None:
    text = PAGE.split(f"## {section}\n")[1].partition("\n## ")[0]
    there = {*dir(kind), *getattr(kind, "__annotations__", {}), *TorchClassifier.__mro__[1].__annotations__}
    for cell in re.findall(r"^\| (`.+?) \|", text, re.MULTILINE):
        for name in re.findall(r"`(\w+)", cell):
            assert name in there, name
