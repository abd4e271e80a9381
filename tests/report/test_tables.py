"""Tables of a page: what validation chose, in words, without a plateau that lowered the rate not a word of it; the
machine beside the times that it took."""

from pathlib import Path
from typing import Any

import pytest

from hubbub.report import run_folder
from hubbub.report.results import Machine
from hubbub.report.tables import describe_choice, speed_table

STORED = Path(__file__).parents[1] / "files" / "stored" / "run"


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"epoch": 9, "lowered": [4, 8]}, "epoch 9, lowered after epoch 4, 8"),
        ({"epoch": 9, "lowered": []}, "epoch 9"),
        ({"c": 0.01}, "c 0.01"),
        ({}, "nothing to choose"),
    ],
)
def test_a_choice_in_words(choice: dict[str, Any], words: str) -> None:
    assert describe_choice(choice) == words


def test_the_machine_stands_beside_the_times() -> None:
    machine = Machine(processor="Brand A 9", threads=3, accelerator="Brand B")
    environment = run_folder.read_environment(STORED).model_copy(update={"machine": machine})
    table = speed_table(STORED, run_folder.read_summary(STORED), environment)
    assert table is not None
    shown = dict(table.rows)
    assert [shown[name] for name in ("processor", "processor threads", "accelerator")] == ["Brand A 9", "3", "Brand B"]
