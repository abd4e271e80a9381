"""Every shipped recipe runs quick and its classifier classifies: the recipes of ESC-50 and ESC-10.

Two files, so that two processes share the recipes.
"""

from pathlib import Path

import pytest

from hubbub.config.recipe import shipped
from tests.helpers.shipped_recipes import runs_quick


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in shipped() if name.startswith("esc")])
def test_a_recipe_of_esc_runs_quick(name: str, home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs_quick(name, home, tmp_path, monkeypatch)
