"""audit: flipped labels come first, copies and outliers are told, and corrections change the figures of a run."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from playwright.sync_api import Page, expect
from typer.testing import CliRunner

import hubbub
from hubbub.cli.main import app
from hubbub.data import synthetic
from hubbub.data.open import open_data
from hubbub.data.splits import SplitError
from hubbub.data.values import ClipsError
from hubbub.experiment.audit import AuditError, audit
from hubbub.experiment.own import SCRATCH
from hubbub.report.label_audit import LabelAudit
from tests.helpers.amount import amount
from tests.helpers.browsing import Show
from tests.helpers.files import read_json
from tests.helpers.sounds import noise, sounds

pytestmark = pytest.mark.slow  # each audit embeds its clips
#: Rows of the synthetic set whose labels are flipped, each to the next class.
FLIPPED = 4


def mislabelled(folder: Path, clips: int = 120) -> pd.DataFrame:
    """The synthetic street set with `FLIPPED` wrong labels; the table has the right ones in `true`."""
    table = pd.read_csv(synthetic.write(folder, clips, seed=3))
    classes, rng = sorted(set(table["label"])), np.random.default_rng(0)
    table["true"] = table["label"]
    for row in rng.choice(len(table), FLIPPED, replace=False):
        table.loc[row, "label"] = classes[(classes.index(table["true"][row]) + 1) % len(classes)]
    return table


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("street")
    table = mislabelled(folder)
    source = table.iloc[int(np.flatnonzero(table["label"] == table["true"])[0])]
    wave, rate_hz = soundfile.read(folder / source["file"])
    soundfile.write(folder / "copy.wav", wave, rate_hz)
    other = next(name for name in sorted(set(table["label"])) if name != source["label"])
    row = {"clip": "copy", "file": "copy.wav", "label": other, "true": source["label"], "source": "elsewhere"}
    pd.concat([table, pd.DataFrame([row])])[["clip", "file", "label", "source", "true"]].to_csv(
        folder / "mine.csv", index=False
    )
    return folder / "mine.csv"


@pytest.fixture(scope="module")
def found(data: Path, tmp_path_factory: pytest.TempPathFactory) -> LabelAudit:
    return audit(data, backbone="small", group="source", listen=8, out=tmp_path_factory.mktemp("audits"), quiet=True)


def truth_of(data: Path) -> dict[str, str]:
    table = pd.read_csv(data)
    return dict(zip(table["clip"], table["true"], strict=True))


def test_wrong_labels_come_first_and_the_right_one_is_suggested(data: Path, found: LabelAudit) -> None:
    labels, truth = found.labels, truth_of(data)
    wrong = labels[labels["clip"].map(truth) != labels["label"]]
    assert len(wrong) == FLIPPED + 1
    listed = found.suspects["clip"].tolist()
    assert len(set(wrong["clip"]) & set(listed)) >= FLIPPED
    assert set(wrong["clip"][wrong["reason"] != ""]) <= set(labels["clip"][: 2 * FLIPPED + 2])
    assert (wrong["suggested"] == wrong["clip"].map(truth)).sum() >= FLIPPED
    assert labels["rank"].tolist() == list(range(1, len(labels) + 1))


def test_a_copy_with_another_label_is_listed_first(found: LabelAudit) -> None:
    assert found.suspects["reason"].tolist()[:2] == ["copy", "copy"]
    first = found.copies.iloc[0]
    assert first["conflicting"] and "copy" in (first["clip"], first["other"])
    of_pair = found.labels.set_index("clip").loc[[first["clip"], first["other"]]]
    assert of_pair["suggested"].tolist() == [first["other_label"], first["label"]]
    assert of_pair["fold"].nunique() == 1, "a copy votes for its own label"


def test_the_folder_holds_tables_page_pictures_and_sounds(found: LabelAudit) -> None:
    assert found.folder is not None
    names = {path.name for path in found.folder.iterdir()}
    assert names >= {"index.html", "labels.csv", "copies.csv", "classes.csv", "pairs.csv", "outliers.csv", "audit.json"}
    assert len(list((found.folder / "clips").glob("*.mp3"))) == len(list((found.folder / "clips").glob("*.png"))) > 4
    assert len(pd.read_csv(found.folder / "labels.csv")) == len(found.labels)
    assert read_json(found.folder / "audit.json")["found"] == list(found.lines)


# The page


@pytest.fixture
def page(found: LabelAudit, show: Show) -> Iterator[Page]:
    assert found.folder is not None
    yield show(found.folder / "index.html")


def decided(page: Page) -> str:
    return page.locator("#decision").inner_text()


def test_the_page_is_worked_by_keyboard_alone(found: LabelAudit, page: Page, tmp_path: Path) -> None:
    first, second, third, fourth = found.suspects.head(4).itertuples()
    assert page.locator("#label").inner_text() == first.label
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(one => one.id)")
    assert len(ids) == len(set(ids))
    page.keyboard.press(" ")
    expect(page.locator("#sound")).to_have_js_property("paused", False)
    page.keyboard.press(" ")
    expect(page.locator("#sound")).to_have_js_property("paused", True)
    page.keyboard.press("a")
    page.keyboard.press("k")
    page.keyboard.press("u")
    page.keyboard.press("c")
    page.keyboard.press("End")
    chosen = page.locator("#classes").evaluate("list => list.value")
    page.keyboard.press("Enter")
    page.keyboard.press("r")
    page.keyboard.press("z")
    assert decided(page) == "not decided" and page.locator("#decided").inner_text().startswith("4 of ")
    page.keyboard.press("ArrowUp")
    assert decided(page) == f"now {chosen}"
    page.reload()
    assert decided(page) == f"now {chosen}", "decisions outlive the page"
    page.locator("#who").fill("A. Listener")
    page.locator("#card").focus()
    with page.expect_download() as download:
        page.keyboard.press("s")
    download.value.save_as(tmp_path / "corrections.csv")
    table = pd.read_csv(tmp_path / "corrections.csv", keep_default_na=False)
    assert table[["clip", "given", "corrected"]].to_numpy().tolist() == [
        [first.clip, first.label, first.suggested],
        [second.clip, second.label, second.label],
        [third.clip, third.label, ""],
        [fourth.clip, fourth.label, chosen],
    ]
    assert set(table["who"]) == {"A. Listener"} and table["when"].str.endswith("Z").all()


@pytest.mark.parametrize("view", ["desktop", "phone", "dark"])
def test_the_page_fits_and_can_be_read(found: LabelAudit, show: Show, view: str) -> None:
    from tests.helpers.browsing import CONTRAST

    assert found.folder is not None
    shown = show(found.folder / "index.html", view)
    assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")
    poor = [one for one in shown.evaluate(CONTRAST) if one[1] < 4.5]
    assert not poor
    assert shown.locator("button:visible").count() >= 7


def test_names_from_data_are_text(tmp_path: Path, show: Show) -> None:
    nasty = "</script><b onclick=alert(1)>&"
    rows = []
    for k in range(24):
        wave = noise(1.0, 16_000, seed=k)[:, 0] * (0.05 if k % 2 else 1)
        soundfile.write(
            tmp_path / f"{k}.wav", np.sin(np.arange(16_000) * (0.05 + 0.4 * (k % 2))) * 0.3 + wave * 0.1, 16_000
        )
        rows.append({"path": f"{k}.wav", "label": (nasty, "dog")[(k % 2) ^ (k == 3)], "group": f"g{k}"})
    pd.DataFrame(rows).to_csv(tmp_path / "list.csv", index=False)
    odd = audit(tmp_path / "list.csv", backbone="small", out=tmp_path / "audits", quiet=True)
    assert odd.folder is not None and odd.suspects["clip"].tolist()[:1] == ["3.wav"]
    shown = show(odd.folder / "index.html")
    assert nasty in shown.locator(".which").inner_text()
    assert shown.locator("b").count() == 0
    shown.keyboard.press("k")
    kept = shown.evaluate("JSON.parse(Object.values(localStorage)[0]).decisions['3.wav'].corrected")
    assert kept == odd.suspects["label"].iloc[0]


# Corrections


def test_the_report_says_how_the_figures_change(data: Path, tmp_path: Path) -> None:
    labels, truth = open_data(str(data)).table, truth_of(data)
    wrong = labels[labels["clip"].map(truth) != labels["label"]]
    table = pd.DataFrame({"clip": wrong["clip"], "given": wrong["label"], "corrected": wrong["clip"].map(truth)})
    table.loc[table["clip"] == "copy", "corrected"] = "remove"
    table.to_csv(tmp_path / "corrections.csv", index=False)
    run = hubbub.train(
        data, backbone="small", group="source", corrections=tmp_path / "corrections.csv", folds=2, refit=False,
        out=tmp_path / "runs", quiet=True,
    )  # fmt: skip
    summary = run.summary
    assert summary.as_given is not None and summary.clips == len(labels) - 1
    lost = FLIPPED / summary.clips
    accuracy, given = summary.clip.figure("accuracy").pooled, summary.as_given.figure("accuracy").pooled
    assert accuracy is not None and given is not None and 0 < accuracy - given <= lost + 1e-9
    assert any(line.startswith("LABELS AS GIVEN: clip accuracy") for line in summary.caveats)
    assert any(
        line.startswith("CORRECTED LABELS: 4 labels corrected and 1 clip") for line in summary.why_not_comparable
    )
    recorded = read_json(run.folder / "environment.json")["data"]["corrections"]
    assert (recorded["corrected"], recorded["removed"]) == (FLIPPED, 1) and len(recorded["given"]) == FLIPPED
    assert "LABELS AS GIVEN" in (run.folder / "report.html").read_text(encoding="utf-8")


def test_the_command_prints_what_was_found(data: Path, tmp_path: Path, found: LabelAudit) -> None:
    options = ["--backbone", "small", "--group", "source", "--listen", "1", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, ["data", "audit", str(data), *options])
    assert done.exit_code == 0 and all(line in done.stdout for line in found.lines)
    assert f"page: {tmp_path / 'mine' / 'index.html'}" in done.stdout


# Other data


def test_label_sets_are_judged_class_by_class(tmp_path: Path) -> None:
    sounds(tmp_path, *(f"{k}.wav" for k in range(40)), seconds=1)
    rng, rows = np.random.default_rng(1), []
    for k in range(40):
        low, high = k % 2 == 0, k % 4 < 2
        times = np.arange(16_000) / 16_000
        wave = 0.3 * low * np.sin(2 * np.pi * 300 * times) + 0.3 * high * np.sin(2 * np.pi * 3000 * times)
        soundfile.write(tmp_path / f"{k}.wav", wave + rng.normal(0, 0.02, 16_000), 16_000)
        rows.append({"path": f"{k}.wav", "low": int(low), "high": int(high ^ (k == 7)), "group": f"g{k}"})
    pd.DataFrame(rows).to_csv(tmp_path / "sets.csv", index=False)
    odd = audit(tmp_path / "sets.csv", backbone="small", out=tmp_path / "audits", quiet=True, listen=3)
    first = odd.labels.iloc[0]
    assert odd.multilabel and (first["clip"], first["label"], first["suggested"]) == ("7.wav", "high", "(none)")


def test_a_class_of_one_recording_is_not_judged_and_it_says_so(tmp_path: Path) -> None:
    sounds(tmp_path / "mine", *(f"{name}/{name} {k}.wav" for name in "ab" for k in range(6)), "c/only.wav", seconds=0.6)
    odd = audit(tmp_path / "mine", backbone="small", group="file", out=tmp_path / "audits", quiet=True)
    assert odd.labels["quality"].isna().sum() == 1
    assert "not judged: 1 clip, as their class cannot be both trained and tested" in odd.lines


def test_what_cannot_be_audited_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sounds(tmp_path / "one", *(f"a/{k}.wav" for k in range(4)))
    with pytest.raises(SplitError, match="Two classes are needed"):
        audit(tmp_path / "one", backbone="small", out=tmp_path / "audits", quiet=True)
    (tmp_path / "list.csv").write_text("path,label\ngone.wav,a\nlost.wav,b\n")
    with pytest.raises(ClipsError, match="2 of 2 listed files are missing"):
        audit(tmp_path / "list.csv", backbone="small", out=tmp_path / "audits", quiet=True)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("keep")
    with pytest.raises(AuditError, match="is not an audit"):
        audit(tmp_path / "one", backbone="small", out=tmp_path, name="taken", quiet=True)
    monkeypatch.setattr("hubbub.experiment.own._default", lambda known: (SCRATCH, ""))
    with pytest.raises(AuditError, match="needs a frozen network"):
        audit(tmp_path / "one", out=tmp_path / "audits", quiet=True)


def test_one_label_in_twenty_of_esc50_flipped(tmp_path: Path) -> None:
    """On two of the five folds, as embedding takes time; with HUBBUB_FAULTS=long on all."""
    table = open_data("esc50").table
    table = table[table["fold"].isin([*"12345"][: amount(2, 5)])].reset_index(drop=True)
    classes, rng = np.array(sorted(set(table["label"]))), np.random.default_rng(0)
    flipped = rng.choice(len(table), len(table) // 20, replace=False)
    labels = table["label"].to_numpy(object).copy()
    for row in flipped:
        labels[row] = rng.choice(classes[classes != labels[row]])
    root = Path(table["path"].iloc[0]).parent
    names = [Path(path).name for path in table["path"]]
    listed = pd.DataFrame({"path": names, "label": labels, "group": table["group"]})
    listed.to_csv(tmp_path / "flipped.csv", index=False)
    found = audit(
        tmp_path / "flipped.csv",
        backbone="yamnet",
        settings={"data.root": str(root)},
        listen=0,
        out=tmp_path,
        quiet=True,
    )
    wrong = {names[row] for row in flipped}
    first, suspects = found.labels["clip"].head(len(flipped)), found.suspects["clip"]
    assert first.isin(wrong).mean() >= 0.7
    assert suspects.isin(wrong).sum() >= 0.8 * len(flipped) and len(suspects) < 2.5 * len(flipped)
