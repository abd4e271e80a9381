"""Commands in odd places: names with blanks, quotes, a line break and other scripts; a locale without UTF-8; no home
folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from tests.helpers.sounds import noise

ROOT = Path(__file__).parents[2]
#: Python would use UTF-8 for the locale C, unless it is told not to.
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A recording in a folder whose name is hard to write down."""
    folder = tmp_path / 'it\'s a "place"\nof Zoë 声'
    folder.mkdir()
    soundfile.write(folder / "ü 0.wav", noise(1, 22_050), 22_050)
    return folder


def hubbub(place: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """A command that has no home folder."""
    return subprocess.run(
        [sys.executable, "-m", "hubbub.cli", *arguments], check=True, capture_output=True, cwd=place,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HUBBUB_CACHE": str(place / "cache"), **environment},
    )  # fmt: skip


@pytest.mark.parametrize("locale", [ASCII, {"LC_ALL": "C.UTF-8"}], ids=["ascii", "utf-8"])
def test_names_are_what_they_are_in_every_locale(locale: dict[str, str], odd: Path) -> None:
    hubbub(odd, "classify", str(odd), "--json", "--out", "answers ü", **locale)
    (written,) = (odd / "answers ü").glob("ü 0*")
    assert json.loads(written.read_text(encoding="utf-8"))["file"] == str(odd / "ü 0.wav")
    assert not (odd / ".cache").exists()
