"""own: what `hubbub train` understands, what it chooses, and what it leaves alone."""

from pathlib import Path

import pytest
import soundfile

import hubbub
from hubbub.config.recipe import RecipeError
from hubbub.config.settings import as_setting
from hubbub.data.clips import ClipsError
from hubbub.experiment import own
from hubbub.experiment.own import plan
from hubbub.experiment.steps import Begun, Performer, RunPlan, Step
from hubbub.runtime.homes import StoreError
from tests.helpers.files import read_json
from tests.helpers.runs import bare
from tests.helpers.sounds import noise, sounds

SMALL = {"train.epochs": 1, "network.width": 4, "train.device": "cpu"}


def class_folders(place: Path, classes: int = 3, clips: int = 6) -> Path:
    sounds(place, *(f"{name}/{name} {k}.wav" for name in "abcd"[:classes] for k in range(clips)), seconds=0.5)
    return place


# What is understood


def test_a_folder_gets_yamnet_and_the_protocol_that_its_data_allow(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(own.download, "get", lambda name: Path("/weights/yamnet.h5"))
    found = plan(str(class_folders(tmp_path / "recordings")))
    recipe = found.recipe
    assert (recipe.data.name, recipe.protocol.kind, recipe.head.name) == (
        str(tmp_path / "recordings"),
        "auto",
        "logreg",
    )
    assert recipe.title == "recordings: frozen YAMNet, logistic regression on segments"
    assert found.name == "recordings"
    assert found.lines[0] == f"data: the folder {tmp_path / 'recordings'}" and "/weights/yamnet.h5" in found.lines[1]


@pytest.fixture
def without_yamnet(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> Path:
        raise StoreError("no network")

    monkeypatch.setattr(own.download, "get", refuse)


def test_without_yamnets_weights_the_network_that_comes_along_is_used_and_it_says_why(
    tmp_path: Path, without_yamnet: None
) -> None:
    found = plan(str(class_folders(tmp_path / "mine")))
    assert found.recipe == plan(str(tmp_path / "mine"), backbone="small").recipe
    assert (found.recipe.network.name, found.recipe.head.name) == ("small", "logreg")
    assert found.recipe.title == "mine: frozen hubbub-small, logistic regression on segments"
    assert "small, which comes with hubbub, frozen" in found.lines[1] and "no network" in found.lines[1]


@pytest.mark.parametrize("name", ["esc50", "esc10", "urbansound8k"])
def test_what_that_network_has_been_trained_on_is_trained_from_scratch(name: str, without_yamnet: None) -> None:
    found = plan(name)
    assert (found.recipe.network.name, found.recipe.head.name) == ("compact", "none")
    assert "from scratch" in found.lines[1] and "has been trained on these clips" in found.lines[1]


def test_recordings_from_start_to_classifier_by_the_network_that_comes_along(
    tmp_path: Path, without_yamnet: None
) -> None:
    run = hubbub.train(class_folders(tmp_path / "mine"), out=tmp_path / "runs", quiet=True)
    assert run.summary.recipe.startswith("mine: frozen hubbub-small") and run.classifier.labels == ("a", "b", "c")


def test_a_recipe_stays_as_it_is(tmp_path: Path) -> None:
    found = plan("street-cnn", ["train.epochs=2"])
    assert found.name == "street-cnn" and found.recipe.protocol.kind == "kfold" and found.recipe.train.epochs == 2
    file = tmp_path / "mine.toml"
    file.write_text(found.recipe.to_toml())
    assert plan(str(file)).recipe == found.recipe and plan(str(file)).name == "mine"


def test_a_known_data_set_keeps_its_folds() -> None:
    recipe = plan("street", from_scratch=True).recipe
    assert (recipe.data.name, recipe.protocol.kind) == ("street", "auto")


def test_the_run_folder_is_named_after_data_quickness_and_chosen_folds(tmp_path: Path) -> None:
    out = Path("runs")
    named = {
        "mine": plan(str(class_folders(tmp_path / "mine")), from_scratch=True),
        "mine-quick-fold1": plan(str(tmp_path / "mine"), ["protocol.folds=['1']"], from_scratch=True, quick=True),
        "street-cnn-fold1-2": plan("street-cnn", ["protocol.folds=['1-2']"]),
        "mine-street-cnn": plan("street-cnn", [as_setting("data.name", str(tmp_path / "mine"))]),
    }
    for name, planned in named.items():
        run = planned.run(out)
        assert run.folder == out / name and run.renamed and run.quick == ("quick" in name)
    given = named["mine"].run(out, "other", refit=False)
    assert given.folder == out / "other" and not given.renamed and not given.refit
    with pytest.raises(RecipeError, match=r"--name '\.\.' cannot name a folder"):
        named["mine"].run(out, "..")


def test_options_reach_the_recipe(tmp_path: Path) -> None:
    found = plan(
        str(tmp_path), ["train.seeds=[1, 2]"], backbone="resnet18", head="lda", folds=3, group="site", test="more",
        background=True,
    ).recipe  # fmt: skip
    assert (found.network.name, found.network.attention, found.head.name) == ("resnet18", "none", "lda")
    assert (found.protocol.k, found.data.group, found.data.test, found.data.background) == (3, "site", "more", True)
    assert found.train.seeds == (1, 2) and found.frozen
    sets = plan(str(tmp_path), multilabel=True, empty="none", from_scratch=True).recipe.data
    assert sets.multilabel and sets.empty == "none" and not found.data.multilabel


@pytest.mark.parametrize(
    "options, message",
    [
        ({"recipe": "street-cnn", "from_scratch": True}, "--recipe and --from-scratch each name what is trained"),
        ({"from_scratch": True, "head": "lda"}, "--head lda is for a frozen backbone"),
        ({"backbone": "resnet"}, "no shipped recipe has the network 'resnet'"),
    ],
)
def test_options_that_contradict_each_other_are_refused(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        plan(str(tmp_path), **options)


def test_a_recipe_is_not_given_twice() -> None:
    with pytest.raises(RecipeError, match="'street-cnn' is a recipe already, so --backbone cannot name another"):
        plan("street-cnn", backbone="yamnet")


def test_a_misspelt_name_gets_the_nearest_of_any_kind(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    class_folders(tmp_path / "recordings")
    for name, near in (("recodings/", "recordings/"), ("esc5O", "esc50"), ("street-cn", "street-cnn")):
        with pytest.raises(ClipsError, match=f"Did you mean '{near}'"):
            plan(name)


# What is run


@bare()
def test_a_folder_from_start_to_classifier_and_again_with_more_recordings(tmp_path: Path, capsys) -> None:
    folder = class_folders(tmp_path / "recordings")
    run = hubbub.train(folder, from_scratch=True, settings=SMALL, out=tmp_path / "runs", quiet=True)
    assert run.folder == tmp_path / "runs/recordings"
    summary = read_json(run.folder / "summary.json")
    assert summary["recipe"].startswith("recordings: ") and summary["clips"] == 18
    assert summary["protocol"].startswith("5-fold cross-validation over 18 recordings")
    assert run.classifier.labels == ("a", "b", "c") and run.report.is_file()

    again = hubbub.train(folder, from_scratch=True, settings=SMALL, out=tmp_path / "runs", quiet=True)
    assert again.folder == run.folder and read_json(run.folder / "summary.json") == summary
    soundfile.write(folder / "a/new.wav", noise(0.5, 8000, seed=5), 8000)
    capsys.readouterr()
    more = hubbub.train(folder, from_scratch=True, settings=SMALL, out=tmp_path / "runs")
    assert more.folder == tmp_path / "runs/recordings-2" and more.summary.clips == 19
    log = capsys.readouterr().err
    assert log.count("19 clips, 3 classes; reading") == 1, "prepared once, for whichever folder"
    assert f"{run.folder} holds the run of other clips or settings, so this one goes to recordings-2" in log
    assert read_json(run.folder / "summary.json") == summary


@bare()
def test_another_folder_is_the_test_part(tmp_path: Path) -> None:
    folder, test = class_folders(tmp_path / "mine", clips=8), tmp_path / "later"
    for seed, name in enumerate(("a/one.wav", "b/two.wav", "a/three.wav")):
        (test / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(test / name, noise(0.4, 8000, seed=100 + seed), 8000)
    run = hubbub.train(folder, test=test, from_scratch=True, settings=SMALL, out=tmp_path / "runs", quiet=True)
    assert run.summary.clips == 3 and run.summary.protocol.startswith(
        "train on folds train, validate on a part of it, test on test"
    )
    assert any(line.startswith("NEVER TESTED: class 'c'") for line in run.summary.why_not_comparable)
    sounds(test, "wasp/four.wav")
    with pytest.raises(ClipsError, match=r"1 class of the test data cannot be learnt from mine \(wasp\)"):
        hubbub.train(folder, test=test, from_scratch=True, settings=SMALL, out=tmp_path / "runs2", quiet=True)


def test_a_run_of_annotations_names_a_recording_for_the_next_command(tmp_path: Path) -> None:
    sounds(tmp_path, "night.wav", seconds=20)
    spans = [(k, k + 1.5, "ab"[k % 4 // 2]) for k in range(0, 20, 2)]
    (tmp_path / "night.labels.txt").write_text("".join(f"{a}\t{b}\t{label}\n" for a, b, label in spans))
    short = ["windows.length=8000", "windows.hop=8000", "protocol.gap_s=0", "network.width=4"]
    recipe = plan(str(tmp_path / "night.labels.txt"), short, from_scratch=True).recipe
    begun = Performer().perform(Step(RunPlan(recipe, tmp_path / "run"), "begin"))
    assert isinstance(begun, Begun) and begun.recording == str(tmp_path / "night.wav")


def test_one_class_is_refused_before_anything_is_trained_or_downloaded(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("hubbub.models.weights.find_weights", lambda recipe: pytest.fail("weights were asked for"))
    with pytest.raises(hubbub.HubbubError, match="Two classes are needed"):
        hubbub.train(class_folders(tmp_path / "mine", classes=1), from_scratch=True, out=tmp_path / "runs", quiet=True)
    assert not (tmp_path / "runs/mine/recipe.toml").exists()


def test_three_clips_say_what_a_class_needs(tmp_path: Path) -> None:
    sounds(tmp_path / "mine", "a/1.wav", "b/2.wav", "c/3.wav")
    with pytest.raises(hubbub.HubbubError, match="takes two recordings of a class"):
        hubbub.train(tmp_path / "mine", from_scratch=True, out=tmp_path / "runs", quiet=True)
