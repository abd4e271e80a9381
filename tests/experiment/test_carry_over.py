"""--from: the settings that a search found, in another recipe, which keeps its data, protocol and title."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hubbub.cli.main import app
from hubbub.config.recipe import Recipe, RecipeError, shipped
from hubbub.errors import HubbubError
from hubbub.experiment import suite
from hubbub.experiment.carry_over import carry_over
from hubbub.experiment.own import plan
from tests.helpers.command_line import parsed

FINAL = "esc50-resnet18-final"
FOUND = {
    "train.batch_size": 16,
    "train.weight_decay": 3e-4,
    "train.plateau_factor": 0.3,
    "network.dropout": 0.3,
    "augment.time_shift": {"p": 0.5, "fraction": 0.2},
}
Best = Callable[..., Path]


@pytest.fixture
def best(tmp_path: Path) -> Best:
    """Writes the best recipe of a search, as the search does, and returns its folder."""

    def write(name: str = "esc50-resnet18-validation", fields: dict[str, Any] = FOUND, *settings: str) -> Path:
        folder = tmp_path / "search"
        folder.mkdir(exist_ok=True)
        (folder / "best.toml").write_text(Recipe.load(name, settings).altered(fields).to_toml(), "utf-8")
        return folder

    return write


def final(source: Path, name: str = FINAL, *settings: str, quick: bool = False) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe that `hubbub bench NAME --from SOURCE` runs, and what it says."""
    carried = carry_over(source, Recipe.load(name, settings), name)
    (run,) = suite.runs_of(
        [name], Path("runs"), settings=[*carried.settings, *settings], quick=quick, sections=carried.sections
    )
    return run.recipe, carried.lines


@pytest.mark.parametrize("file", ["", "best.toml"])
def test_data_protocol_and_title_stay_and_the_searched_settings_come(best: Best, file: str) -> None:
    recipe, _ = final(best() / file)
    before = Recipe.load(FINAL)
    assert recipe.title == shipped()[FINAL]
    assert (recipe.data, recipe.protocol, recipe.evaluate) == (before.data, before.protocol, before.evaluate)
    assert (recipe.train.batch_size, recipe.train.weight_decay, recipe.network.dropout) == (16, 3e-4, 0.3)
    assert recipe.augment.time_shift is not None and recipe.augment.time_shift.fraction == 0.2
    assert recipe.train.seeds == before.train.seeds


def test_a_plateau_becomes_the_rate_that_ends_where_two_of_its_reductions_would(best: Best) -> None:
    recipe, lines = final(best())
    assert recipe.train.schedule == "exponential"
    assert recipe.train.gamma**recipe.train.epochs == pytest.approx(0.3**2, rel=0.01)
    (line,) = (line for line in lines if line.startswith("train.schedule"))
    assert "plateau needs a validation part" in line and "exponential, gamma 0.953" in line
    shipped_rule, _ = final(best(fields={"network.dropout": 0.0}))
    assert shipped_rule.train.gamma == pytest.approx(Recipe.load(FINAL).train.gamma, abs=5e-4), "the recipe's own rule"


def test_without_a_plateau_the_schedule_comes_as_it_is(best: Best) -> None:
    recipe, lines = final(best(fields={"train.schedule": "constant"}))
    assert recipe.train.schedule == "constant"
    assert len(lines) == 1


def test_what_came_is_said_in_one_line(best: Best) -> None:
    _, lines = final(best())
    assert "train.batch_size = 16" in lines[0] and "augment.time_shift.fraction = 0.2" in lines[0]
    assert "seeds" not in lines[0] and "protocol" not in lines[0]


def test_the_run_has_a_folder_of_its_own(best: Best) -> None:
    carried = carry_over(best(), Recipe.load(FINAL), FINAL)
    for quick, name in ((False, f"{FINAL}-tuned"), (True, f"{FINAL}-quick-tuned")):
        (run,) = suite.runs_of([FINAL], Path("runs"), quick=quick, sections=carried.sections)
        assert run.folder == Path("runs") / name


def test_settings_on_the_command_line_and_the_small_form_win(best: Best) -> None:
    assert final(best(), FINAL, "train.batch_size=4")[0].train.batch_size == 4
    assert final(best(), quick=True)[0].train.epochs == 3


def test_a_searched_network_is_in_the_title(best: Best) -> None:
    recipe, _ = final(best(fields={"network.width": 32}))
    assert recipe.title.startswith("ESC-50, folds 1-4, tested on fold 5: ResNet18, width 32,")


def test_of_a_heads_candidates_the_middle_one_stays_where_nothing_chooses(best: Best) -> None:
    fixed = ["protocol.kind=fixed", 'protocol.train=["1","2"]', 'protocol.val=["3"]', 'protocol.test=["4"]']
    folder = best("esc50-yamnet", {"head.c": [0.1, 0.2, 0.4]}, *fixed)
    final_form = ["protocol.validation=none", *fixed[:2], 'protocol.test=["5"]', "head.c=[1.0]"]
    carried = carry_over(folder, Recipe.load("esc50-yamnet", final_form), "esc50-yamnet")
    assert carried.sections["head"]["c"] == [0.2]
    assert carried.lines[1] == "head.c: no validation part chooses among 0.1, 0.2, 0.4; instead: 0.2"


def test_settings_of_another_network_are_refused_with_settings_that_can_be_typed(best: Best) -> None:
    folder = best()
    with pytest.raises(RecipeError, match=r"network.name = 'resnet18'.* has .*'compact'.*--set") as refused:
        final(folder, "esc50-compact")
    typed = [part.strip(" .") for part in str(refused.value).split(" or ", 1)[1].split("--set ")[1:]]
    with pytest.raises(RecipeError, match="tests on all folds"):  # the next rule: the settings were accepted
        final(folder, "esc50-compact", *typed)


def test_the_fold_that_a_search_left_out_is_the_only_one_that_is_tested(best: Best) -> None:
    folder = best("esc50-compact", {"protocol.folds": ["2"], "train.epochs": 40})
    recipe, lines = final(folder, "esc50-compact")
    assert recipe.protocol.folds == ("2",)
    assert lines[-1] == "tested on fold 2 alone: the search used the others"
    with pytest.raises(RecipeError, match=r"tests on fold 1, 2, .*Test on fold 2\."):
        final(folder, "esc50-compact", 'protocol.folds=["1","2"]')


@pytest.mark.parametrize(
    ("recipe", "settings", "message"),
    [
        ("esc50-resnet18-cv", (), "tests on all folds.*Test on folds other than 1, 2, 3, 4"),
        (FINAL, ('protocol.train=["1","2","5"]', 'protocol.test=["4"]'), "tests on fold 4, and the search used"),
        (FINAL, ("protocol.kind=holdout", "protocol.train=[]", "protocol.test=[]"), "by protocol 'fixed'.*'holdout'"),
    ],
)
def test_no_recipe_tests_on_what_the_search_used(best: Best, recipe: str, settings: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        final(best(), recipe, *settings)


def test_other_data_have_no_clip_that_the_search_used(best: Best) -> None:
    recipe, _ = final(best(), "esc50-resnet18-cv", "data.name=urbansound8k")
    assert recipe.data.name == "urbansound8k"


def test_train_takes_it_too_with_recipes_and_with_data(best: Best, tmp_path: Path) -> None:
    folder = best()
    made = plan(FINAL, source=folder)
    assert (made.name, made.recipe.train.batch_size) == (f"{FINAL}-tuned", 16)
    own = plan(str(tmp_path), recipe=FINAL, source=folder)
    assert own.name == f"{tmp_path.name}-tuned"
    assert (own.recipe.network.dropout, own.recipe.protocol.kind) == (0.3, "auto")
    with pytest.raises(RecipeError, match="Leave --head out"):
        plan(FINAL, head="lda", source=folder)


def test_the_option_is_on_both_commands_and_for_one_recipe(best: Best) -> None:
    for command in ("bench", "train"):
        _, given = parsed(f"hubbub {command} {FINAL} --from {best()}")
        assert given["found"] == best()
    with pytest.raises(HubbubError, match="Name one recipe"):
        app(["bench", "esc50-all", "--from", str(best())], standalone_mode=False)
