"""page: what a run's report says, and that it holds in a real browser: desk, phone, darkness, keyboard."""

import base64
import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from matplotlib.figure import Figure
from PIL import Image
from playwright.sync_api import Browser, Locator
from typer.testing import CliRunner

from hubbub.cli.main import app
from hubbub.config.recipe import Recipe
from hubbub.experiment.run import run_recipe
from hubbub.metrics import classification
from hubbub.metrics.intervals import METHOD
from hubbub.report import page, plots, run_folder
from hubbub.report.results import LEVELS
from hubbub.report.summary import NAMES, as_arrays, summarise
from hubbub.report.tables import cell_table, describe_choice
from hubbub.report.verify import verify
from tests.helpers.browsing import CONTRAST, VIEWS, Show
from tests.helpers.files import read_json

RATE = 16_000
# What a class may be called; the last is a formula that matplotlib would refuse, were it read as one.
EVIL = ("<script>alert(1)</script>", "\"quoted\" & 'ünïcode' ☂", r"$\frac{")
EVIL_TITLE = "<img src=x onerror=alert(2)> & co"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real run: three classes with troublesome names, two of three folds, and four clips explained."""
    sounds, rng = tmp_path_factory.mktemp("sounds"), np.random.default_rng(0)
    rows = []
    for k in range(36):
        time_s = np.arange(RATE // 2) / RATE
        tone = 0.1 * np.sin(2 * np.pi * 400 * (1 + k % 3) * time_s) + rng.normal(0, 0.05, len(time_s))
        soundfile.write(sounds / f"{k}.wav", tone, RATE)
        rows.append({"path": f"{k}.wav", "label": EVIL[k % 3], "fold": str(k // 12), "group": f"g{k // 3}"})
    pd.DataFrame(rows).to_csv(sounds / "list.csv", index=False)
    settings = [
        *(f'data.name="{sounds / "list.csv"}"', "network.width=2", "windows.length=4000", "windows.hop=4000"),
        *("train.epochs=3", 'protocol.folds=["0","1"]'),
    ]
    folder = tmp_path_factory.mktemp("runs") / "named"
    run_recipe(Recipe.load("street-cnn", settings), folder, refit=False)
    change(folder / "summary.json", recipe=EVIL_TITLE)
    explain(folder / "gradcam")
    page.write_page(folder)
    return folder


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def explain(folder: Path) -> None:
    """Three mistakes and one right decision in place of those that the run found itself."""
    shutil.rmtree(folder)
    folder.mkdir()
    samples = []
    for k in range(4):
        name, kind = f"sample {k} & <b>", "right" if k == 3 else "mistake"
        soundfile.write(folder / f"{name}.mp3", 0.3 * np.sin(np.arange(22_050) / 10), 22_050)
        for picture in ("spectrogram", "gradcam"):
            figure = Figure(figsize=(4, 2))
            figure.subplots().imshow(np.random.default_rng(k).random((8, 16)), cmap="magma")
            figure.savefig(folder / f"{name}-{picture}.png", dpi=60)
        score, truth = (0.9, 0.9) if kind == "right" else (0.8, 0.1)
        samples.append(
            {
                "clip": f"<b>{k}</b>.wav", "label": EVIL[0], "decided": EVIL[0 if kind == "right" else 1],
                "score": score, "score_of_truth": truth, "fold": "1", "seed": 1, "seconds": 1.0 if k else None,
                "sound": f"{name}.mp3" if k else None, "spectrogram": f"{name}-spectrogram.png",
                "gradcam": f"{name}-gradcam.png", "method": "Grad-CAM", "kind": kind,
            }
        )  # fmt: skip
    (folder / "samples.json").write_text(json.dumps(samples))


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifty classes, two folds and two seeds, as a head's run leaves them: no learning curves, no explained clips."""
    folder, rng = tmp_path_factory.mktemp("runs") / "crowd", np.random.default_rng(3)
    recipe = Recipe.load("esc50-yamnet", ["train.seeds=[1,2]"])
    labels = [f"class_of_sound_{k}" for k in range(50)]
    folder.mkdir()
    (folder / "recipe.toml").write_text(recipe.to_toml())
    data = {
        "name": "many", "licence": "CC0", "citation": "none", "clips": 500, "listed": 503, "missing": ["a", "b", "c"],
        "notes": [], "warnings": [], "manifest": "0",
    }  # fmt: skip
    facts = {
        "hubbub": "0", "python": "3", "libraries": {"numpy": "2"}, "machine": {"accelerator": "none", "threads": 1},
        "data": data, "weights": {}, "protocol": "two folds", "test_folds": ["1", "2"], "why_not_comparable": [],
    }  # fmt: skip
    (folder / "environment.json").write_text(json.dumps(facts))
    for _, _, cell in run_folder.cells(folder):
        cell.mkdir(parents=True)
        levels = [judged(rng, level, labels, times) for level, times in (("segment", 3), ("clip", 1))]
        pd.concat(levels, ignore_index=True).to_parquet(cell / "predictions.parquet")
        (cell / "metrics_throughput.json").write_text('{"segments_per_second": 1234.5}')
        about = {"choice": {}, "clips": 100, "seconds": {"fit": 1.0, "predict": 0.5}}
        (cell / "metrics_test.json").write_text(json.dumps(about | {"test_opened": "2026-01-31T12:34:56+00:00"}))
    summarise(folder)
    page.write_page(folder)
    return folder


def judged(rng: np.random.Generator, level: str, labels: list[str], times: int) -> pd.DataFrame:
    targets = np.repeat(np.arange(100) % len(labels), times)
    logits = rng.normal(size=(len(targets), len(labels))) + 3 * np.eye(len(labels))[targets]
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    facts = {"clip": [f"{k}" for k in range(len(targets))], "level": level, "group": np.arange(len(targets)) // times}
    facts |= {"label": np.array(labels)[targets], "start": 0.0, "end": 1.0}
    return pd.concat([pd.DataFrame(facts), pd.DataFrame(scores, columns=labels)], axis=1)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("which", ["run", "crowd"])
def test_it_is_whole_in_every_view(which: str, view: str, show: Show, request: pytest.FixtureRequest) -> None:
    shown = show(request.getfixturevalue(which), view)
    sizes = shown.eval_on_selector_all("img", "images => images.map(i => i.complete ? i.naturalWidth : 0)")
    assert len(sizes) == {"run": 5 + 2 * 4, "crowd": 3}[which]
    assert min(sizes) > 0
    assert shown.evaluate("document.scrollingElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
    levels = shown.eval_on_selector_all("h1, h2, h3, h4", "all => all.map(h => Number(h.tagName[1]))")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("view", ["desktop", "dark"])
def test_all_text_stands_out_from_what_is_behind_it(view: str, run: Path, show: Show) -> None:
    """WCAG 2.2, 1.4.3: at least 4.5 to 1."""
    shown = show(run, view)
    ratios = shown.evaluate(CONTRAST)
    assert {"P.muted", "LI.", "TD.", "CAPTION.", "A.", "FIGCAPTION."} <= {name for name, _ in ratios}
    assert [(name, ratio) for name, ratio in ratios if ratio < 4.5] == []
    page_is = shown.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (page_is == "rgb(255, 255, 255)") == (view != "dark")


def test_the_keyboard_reaches_every_link_table_and_player(run: Path, show: Show) -> None:
    shown = show(run)
    focusable = shown.locator("a[href], .scroll, pre, audio, summary")
    wanted = focusable.evaluate_all("all => { all.forEach((e, i) => e.dataset.at = i); return all.length }")
    reached = []
    for _ in range(5 * wanted):  # a player has several stops of its own
        shown.keyboard.press("Tab")
        reached.append(shown.evaluate("document.activeElement.dataset.at"))
    hidden = shown.locator("details:not([open]) > :not(summary)").evaluate_all(
        "all => all.flatMap(e => [e, ...e.querySelectorAll('*')]).map(e => e.dataset.at).filter(Boolean)"
    )
    assert set(reached) >= {str(k) for k in range(wanted)} - set(hidden)
    assert reached[0] == "0"
    first = shown.locator("[data-at='0']")
    assert first.get_attribute("class") == "skip"
    first.press("Enter")
    shown.keyboard.press("Tab")
    assert shown.evaluate("document.activeElement.closest('#content') !== null"), "past the list of contents"


def test_what_is_wider_than_a_phone_scrolls_on_its_own(crowd: Path, show: Show) -> None:
    shown = show(crowd, "phone")
    matrix = shown.get_by_role("region", name="Clips: rows are true classes")
    assert matrix.evaluate("e => e.scrollWidth > 2 * e.clientWidth"), "the matrix keeps a size one can read"
    matrix.focus()
    shown.keyboard.press("ArrowRight")
    shown.wait_for_function("e => e.scrollLeft > 0", arg=matrix.element_handle())
    table = shown.get_by_role("region", name="The weakest first")
    assert table.evaluate("e => e.scrollWidth > e.clientWidth")
    head = table.locator("tbody th").first
    before = head.bounding_box()
    table.evaluate("e => e.scrollLeft = 150")
    assert head.bounding_box() == before, "the class stays beside its figures"


def test_names_are_shown_and_never_obeyed(run: Path, show: Show) -> None:
    shown = show(run)
    assert shown.title() == shown.locator("h1").inner_text() == f"list: {EVIL_TITLE}"
    assert (
        shown.evaluate("document.scripts.length + document.querySelectorAll('b b, [onerror], img[src=x]').length") == 0
    )
    table = shown.get_by_role("region", name="The weakest first")
    assert set(table.locator("tbody th").all_inner_texts()) == set(EVIL)
    assert "<b>0</b>.wav" in shown.locator(".sample").first.inner_text()


def test_a_class_named_like_a_formula_is_drawn_on_white_paper_as_it_is_written(tmp_path: Path) -> None:
    targets, scores = np.arange(30) % 3, np.random.default_rng(0).random((30, 3))
    some, times, hz = np.ones((4, 5)), np.arange(5) / 10, np.arange(4) * 100.0
    plots.confusion(targets, scores, EVIL, tmp_path / "confusion.png")
    plots.roc(targets, scores, EVIL, tmp_path / "roc.png")
    plots.heatmap(some, some, times, hz, tmp_path / "heatmap.png", EVIL[2])
    plots.explained(some, some, times, hz, EVIL[2], tmp_path / "explained.png")
    plots.spectrogram(60 * np.random.default_rng(0).random((4, 500)) - 60, np.arange(500.0), hz, tmp_path / "sound.png")
    pictures = [Image.open(path) for path in tmp_path.glob("*.png")]
    assert len(pictures) == 5
    assert {picture.convert("RGB").getpixel((0, 0)) for picture in pictures} == {(255, 255, 255)}, "white paper"


def test_it_asks_for_nothing_and_is_not_allowed_to(run: Path, show: Show, browser: Browser) -> None:
    shown = show(run)
    linked = shown.eval_on_selector_all(
        "[src], [href]", "all => all.map(e => e.getAttribute('src') || e.getAttribute('href'))"
    )
    assert all(target.startswith(("#", "data:")) for target in linked)

    probed = browser.new_page()
    probed.goto(shown.url)
    blocked = probed.evaluate(
        """() => new Promise(told => {
            addEventListener("securitypolicyviolation", event => told(event.blockedURI));
            document.body.append(Object.assign(new Image(), {src: "https://example.org/a.png"}));
        })"""
    )
    assert blocked == "https://example.org/a.png"
    probed.close()


def test_the_headline_and_what_speaks_against_it(run: Path, show: Show) -> None:
    summary, shown = read_json(run / "summary.json"), show(run)
    accuracy = summary["clip"]["accuracy"]
    header = shown.locator("header").inner_text()
    for figure in (accuracy["mean"], accuracy["sd"], *accuracy["ci95"]):
        assert f"{figure:.3f}" in header
    assert (
        f"95 % interval {accuracy['ci95'][0]:.3f} to {accuracy['ci95'][1]:.3f} (exact binomial, 8 recordings)" in header
    )
    assert f"list: {summary['clips']} test clips of 8 source recordings; {summary['protocol']}" in header
    warnings = shown.locator(".warnings").inner_text()
    assert all(reason in warnings for reason in summary["why_not_comparable"])
    assert summary["caveats"][0] in warnings and "FEW RECORDINGS: 8 independent recordings" in warnings
    assert shown.evaluate(
        "document.querySelector('.warnings').compareDocumentPosition(document.querySelector('.headline')) == 4"
    ), "warnings come first"
    assert "no reason against it is known" not in header


def test_one_fold_alone_is_warned_of(run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(run, tmp_path / "one")
    change(folder / "environment.json", test_folds=["0"])
    summarise(folder)
    assert "SINGLE FOLD" in page.write_page(folder).read_text()
    assert "SINGLE FOLD" not in (run / "report.html").read_text()


def test_both_levels_and_calibration_are_the_predictions(crowd: Path, show: Show) -> None:
    shown, summary = show(crowd), read_json(crowd / "summary.json")
    rows = cells(shown.get_by_role("region", name="Figures at both levels"))
    for key, name in NAMES.items():
        for level, at in (("clip", 0), ("segment", 4)):
            figures = summary[level][key]
            assert rows[name][at : at + 3] == [f"{figures[k]:.4f}" for k in ("mean", "sd", "pooled")]
    predicted = run_folder.predictions(crowd)
    for level, at in (("clip", 2), ("segment", 6)):
        error = classification.calibration(*as_arrays(predicted[predicted["level"] == level])[:2]).error
        assert rows["calibration error"][at] == f"{error:.4f}"
    gain = summary["clip"]["accuracy"]["mean"] - summary["segment"]["accuracy"]["mean"]
    said = f"pools 3.0 segments on average; its accuracy is {abs(gain):.3f} {'above' if gain > 0 else 'below'}"
    assert said in shown.locator("#content").inner_text()
    over_seeds = (f"{summary[level]['accuracy']['sd_seeds']:.4f} for {level} accuracy" for level in LEVELS)
    assert f"the sd is {', '.join(over_seeds)}." in shown.locator("#content").inner_text()


def cells(table: Locator) -> dict[str, list[str]]:
    """First cell of each body row -> the others."""
    rows = table.locator("tbody tr").evaluate_all("all => all.map(r => [...r.cells].map(c => c.innerText))")
    return {row[0]: row[1:] for row in rows}


def test_classes_and_confusions_are_counted(crowd: Path, show: Show) -> None:
    shown, predicted = show(crowd), run_folder.predictions(crowd)
    clips = predicted[predicted["level"] == "clip"]
    labels = np.array([c for c in clips.columns if c.startswith("class_")])
    decided = labels[clips[labels].to_numpy().argmax(axis=1)]
    wrong = clips["label"] != decided
    counts = pd.crosstab(clips["label"][wrong], decided[wrong]).stack()
    first = shown.get_by_role("region", name="The most frequent confusions").locator("tbody tr").first
    true, taken, count, share = first.locator("th, td").all_inner_texts()
    assert int(count) == counts.max() == counts[true, taken]
    assert share == f"{100 * counts.max() / (clips['label'] == true).sum():.0f} %"
    rows = cells(shown.get_by_role("region", name="The weakest first"))
    f1 = [float(row[5]) for row in rows.values()]
    assert f1 == sorted(f1)
    recall = {label: (decided[clips["label"] == label] == label).mean() for label in labels}
    assert {label: float(row[3]) for label, row in rows.items()} == pytest.approx(recall, abs=6e-4)


def test_every_roc_curve_of_many_classes_can_be_chosen(crowd: Path, show: Show) -> None:
    """Without a script: the weakest are drawn at first, and a box draws its curve over the same axes."""
    clips = run_folder.predictions(crowd).query("level == 'clip'")
    targets, scores, labels = as_arrays(clips)
    areas = classification.per_class(targets, scores)["roc_auc"]
    shown = show(crowd)
    rows = shown.locator(".choice li").all_inner_texts()
    order = np.argsort(areas, kind="stable")
    assert sorted(row.strip() for row in rows) == sorted(f"{labels[k]} {areas[k]:.3f}" for k in order)
    visible = "all => all.map(e => getComputedStyle(e).visibility == 'visible')"
    curves = shown.locator(".curve")
    assert curves.evaluate_all(visible) == [True] * 5 + [False] * 45
    shown.get_by_label(rows[9].strip()).check()
    shown.get_by_label(rows[0].strip()).uncheck()
    assert curves.evaluate_all(visible) == [False] + [True] * 4 + [k == 9 for k in range(5, 50)]
    shown.get_by_label("all classes").check()
    assert all(curves.evaluate_all(visible))
    shown.get_by_role("button", name="the weakest").click()
    assert curves.evaluate_all(visible) == [True] * 5 + [False] * 45
    axes = shown.get_by_role("img", name="ROC curves, clips").bounding_box()
    assert curves.nth(49).bounding_box() == axes
    # The area below the drawn points is the area beside the name, to a unit of the plot.
    for row, points in zip(
        rows, shown.locator(".curve polyline").evaluate_all("p => p.map(e => e.getAttribute('points'))"), strict=True
    ):
        x, y = np.array([point.split(",") for point in points.split()], float).T
        assert np.trapezoid(1 - y / 1000, x / 1000) == pytest.approx(float(row.split()[-1]), abs=2e-3)


def test_learning_curves_are_of_every_training_and_absent_without_one(run: Path, crowd: Path, show: Show) -> None:
    assert show(run).get_by_role("img", name="Learning curves of 2 trainings").count() == 1
    assert show(crowd).get_by_text("Learning curves").count() == 0
    assert not (crowd / "curves.png").exists()


def test_the_pictures_are_the_files_beside_the_page(run: Path) -> None:
    html = (run / "report.html").read_text()
    for name in ("confusion_matrix", "confusion_matrix_normalised", "roc", "reliability", "curves"):
        assert base64.b64encode((run / f"{name}.png").read_bytes()).decode() in html, name
    assert page.write_page(run).read_text() == html, "written again, it is the same"


def test_fifty_classes_stay_below_three_megabytes(crowd: Path) -> None:
    assert (crowd / "report.html").stat().st_size < 3e6


def test_mistakes_can_be_heard_and_seen(run: Path, show: Show) -> None:
    desk, phone = show(run), show(run, "phone")
    assert desk.locator("section:has(> #mistakes) .sample").count() == 3
    assert desk.locator("section:has(> #right) .sample").count() == 1
    silent, heard = (desk.locator(".sample p").nth(k).inner_text() for k in (0, 1))
    assert ("1.0 s" in silent, "1.0 s" in heard) == (False, True)
    assert desk.locator("audio").count() == 3, "one clip is a picture, and has no sound"
    player = desk.locator("audio").first
    assert player.get_attribute("preload") == "none"
    seconds = player.evaluate(
        "a => new Promise(told => { a.onloadedmetadata = () => told(a.duration); a.onerror = () => told(0); a.load() })"
    )
    assert seconds == pytest.approx(1.0, abs=0.1)
    for shown, side_by_side in ((desk, True), (phone, False)):
        left, right = (shown.locator(".sample img").nth(k).bounding_box() for k in (0, 1))
        assert left and right
        assert (left["y"] == right["y"]) == side_by_side
        assert (left["x"] == right["x"]) != side_by_side


def test_a_sample_without_its_pictures_is_left_out(run: Path, tmp_path: Path) -> None:
    """A name that leads out of the folder counts as missing: a page shows only what its run made."""
    folder = shutil.copytree(run, tmp_path / "run")
    samples = read_json(folder / "gradcam" / "samples.json")
    for sample, name in zip(samples, ("gone.png", "../roc.png", str(run / "roc.png")), strict=False):
        sample["gradcam"] = name
    samples[3]["sound"] = "../../secret.mp3"
    (folder / "gradcam" / "samples.json").write_text(json.dumps(samples))
    html = page.write_page(folder).read_text()
    assert 'id="mistakes"' not in html
    assert (html.count('class="sample"'), html.count("<audio")) == (1, 0)
    samples[3]["spectrogram"] = None
    (folder / "gradcam" / "samples.json").write_text(json.dumps(samples))
    assert 'class="sample"' not in page.write_page(folder).read_text()


def test_verify_recomputes_the_figures_from_the_predictions(crowd: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(crowd, tmp_path / "run")
    assert verify(folder) == []
    summary = read_json(folder / "summary.json")
    true = summary["clip"]["accuracy"]["mean"]
    summary["clip"]["accuracy"]["mean"] = 0.999
    (folder / "summary.json").write_text(json.dumps(summary))
    assert verify(folder) == [f"clip.accuracy.mean is 0.999; the predictions give {true}"]
    agreed = CliRunner().invoke(app, ["report", "--verify", str(crowd)])
    assert (agreed.exit_code, "agrees with the predictions" in agreed.output) == (0, True)
    written = (folder / "report.html").stat().st_mtime_ns
    doubted = CliRunner().invoke(app, ["report", "--verify", str(folder)])
    assert (doubted.exit_code, "clip.accuracy.mean is 0.999" in doubted.output) == (1, True)
    assert (folder / "report.html").stat().st_mtime_ns == written, "no page is made of figures that do not hold"


@pytest.mark.parametrize(("method", "compared"), [("mid-p", False), (None, False), (METHOD, True)])
def test_intervals_of_an_earlier_versions_method_are_not_compared(
    crowd: Path, tmp_path: Path, method: str | None, compared: bool
) -> None:
    folder = shutil.copytree(crowd, tmp_path / "run")
    summary = read_json(folder / "summary.json")
    summary["clip"]["macro_f1"] |= {"interval": method, "ci95": [0.1, 0.2]}
    (folder / "summary.json").write_text(json.dumps(summary))
    assert bool(verify(folder)) == compared


def test_what_validation_chose_is_in_words(run: Path) -> None:
    rows = cell_table(run, run_folder.read_summary(run)).rows
    chosen = [run_folder.read_result(place).choice for _, _, place in run_folder.cells(run)]
    assert [row[-2].partition(";")[0] for row in rows] == [describe_choice(choice) for choice in chosen]
    assert not any("[" in row[-2] for row in rows)
