"""An archive that the tests of this folder share; those that change one take a copy."""

from pathlib import Path

import pytest

from tests.helpers.archives import tone_archive


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An archive of twelve recordings of 5 s, and the folder of these."""
    return tone_archive(tmp_path_factory.mktemp("tones"))
