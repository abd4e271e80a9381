"""docs/licences.md: every locked package that is installed has a licence that somebody has looked at."""

import runpy
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
MAKER = runpy.run_path(str(DOCS / "make_licences.py"))


def test_every_package_has_a_known_licence() -> None:
    unknown = {name: text for name, text in MAKER["licences"]().items() if not MAKER["parts"](text) <= MAKER["KNOWN"]}
    assert unknown == {}


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the page is made with Python 3.11; others lock others")
def test_the_page_is_current() -> None:
    assert (DOCS / "licences.md").read_text(encoding="utf-8") == MAKER["page"](), "packages have changed: run make docs"


def test_packages_for_other_systems_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray has a folder of its own packages, which it puts on the path: colorama, locked for Windows alone, is there."""
    (tmp_path / "colorama-0.4.6.dist-info").mkdir()
    (tmp_path / "colorama-0.4.6.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: colorama\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "colorama" not in MAKER["licences"]()


@pytest.mark.parametrize("licence", ["", "GPL-3.0-or-later", "MIT AND SSPL-1.0", "Apache-2.0 OR Secret"])
def test_others_are_not_known(licence: str) -> None:
    assert not MAKER["parts"](licence) <= MAKER["KNOWN"]
