"""compare, comparison: run folders made by hand, whose truth is known; refusals; the page in a real browser."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from typer.testing import CliRunner

from hubbub.cli.main import app
from hubbub.config.recipe import Recipe
from hubbub.metrics import classification
from hubbub.report import compare_page, run_folder
from hubbub.report.compare import TESTS, CompareError, compare_runs
from hubbub.report.compare_results import Comparison, PairTest
from hubbub.report.summary import summarise
from hubbub.report.verify import verify
from tests.helpers.browsing import CONTRAST, VIEWS, Show
from tests.helpers.files import read_json

LABELS = ("dog", "rain", "<i>saw</i>")
CLIPS, RECORDINGS = 360, 120
PROTOCOL = "3 official folds, each the test part once; nothing chosen; test opened once"
EVIL = "<script>alert(1)</script> & $co"

Make = Callable[..., Path]


def table(folds: int = 3) -> pd.DataFrame:
    """Clips, three of each recording, recordings dealt out to folds."""
    recording = np.arange(CLIPS) // 3
    facts = {"clip": [f"c{k:03d}" for k in range(CLIPS)], "group": [f"r{r}" for r in recording]}
    return pd.DataFrame(facts | {"label": np.array(LABELS)[recording % 3], "fold": (recording % folds + 1).astype(str)})


def judged(clips: pd.DataFrame, right: np.ndarray, level: str) -> pd.DataFrame:
    """Predictions that are right where `right` says so, and else of the next class."""
    truth = pd.Categorical(clips["label"], categories=list(LABELS)).codes
    scores = np.full((len(clips), 3), 0.1)
    scores[np.arange(len(clips)), np.where(right, truth, (truth + 1) % 3)] = 0.8
    facts = clips[["clip", "group", "label"]].assign(start=0.0, end=1.0)
    facts.insert(1, "level", level)
    return pd.concat([facts.reset_index(drop=True), pd.DataFrame(scores, columns=list(LABELS))], axis=1)


def run(folder: Path, right: dict[int, np.ndarray], clips: pd.DataFrame | None = None, **environment: Any) -> Path:
    """A finished run whose clips are right where `right` says so for each seed."""
    clips = table() if clips is None else clips
    recipe = Recipe.load("street-cnn", [f"train.seeds={list(right)}"])
    folds = sorted(clips["fold"].unique())
    data = {"name": "sounds", "clips": CLIPS, "warnings": [], "manifest": "a" * 64}
    facts = {"data": data, "protocol": PROTOCOL, "test_folds": folds, "why_not_comparable": []}
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text(recipe.to_toml())
    (folder / "environment.json").write_text(json.dumps(facts | environment))
    for fold, seed, cell in run_folder.cells(folder):
        cell.mkdir(parents=True)
        own = (clips["fold"] == fold).to_numpy()
        levels = [judged(clips[own], right[seed][own], level) for level in ("segment", "clip")]
        pd.concat(levels, ignore_index=True).to_parquet(cell / "predictions.parquet")
        (cell / "metrics_throughput.json").write_text('{"segments_per_second": 9.0}')
        about = {"choice": {}, "clips": int(own.sum()), "test_opened": "2026-01-31T12:34:56+00:00"}
        (cell / "metrics_test.json").write_text(json.dumps(about | {"seconds": {"fit": 1.0, "predict": 1.0}}))
    summarise(folder)
    return folder


def hits(share: float, seed: int, times: int = 1) -> np.ndarray:
    """Which clips are right; with `times` three, clips of one recording stand and fall together."""
    return np.repeat(np.random.default_rng(seed).random(CLIPS // times) < share, times)


GOOD, POOR = hits(0.9, 1), hits(0.6, 2)
#: Right as often as GOOD but for three clips.
NEAR = np.where(np.isin(np.arange(CLIPS), np.flatnonzero(GOOD)[:3]), False, GOOD)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs of one protocol: `near` is within noise of `good`, `poor` is not; `poor` has two seeds."""
    folder = tmp_path_factory.mktemp("runs")
    run(folder / "poor", {1: POOR, 2: hits(0.6, 3)})
    run(folder / "good", {1: GOOD})
    run(folder / "near", {1: NEAR})
    return folder


@pytest.fixture(scope="module")
def result(runs: Path) -> Comparison:
    return compare_runs([runs / "poor", runs / "near", runs / "good"])


def test_the_better_run_is_found_and_noise_is_called_noise(result: Comparison) -> None:
    standings = {r.name: r.standing for r in result.runs}
    assert standings == {"good": "highest", "near": "within noise of the highest", "poor": "behind"}
    assert list(standings) == ["good", "near", "poor"]
    said = "good has the highest clip accuracy; near is within noise of it; poor is behind by more than noise."
    assert compare_page.headline(result) == said
    assert (result.clips, result.recordings, result.comparable) == (CLIPS, RECORDINGS, True)
    by_pair = {(p.first, p.second): p.within_noise for p in result.pairs}
    assert by_pair == {("good", "near"): True, ("good", "poor"): False, ("near", "poor"): False}


def test_runs_that_are_equal_are_called_so(runs: Path, tmp_path: Path) -> None:
    run(tmp_path / "same", {1: GOOD})
    equal = compare_runs([runs / "good", tmp_path / "same"])
    assert compare_page.headline(equal) == "good and same have the same clip accuracy."
    among = compare_runs([runs / "near", runs / "poor", runs / "good", tmp_path / "same"])
    assert compare_page.headline(among) == (
        "good and same have the same clip accuracy, the highest; near is within noise of them; poor is behind by more "
        "than noise."
    )


def test_a_runs_figures_are_those_of_its_summary(runs: Path, result: Comparison) -> None:
    for entry in result.runs:
        summary = read_json(runs / entry.name / "summary.json")["clip"]
        for metric in classification.METRICS:
            for key in ("mean", "sd", "sd_seeds", "pooled"):
                found = getattr(entry.clip.figure(metric), key)
                assert found == pytest.approx(summary[metric][key], abs=1e-12), (metric, key)
        low, high = entry.clip.accuracy.ci95
        assert low < entry.clip.accuracy.pooled < high
    poor = result.runs[2]
    accuracies = [POOR.mean(), hits(0.6, 3).mean()]
    assert poor.clip.accuracy.sd_seeds == pytest.approx(np.std(accuracies, ddof=1), abs=1e-12)
    assert poor.seeds == [1, 2]


def test_every_test_is_its_reference(result: Comparison) -> None:
    pair = next(p for p in result.pairs if (p.first, p.second) == ("good", "poor"))
    twice = (POOR.astype(float) + hits(0.6, 3)) / 2
    folds = table()["fold"]
    by_fold = pd.Series(GOOD - twice).groupby(folds).mean()
    assert pair.difference == pytest.approx(GOOD.mean() - twice.mean(), abs=1e-12)
    assert pair.folds == pytest.approx(by_fold.to_dict(), abs=1e-9)
    # A fold is a third of the clips: one part tested for two trained on. Of several seeds, McNemar's test takes one.
    t = by_fold.mean() / np.sqrt(by_fold.var(ddof=1) * (1 / 3 + 1 / 2))
    assert pair.tests["corrected_t"].p == pytest.approx(2 * stats.t.sf(t, 2), rel=1e-6)
    ours, theirs = (GOOD & ~POOR).sum(), (POOR & ~GOOD).sum()
    assert (pair.only_first, pair.only_second) == (ours, theirs)
    expected = mcnemar([[0, ours], [theirs, 0]], exact=True).pvalue
    assert pair.tests["mcnemar"].p == pytest.approx(expected, rel=1e-9)
    assert pair.tests["wilcoxon"] is None, "three folds are too few"
    for name in TESTS[:3]:
        ps, adjusted = ([getattr(p.tests[name], key) for p in result.pairs] for key in ("p", "p_holm"))
        assert adjusted == pytest.approx(multipletests(ps, method="holm")[1], rel=1e-12)


def test_twelve_folds_have_a_wilcoxon_test(tmp_path: Path) -> None:
    clips = table(folds=12)
    found = compare_runs([run(tmp_path / "a", {1: GOOD}, clips), run(tmp_path / "b", {1: POOR}, clips)]).pairs[0]
    by_fold = pd.Series(GOOD.astype(float) - POOR).groupby(clips["fold"]).mean().round(12)
    assert found.tests["wilcoxon"].p == pytest.approx(stats.wilcoxon(by_fold).pvalue, rel=1e-9)


def test_two_runs_that_decide_alike_do_not_differ(tmp_path: Path) -> None:
    found = compare_runs([run(tmp_path / name, {1: GOOD}, table(folds=6)) for name in ("a", "b")])
    pair = found.pairs[0]
    assert (pair.difference, pair.ci95) == (0, (0, 0))
    assert pair.tests == {name: PairTest(p=1.0, p_holm=1.0) for name in TESTS}
    assert [r.standing for r in found.runs] == ["highest", "within noise of the highest"]


def test_neither_order_of_runs_nor_of_clips_matters(runs: Path, tmp_path: Path) -> None:
    one = compare_runs([runs / "good", runs / "poor"])
    assert compare_runs([runs / "poor", runs / "good"]) == one
    for name in ("good", "poor"):
        shutil.copytree(runs / name, tmp_path / name)
        for _, seed, cell in run_folder.cells(tmp_path / name):
            path = cell / "predictions.parquet"
            pd.read_parquet(path).sample(frac=1, random_state=seed).to_parquet(path)
    assert_close(compare_runs([tmp_path / "good", tmp_path / "poor"]).as_json(), one.as_json())


def assert_close(found: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for key in expected:
            assert_close(found[key], expected[key])
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for pair in zip(found, expected, strict=True):
            assert_close(*pair)
    else:
        assert found == (pytest.approx(expected, abs=1e-9) if isinstance(expected, float) else expected)


def test_recordings_that_stand_and_fall_together_widen_the_interval(tmp_path: Path) -> None:
    """The same decisions; once three clips share a recording, once every clip is a recording of its own."""
    first, second = hits(0.8, 8, times=3), hits(0.7, 9, times=3)
    alone = table().assign(group=[f"own {k}" for k in range(CLIPS)])
    widths = {}
    for name, clips in (("recordings", table()), ("clips", alone)):
        folders = [run(tmp_path / name / which, {1: own}, clips) for which, own in (("a", first), ("b", second))]
        low, high = compare_runs(folders).pairs[0].ci95
        widths[name] = high - low
    assert widths["recordings"] / widths["clips"] == pytest.approx(np.sqrt(3), rel=0.1)


def test_one_recording_alone_decides_nothing(tmp_path: Path) -> None:
    clips = table().assign(group="all")
    found = compare_runs([run(tmp_path / name, {1: own}, clips) for name, own in (("a", GOOD), ("b", POOR))])
    assert found.pairs[0].within_noise is None
    assert [r.standing for r in found.runs] == ["highest", "not known"]
    assert "the noise cannot be estimated" in compare_page.headline(found)
    assert any(line.startswith("FEW RECORDINGS: only 1;") for line in found.warnings)
    html = compare_page.write_comparison(found, tmp_path / "page.html").read_text()
    assert "not known" in html


def test_the_networks_are_beside_the_figures(tmp_path: Path) -> None:
    """Sizes where the run recorded them; speed in segments and times real time; what the weights knew."""
    sized = {"size": {"parameters": 12_345, "embedding": 64}}
    folders = [run(tmp_path / "a", {1: GOOD}, **sized), run(tmp_path / "b", {1: POOR})]
    text = (tmp_path / "b" / "recipe.toml").read_text()
    (tmp_path / "b" / "recipe.toml").write_text(text.replace('name = "cnn"', 'name = "cnn14"'))
    found = compare_runs(folders)
    first, second = (one.network for one in found.runs)
    assert first and second and (first.parameters, first.embedding, second.parameters) == (12_345, 64, None)
    assert first.learnt_from == "nothing" and second.learnt_from == "AudioSet"
    shown = compare_page.network_table(found)
    assert shown
    row = dict(zip(shown.heads, shown.rows[0], strict=True))
    assert row["parameters"] == "12,345" and row["segments/s"] == "9.0"
    assert row["times real time"] == f"{9 * first.segment_s:,.0f}"
    assert shown.rows[1][1] == "-" and shown.rows[1][-1].startswith("not known: sounds of YouTube")
    html = compare_page.write_comparison(found, tmp_path / "page.html").read_text()
    assert "Kong et al., arXiv 1912.10211" in html and "12,345" in html


def test_warnings_say_whose_they_are(tmp_path: Path) -> None:
    a = run(tmp_path / "a", {1: GOOD}, why_not_comparable=["QUICK: a reduced run"])
    b = run(tmp_path / "b", {1: POOR, 2: POOR})
    lines = compare_runs([a, b]).warnings
    assert lines[:2] == [
        "QUICK: a reduced run (a)",
        "ONE SEED: the spread over repeated trainings is not measured (a)",
    ]


def test_what_recordings_show_and_folds_do_not_is_said(tmp_path: Path) -> None:
    """Much better in one fold and slightly worse in the others."""
    folds = table()["fold"]
    lopsided = np.where(folds == "1", hits(0.35, 5), hits(0.92, 6))
    lines = compare_runs([run(tmp_path / "a", {1: GOOD}), run(tmp_path / "b", {1: lopsided})]).warnings
    assert lines[-1].startswith("NOT SEEN OVER FOLDS: more than noise over recordings alone: a over b (corrected t")


def changed(runs: Path, folder: Path, **environment: Any) -> Path:
    shutil.copytree(runs / "poor", folder)
    facts = read_json(folder / "environment.json")
    (folder / "environment.json").write_text(json.dumps(facts | environment))
    summarise(folder)
    return folder


def test_other_protocols_data_and_folds_are_refused_or_labelled(runs: Path, tmp_path: Path) -> None:
    data = read_json(runs / "good" / "environment.json")["data"] | {"manifest": "b" * 64}
    for name, change, words in (
        ("protocol", {"protocol": "grouped hold-out"}, r"different protocols: 3 official .* against grouped hold-out"),
        ("manifest", {"data": data}, "different data: sounds, manifest aaaaaaaaaaaa .* manifest bbbbbbbbbbbb"),
    ):
        other = changed(runs, tmp_path / name, **change)
        with pytest.raises(CompareError, match=rf"cannot be compared: {words} .*--anyway"):
            compare_runs([runs / "good", other])
        found = compare_runs([runs / "good", other], anyway=True)
        assert not found.comparable
        assert compare_page.headline(found).startswith("NOT COMPARABLE: good has")
        assert found.warnings[0].startswith(f"NOT COMPARABLE: {words[:12]}")


def test_what_is_compared_anyway_is_the_clips_in_common(runs: Path, tmp_path: Path) -> None:
    part = table()[table()["fold"] != "3"]
    other = run(tmp_path / "part", {1: POOR[part.index]}, part)
    with pytest.raises(CompareError, match=r"test folds: 1, 2, 3 \(good\) .*test clips: good 360, part 240; 240 in"):
        compare_runs([runs / "good", other])
    found = compare_runs([runs / "good", other], anyway=True)
    assert found.clips == 240
    accuracies = {r.name: r.clip.accuracy.pooled for r in found.runs}
    assert accuracies == pytest.approx({"good": GOOD[part.index].mean(), "part": POOR[part.index].mean()}, abs=1e-12)
    assert list(found.pairs[0].folds) == ["1", "2"]


def test_other_folds_of_the_same_clips_leave_no_tests_over_folds(runs: Path, tmp_path: Path) -> None:
    moved = table().assign(fold=table()["fold"].map({"1": "2", "2": "3", "3": "1"}))
    found = compare_runs([runs / "good", run(tmp_path / "moved", {1: POOR}, moved)], anyway=True)
    assert found.pairs[0].folds == {}
    assert found.pairs[0].tests["corrected_t"] is None
    assert (
        "Differences of clip accuracy in each"
        not in compare_page.write_comparison(found, tmp_path / "p.html").read_text()
    )


def test_nothing_in_common_and_other_truths_are_refused_always(runs: Path, tmp_path: Path) -> None:
    strangers = run(tmp_path / "strangers", {1: POOR}, table().assign(clip=[f"x{k}" for k in range(CLIPS)]))
    with pytest.raises(CompareError, match="no test clip in common"):
        compare_runs([runs / "good", strangers], anyway=True)
    renamed = table().replace({"label": {"dog": "rain", "rain": "dog"}})
    with pytest.raises(CompareError, match="clip c000 is 'dog' in good and 'rain' in renamed"):
        compare_runs([runs / "good", run(tmp_path / "renamed", {1: POOR}, renamed)], anyway=True)


def test_unusable_runs_are_refused_with_what_to_do(runs: Path, tmp_path: Path) -> None:
    for folders, words in (
        ([runs / "good"], "two runs or more"),
        ([runs / "good", runs / "poor" / ".." / "good"], "given twice"),
        ([runs / "good", tmp_path], "has no summary.json: it is not a finished run"),
    ):
        with pytest.raises(CompareError, match=words):
            compare_runs(folders)
    broken = shutil.copytree(runs / "near", tmp_path / "near")
    summary = read_json(broken / "summary.json")
    summary["clip"]["accuracy"]["mean"] = 0.99
    (broken / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(CompareError, match=r"does not follow from the predictions: clip.accuracy.mean is 0\.99"):
        compare_runs([runs / "good", broken])
    run_folder.cells(broken)[0][2].joinpath("predictions.parquet").unlink()
    with pytest.raises(CompareError, match=r"has no predictions\.parquet"):
        compare_runs([runs / "good", broken])


def test_runs_of_one_name_are_told_apart_by_their_paths(runs: Path, tmp_path: Path) -> None:
    other = shutil.copytree(runs / "near", tmp_path / "good")
    assert [r.name for r in compare_runs([runs / "good", other]).runs] == [str(runs / "good"), str(other)]


def test_the_command_prints_and_writes_both_files(runs: Path, tmp_path: Path) -> None:
    page, odd = tmp_path / "new" / "c.html", shutil.copytree(runs / "near", tmp_path / "[bold]near")
    folders = [runs / "good", odd, runs / "poor"]
    words = ["compare", *map(str, folders), "--out", str(page)]
    done = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert "; [bold]near is within noise of it; poor is behind by more than noise." in done.output
    assert "good over poor: +0." in done.output
    figures = read_json(page.with_suffix(".json"))
    assert figures == compare_runs(folders).as_json()
    assert page.is_file()
    with pytest.raises(CompareError, match=r"must end in \.html"):
        compare_page.write_comparison(compare_runs(folders), tmp_path / "c.txt")


@pytest.fixture(scope="module")
def shown_page(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Names that mean harm, and runs that are not comparable."""
    folder = tmp_path_factory.mktemp("page")
    evil = changed(runs, folder / EVIL.replace("/", "_"), protocol="<b>other</b>")
    found = compare_runs([runs / "good", runs / "near", evil], anyway=True)
    return compare_page.write_comparison(found, folder / "comparison.html")


@pytest.mark.parametrize("view", VIEWS)
def test_the_page_is_whole_in_every_view(view: str, shown_page: Path, show: Show) -> None:
    shown = show(shown_page, view)
    assert shown.evaluate("document.scrollingElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
    assert shown.evaluate("document.scripts.length + document.querySelectorAll('h1 b, dt script, td b').length") == 0
    name = EVIL.replace("/", "_")
    assert name in shown.get_by_role("region", name="The runs, the highest").inner_text()
    text = shown.locator("body").inner_text()
    assert "<b>other</b>" in text
    assert text.count("NOT COMPARABLE") == 2, "in the warnings and in the headline"
    lines = shown.locator("svg line:not(.at)")
    boxes = [lines.nth(k).bounding_box() for k in range(3)]
    assert all(box and box["width"] > 5 for box in boxes)
    marks = [shown.locator("svg .at").nth(k).bounding_box() for k in range(3)]
    assert marks[0]["x"] >= marks[1]["x"] > marks[2]["x"], "the highest lies furthest to the right"
    assert [r for r in shown.evaluate(CONTRAST) if r[1] < 4.5] == []


def test_the_page_says_what_the_figures_are(shown_page: Path, show: Show) -> None:
    figures, shown = read_json(shown_page.with_suffix(".json")), show(shown_page)
    rows = shown.get_by_role("region", name="The pairs").locator("tbody tr")
    assert rows.count() == 3
    heads = shown.get_by_role("region", name="The pairs").locator("thead th").all_inner_texts()
    assert heads[4:] == ["bootstrap p", "McNemar", "corrected t", "alone right"], "no column for a test not made"
    for row, pair in zip(rows.all(), figures["pairs"], strict=True):
        said = row.locator("th, td").all_inner_texts()
        assert said[0] == f"{pair['first']} over {pair['second']}"
        assert said[1] == ("within noise" if pair["within_noise"] else "more than noise")
        assert said[2] == f"{pair['difference']:+.4f}"
        assert said[-1] == f"{pair['only_first']} : {pair['only_second']}"


def trained_with(folder: Path, threads: dict[str, list[int]]) -> Path:
    """The run as if each fold's network had been trained with these numbers of threads."""
    for fold, counts in threads.items():
        for file in (folder / f"test-{fold}").glob("seed-*/metrics_test.json"):
            file.write_text(json.dumps(json.loads(file.read_text()) | {"threads": counts}))
    summarise(folder)
    return folder


def test_other_numbers_of_threads_are_told_and_a_run_of_several_says_so(runs: Path, tmp_path: Path) -> None:
    folds = read_json(runs / "good" / "environment.json")["test_folds"]
    one = trained_with(shutil.copytree(runs / "good", tmp_path / "one"), {fold: [1] for fold in folds})
    two = trained_with(shutil.copytree(runs / "near", tmp_path / "two"), {fold: [2] for fold in folds})
    (line,) = [line for line in compare_runs([one, two]).warnings if "THREADS" in line]
    assert line.startswith("DIFFERENT THREADS: trained with 1 (one), 2 (two) processor threads")
    alike = trained_with(shutil.copytree(runs / "near", tmp_path / "alike"), {fold: [1] for fold in folds})
    for others in ([one, alike], [one, runs / "poor"]):  # the same, and a run that does not say
        assert not any("THREADS" in line for line in compare_runs(others).warnings)
    assert verify(one) == [] and not any("THREADS" in r for r in read_json(one / "summary.json")["why_not_comparable"])
    mixed = trained_with(two, {folds[0]: [1, 4]})
    (reason,) = [r for r in read_json(mixed / "summary.json")["why_not_comparable"] if "THREADS" in r]
    assert reason.startswith("MIXED THREADS: trained with 1, 2, 4 processor threads")
    assert verify(mixed) == []
    done = CliRunner().invoke(app, ["report", "--verify", str(mixed)])
    assert "MIXED THREADS" in done.output
    assert any(w.startswith("MIXED THREADS") and w.endswith("(two)") for w in compare_runs([one, mixed]).warnings)
