"""docs/explore.md does what it says: its Python, and the keys that it names."""

import re
from pathlib import Path

import pytest

from hubbub.serve.explore.app import STATIC
from tests.helpers.serving import Server

TEXT = (Path(__file__).parents[3] / "docs" / "explore.md").read_text(encoding="utf-8")


def test_the_python(served: Server, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(block.replace("http://127.0.0.1:8000", served.url), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert lines[0].endswith(" 0.0 1.0")


def test_the_keys_are_those_of_the_page() -> None:
    keys = set(re.findall(r'^  \["(.)", ', (STATIC / "keys.js").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?<!`)`([^`])`(?!`)", TEXT))
    assert named and named <= keys
