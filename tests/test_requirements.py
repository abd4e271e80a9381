"""pyproject.toml: every package that is imported is declared, and every declared package is used."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
#: Used by a package that we import: FastAPI's forms, Lightning's TensorBoard logger.
INDIRECT = {"python-multipart", "tensorboard"}
OURS = {"hubbub", "tests", "benchmarks"}
DISTRIBUTIONS = packages_distributions()


def requirements(*extras: str) -> set[str]:
    lists = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] for extra in extras)]
    return {re.split(r"[\[><=!~; ]", line)[0].lower() for lines in lists for line in lines}


def imported(folder: str) -> Iterator[tuple[str, set[str]]]:
    """Each import of a package that is not ours or Python's, and the names of the distributions that provide it."""
    for file in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [str(node.module)]
            for top in {name.partition(".")[0] for name in names} - OURS - sys.stdlib_module_names:
                providers = DISTRIBUTIONS.get(top, [top])
                yield f"{file.relative_to(ROOT)}: {top}", {name.lower().replace("_", "-") for name in providers}


def test_what_is_imported_is_declared() -> None:
    users = requirements(
        *(extra for extra in PROJECT["optional-dependencies"] if extra not in ("bench", "test", "dev", "all"))
    )
    assert not [where for where, names in imported("hubbub") if not names & users]
    for folder, extra in (("tests", "test"), ("benchmarks", "bench")):
        known = users | requirements(extra)
        assert not [where for where, names in imported(folder) if not names & known]


def test_what_is_declared_is_used() -> None:
    used = set().union(*(names for _, names in imported("hubbub")))
    assert requirements() - used == INDIRECT
