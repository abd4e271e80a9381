"""Every shipped recipe runs quick and its classifier classifies: the recipes of other data than ESC-50.

Two files, so that two processes share the recipes.
"""

from pathlib import Path

import pytest

from tests.helpers.shipped_recipes import own_networks, runs_quick


@pytest.mark.slow
@pytest.mark.parametrize("name", own_networks(esc=False))
def test_a_recipe_of_other_data_runs_quick(name: str, home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs_quick(name, home, tmp_path, monkeypatch)
