"""Each guard of honest evaluation, taken out, makes a test fail; `mutations` has the list and runs it."""

import ast
import subprocess
import sys

import pytest

from tests.faults.mutations import MUTATIONS, ROOT, Mutation
from tests.helpers.amount import LONG

PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8").partition("## Honest by construction")[2]
#: The tests of the guards that are really taken out in the short form: they train nothing.
QUICK = ("test_a_recording_in_two_parts_is_a_leak", "test_identical_sounds_in_two_parts_are_a_leak")


@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
def test_every_guard_and_its_test_are_where_the_list_says(mutation: Mutation) -> None:
    mutation.mutated((ROOT / "hubbub" / mutation.file).read_text(encoding="utf-8"))
    file, name = mutation.test.split("::")
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert f"`{mutation.file}`" in PAGE and f"`{name}`" in PAGE and mutation.guard in PAGE


def test_a_list_that_is_out_of_date_is_refused() -> None:
    mutation = MUTATIONS[0]
    source = (ROOT / "hubbub" / mutation.file).read_text(encoding="utf-8")
    for other in (source.replace(mutation.before, "pass"), source + mutation.before):
        with pytest.raises(ValueError, match=r"not once: correct tests/faults/mutations\.py"):
            mutation.mutated(other)


@pytest.mark.slow
def test_a_guard_that_is_taken_out_is_missed() -> None:
    command = [sys.executable, "-m", "tests.faults.mutations", *([] if LONG else QUICK)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
