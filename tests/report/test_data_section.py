"""data_section: a run keeps its data check, and its page shows classes, what was left out, and findings."""

from pathlib import Path

import pytest

from hubbub.data.findings import ClassFacts, DataCheck, Finding, PropertyTest
from hubbub.report import run_folder
from hubbub.report.data_section import data_section
from hubbub.report.reading import ReportError

CHECK = DataCheck(
    name="birds", kind="sound", folds=("1", "2"), recordings=7, shortest_s=0.5, longest_s=9,
    classes=(
        ClassFacts(label="<b>robin</b>", clips=600, recordings=4, seconds=7_200, rates_hz=(22_050, 44_100)),
        ClassFacts(label="wren", clips=30, recordings=3, seconds=40, rates_hz=(44_100,)),
    ),
    findings=(
        Finding(kind="silence", severity="wrong", text="1 clip is silent: a", advice="Remove it.", clips=("a",)),
        Finding(kind="clipped", severity="note", text="600 clips are clipped", clips=tuple(map(str, range(600)))),
    ),
    properties=(
        PropertyTest(
            family="loudness", properties=("level_db",), recordings=7, accuracy=0.75, chance=0.5, p=0.002,
            classes=("wren",), alarming=True,
        ),
    ),
    left_out=("3 files with other endings (.txt): a.txt, b.txt, c.txt",),
)  # fmt: skip


def test_a_run_keeps_its_data_check(tmp_path: Path) -> None:
    assert run_folder.read_data_check(tmp_path) is None
    run_folder.write_data_check(tmp_path, CHECK)
    assert run_folder.read_data_check(tmp_path) == CHECK
    (tmp_path / "data_check.json").write_text('{"name": "birds"}')
    with pytest.raises(ReportError, match=r"data_check\.json is damaged .* remove it to go on without it"):
        run_folder.read_data_check(tmp_path)


def test_the_section_holds_all_that_was_found() -> None:
    section = data_section(CHECK)
    assert section is not None and data_section(None) is None
    assert section["summary"] == "birds: 630 clips of 2 classes, 2.0 h (0.5 to 9 s each), 7 recordings, folds 1, 2"
    assert section["classes"].rows == [
        ("<b>robin</b>", "600", "2.0 h", "4", "22,050, 44,100"),
        ("wren", "30", "40 s", "3", "44,100"),
    ]
    (_, wrong), (_, notes) = section["findings"]
    assert [title for title, _ in section["findings"]] == ["Wrong", "Notes"]
    assert wrong[0]["advice"] == "Remove it." and len(notes[0]["clips"]) == 501
    assert notes[0]["clips"][-1] == "and 100 more"
    assert section["properties"].rows == [("loudness", "0.750", "0.500", "< 0.01", "wren")]
