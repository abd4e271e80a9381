"""The examples of docs/api.md run, and the page names all that is public and nothing else."""

import re
from pathlib import Path

import pytest

import hubbub
from hubbub.classifier.prediction import Prediction
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.config.recipe import Recipe
from hubbub.inference.explain import Explanation
from tests.helpers.sounds import sounds

PAGE = (Path(__file__).parents[1] / "docs" / "api.md").read_text(encoding="utf-8")


def test_every_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    TorchClassifier(Recipe.load("street-cnn", ["network.width=4"]), ("dog", "siren")).save(tmp_path / "runs" / "mine")
    sounds(tmp_path, "street.wav", seconds=3)
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) >= 6
    for block in blocks:
        exec(block, names)


def test_the_page_has_a_section_for_each_public_name() -> None:
    sections = set(re.findall(r"^## (\w+)$", PAGE, re.MULTILINE))
    assert sections == set(hubbub.__all__) - {"__version__"}


@pytest.mark.parametrize(
    ("section", "kind"),
    [("Classifier", TorchClassifier), ("Prediction", Prediction), ("explain", Explanation), ("Stream", hubbub.Stream)],
)
def test_every_attribute_in_the_tables_exists(section: str, kind: type) -> None:
    text = PAGE.split(f"## {section}\n")[1].partition("\n## ")[0]
    there = {*dir(kind), *getattr(kind, "__annotations__", {}), *TorchClassifier.__mro__[1].__annotations__}
    for cell in re.findall(r"^\| (`.+?) \|", text, re.MULTILINE):
        for name in re.findall(r"`(\w+)", cell):
            assert name in there, name
