"""What `processes` promises: one count of cores, which respects what the process is bound to and its control group; the
processor's name."""

import os
import platform
from pathlib import Path

import pytest

from hubbub.runtime import processes


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("max 100000", 8),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("10000 100000", 1),
        ("1600000 100000", 8),
        ("", 8),
    ],
)
def test_cores_are_the_bound_ones_or_the_control_groups_share(
    limit: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    (tmp_path / "cpu.max").write_text(limit)
    monkeypatch.setattr(processes, "CPU_MAX", tmp_path / "cpu.max")
    assert processes.cores() == expected


def test_without_a_control_group_the_bound_cores_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3}, raising=False)
    monkeypatch.setattr(processes, "CPU_MAX", tmp_path / "none")
    assert processes.cores() == 1


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        (
            "processor\t: 0\nmodel\t\t: 17\nmodel name\t: Brand A: 9, 3 GHz\n\nmodel name\t: Brand B\n",
            "Brand A: 9, 3 GHz",
        ),
        ("model name\t:\nmodel name\t: Brand B\n", "Brand B"),
        ("processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd\n", None),
        ("", None),
    ],
)
def test_the_processor_has_the_first_model_name_of_linux(facts: str, name: str | None, tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(facts)
    assert processes.processor_name(tmp_path / "cpuinfo") == (name or platform.processor() or platform.machine())


def test_the_processor_has_a_name_on_every_system(tmp_path: Path) -> None:
    assert processes.processor_name(tmp_path / "none") == (platform.processor() or platform.machine()) != ""
