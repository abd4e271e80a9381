"""What all tests share: real data where a home offers it, a cache of their own, no contact beyond this machine, and no
silent skipping in CI."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from hubbub.runtime import homes
from tests.helpers.browsing import browser, show
from tests.helpers.contacts import refuse_contacts, refused
from tests.helpers.serving import served, served_model, servers, strict

__all__ = ["servers", "browser", "served", "served_model", "show", "strict"]

# As the command line has it; before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ:  # a core each
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# The same examples every time, on a busy machine too, and no .hypothesis folder.
settings.register_profile("hubbub", deadline=None, derandomize=True, database=None)
settings.load_profile("hubbub")
refuse_contacts()


#: Folders whose files take longest, and those that take seconds.
LONGEST, SHORTEST = ("experiment", "training", "classifier", "archive", "serve"), ("config", "metrics", "audio")


@pytest.fixture(scope="session")
def home() -> Callable[[str, str], Path]:
    """`home("data", "esc50")`: the folder or file in the homes of whoever runs the tests, else the test is skipped."""

    def find(kind: str, name: str) -> Path:
        found = homes.find(kind, name)
        if found is None:
            pytest.skip(f"HUBBUB_HOME offers no {kind}/{name}")
        return found

    return find


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A fresh cache a session, so that no test passes because of what an earlier one left."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HUBBUB_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first: else one worker runs the last of them alone."""

    def order(item: pytest.Item) -> int:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        return LONGEST.index(folder) if folder in LONGEST else len(LONGEST) + (folder in SHORTEST)

    items.sort(key=order)


@pytest.fixture(autouse=True)
def _contacts_nobody() -> Iterator[None]:
    """Nothing that a test does looks up a name or connects beyond this machine."""
    before = len(refused)
    yield
    assert refused[before:] == []


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With HUBBUB_NO_SKIP set, a skipped test fails the session."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("HUBBUB_NO_SKIP") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    if os.environ.get("HUBBUB_NO_SKIP") and skipped:
        terminalreporter.write_line(f"HUBBUB_NO_SKIP is set and {len(skipped)} tests were skipped: failed", red=True)
