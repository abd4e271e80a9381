"""An archive of tones and servers that explore copies of it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.helpers.archives import copy_of, tone_archive
from tests.helpers.serving import Server, exploring

Explore = Callable[..., Server]


@pytest.fixture(scope="session")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of twelve recordings of 5 s: segments 0 to 3 are of one pitch, 4 to 7 and 8 to 11 of two others, in an
    order that `paths` of the archive tells."""
    return tone_archive(tmp_path_factory.mktemp("explored"))[0]


@pytest.fixture(scope="module")
def served(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of a copy that the tests of a module share."""
    folder = tmp_path_factory.mktemp("served")
    with exploring(folder, copy_of(tones, folder)) as server:
        yield server


@pytest.fixture
def explore(tones: Path, tmp_path: Path) -> Iterator[Explore]:
    """`explore("--token", "sesame")`: a server of a test's own copy."""
    with ExitStack() as stack:

        def start(*words: str, archive: Path | None = None) -> Server:
            return stack.enter_context(exploring(tmp_path / "log", archive or copy_of(tones, tmp_path), *words))

        yield start
