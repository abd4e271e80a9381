"""recipe: what ships loads, what is written comes back, and what is wrong is named."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from hubbub.cli.options import as_settings
from hubbub.config import recipe as room
from hubbub.config.recipe import Recipe, RecipeError, shipped
from hubbub.config.run_options import common_settings
from hubbub.config.settings import as_setting, short_value
from hubbub.errors import HubbubError
from hubbub.experiment import suite

SMALL: dict[str, Any] = {"data": {"name": "street"}}


def fields(model: type[BaseModel] = Recipe, where: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every field of the recipe and its sections, by its dotted name."""
    for name, field in model.model_fields.items():
        yield where + name, field
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from fields(field.annotation, f"{where}{name}.")


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text('[data]\nname = "street"\n[train]\nepochs = 9\n[quick.train]\nepochs = 2\n', encoding="utf-8")
    return path


@pytest.mark.parametrize("quick", [False, True], ids=["full", "quick"])
@pytest.mark.parametrize("name", shipped())
def test_shipped_recipe_loads_and_comes_back_from_toml(name: str, quick: bool, tmp_path: Path) -> None:
    recipe = Recipe.load(name, quick=quick)
    assert recipe.title == shipped()[name] or (quick and recipe.title)
    path = tmp_path / "again.toml"
    path.write_text(recipe.to_toml(), encoding="utf-8")
    assert Recipe.load(path) == recipe
    assert Recipe.load(path).to_toml() == recipe.to_toml()
    assert Recipe.of(recipe.model_dump(mode="json", exclude_none=True)) == recipe


@pytest.mark.parametrize("name", shipped())
def test_quick_is_another_recipe_on_the_same_data(name: str) -> None:
    full, quick = Recipe.load(name), Recipe.load(name, quick=True)
    assert quick != full
    assert quick.data.name == full.data.name or (full.data.name, quick.data.name) == ("esc50", "esc10")  # its subset
    waiting = [(getattr(quick, section), changes) for section, changes in full.quick.items()]
    for section, changes in waiting:
        for key, value in changes.items():
            now = getattr(section, key)
            if isinstance(value, dict):  # a section in it
                waiting.append((now, value))
            else:
                assert now == (tuple(value) if isinstance(value, list) else value), key


def test_the_ensemble_is_a1_with_an_mlp_beside_it() -> None:
    trees, both = Recipe.load("us8k-yamnet-lgbm"), Recipe.load("us8k-yamnet-ensemble")
    assert both.head.name == "ensemble"
    for section in ("data", "protocol", "audio", "windows", "frontend", "network", "evaluate"):
        assert getattr(both, section) == getattr(trees, section), section
    mlp = {"name", "hidden", "epochs", "learning_rate", "alpha"}
    assert both.head.model_dump(exclude=mlp) == trees.head.model_dump(exclude=mlp)


def test_quick_needs_a_section_of_its_own(written: Path) -> None:
    assert Recipe.load(written).train.epochs == 9
    assert Recipe.load(written, quick=True).train.epochs == 2
    written.write_text('[data]\nname = "street"\n', encoding="utf-8")
    with pytest.raises(RecipeError, match=r"has no \[quick\] section"):
        Recipe.load(written, quick=True)


@pytest.mark.parametrize(
    ("setting", "section", "field", "value"),
    [
        ("train.epochs=3", "train", "epochs", 3),
        ("train.learning_rate=3e-4", "train", "learning_rate", 3e-4),
        ("train.learning_rate = 1", "train", "learning_rate", 1.0),
        ("train.seeds=[1, 2]", "train", "seeds", (1, 2)),
        ("train.device=cpu", "train", "device", "cpu"),
        ('train.device="cpu"', "train", "device", "cpu"),
        ("head.balanced=false", "head", "balanced", False),
        ("head.c=[0.5]", "head", "c", (0.5,)),
        ('protocol.folds=["1","2"]', "protocol", "folds", ("1", "2")),
        ("data.name=/sounds/a=b.csv", "data", "name", "/sounds/a=b.csv"),
        ("data.columns.path=file", "data", "columns", {"path": "file"}),
        ('data.columns={path = "file"}', "data", "columns", {"path": "file"}),
        ("data.root=", "data", "root", ""),
    ],
)
def test_set_overrides_one_field(setting: str, section: str, field: str, value: Any, written: Path) -> None:
    changed = Recipe.load(written, [setting])
    assert getattr(getattr(changed, section), field) == value
    plain = Recipe.load(written).model_dump()
    plain[section][field] = value
    assert changed.model_dump() == plain


def test_set_wins_over_quick_and_the_last_setting_wins(written: Path) -> None:
    assert Recipe.load(written, ["train.epochs=5"], quick=True).train.epochs == 5
    assert Recipe.load(written, ["train.epochs=5", "train.epochs=6"]).train.epochs == 6
    assert Recipe.load(written, ["title=mine"]).title == "mine"


def test_a_retired_setting_is_dropped_from_stored_recipes_and_refused_by_set(written: Path) -> None:
    plain = Recipe.load(written)
    written.write_text(plain.to_toml().replace("[evaluate]\n", "[evaluate]\nresamples = 50\n"))
    assert Recipe.load(written).to_toml() == plain.to_toml()
    for setting in ("evaluate.resamples=50", "evaluate={resamples = 50}"):
        with pytest.raises(RecipeError, match=r"^--set evaluate\.resamples: intervals are computed without drawing"):
            Recipe.load(written, [setting])


def test_quick_takes_its_protocol_for_its_own_kind_alone(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[data]\nname = "street"\n[quick.protocol]\nfolds = ["1"]\n[quick.train]\nepochs = 2\n')
    assert Recipe.load(path, quick=True).protocol.folds == ("1",)
    held_out = Recipe.load(path, ["protocol.kind=holdout"], quick=True)
    assert held_out.protocol.folds == () and held_out.train.epochs == 2


@pytest.mark.parametrize("setting", ["train.epochs", "=3", "", " =3", "train.=3", ".epochs=3", "train..epochs=3"])
def test_a_setting_that_says_nothing_is_refused(setting: str, written: Path) -> None:
    with pytest.raises(RecipeError, match=r"write section\.field=value, for example"):
        Recipe.load(written, [setting])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.epoch=3", r"there is no train\.epoch\. Did you mean 'epochs'\?"),
        ("tran.epochs=3", r"there is no tran\. Did you mean 'train'\?"),
        ("windows.lenght=3", r"there is no windows\.lenght\. Did you mean 'length'\?"),
        ("evaluate.zzz=3", r"there is no evaluate\.zzz\. Known: aim, events, hop, pooling, shifts, unknown\."),
        ("train.epochs=ten", r"train\.epochs: .*valid integer.*\(given: 'ten'\)"),
        ("train.epochs=2.5", r"train\.epochs: .*valid integer.*\(given: 2\.5\)"),
        ("train.epochs=0", r"train\.epochs: .*greater than or equal to 1 \(given: 0\)"),
        ("train.epochs.x=3", r"train\.epochs: .*valid integer"),
        ("train=3", r"train: .*\(given: 3\)"),
        ("train.learning_rate=inf", r"train\.learning_rate: .*finite number"),
        ("train.seeds=[]", r"train\.seeds: .*at least 1 item"),
        ("train.seeds=[-1]", r"train\.seeds\.0: .*greater than or equal to 0"),
        ("head.c=[]", r"head\.c: .*at least 1 item"),
        ("head.c=[0.1, 0.0]", r"head\.c\.1: .*greater than 0"),
        ("head.shrinkage=[1.5]", r"head\.shrinkage\.0: .*less than or equal to 1"),
        ("head.shrinkage=[]", r"head\.shrinkage: .*at least 1 item"),
        ("head.c=0.1", r"head\.c: .*valid tuple \(given: 0\.1\)"),
        ("head.epochs=[0]", r"head\.epochs\.0: .*greater than 0"),
        ("head.name=forest", r"head\.name: .*'logreg'.*\(given: 'forest'\)"),
        ("windows.hop=15601", r"windows: a hop of 15601 samples leaves gaps between segments of 15600"),
        ("protocol.test_ratio=1.0", r"protocol\.test_ratio: .*less than 1"),
    ],
)
def test_what_is_wrong_is_named(setting: str, message: str, written: Path) -> None:
    with pytest.raises(RecipeError, match=f"^{written}: {message}"):
        Recipe.load(written, [setting])


def test_everything_wrong_is_named_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.of({"data": {}, "train": {"epochs": 0, "lr": 1}}, "mine")
    for part in ("mine: ", "data.name: Field required", "train.epochs", "there is no train.lr"):
        assert part in str(caught.value)
    assert isinstance(caught.value, HubbubError)


def test_a_long_value_is_not_repeated_whole() -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.of({**SMALL, "train": {"epochs": "x" * 10_000}})
    assert len(str(caught.value)) < 300


def test_hop_may_be_as_long_as_the_window() -> None:
    assert Recipe.of({**SMALL, "windows": {"length": 100, "hop": 100}}).windows.hop == 100


@pytest.mark.parametrize(
    ("head", "tried"),
    [
        ({"name": "logreg", "c": [0.1, 0.2]}, "c"),
        ({"name": "lda", "shrinkage": [0.1, 0.2]}, "shrinkage"),
        ({"name": "mlp", "epochs": [1, 2]}, "epochs"),
        ({"name": "ensemble", "epochs": [1, 2]}, "epochs"),
    ],
)
def test_without_validation_nothing_may_be_chosen(head: dict[str, Any], tried: str) -> None:
    content = {**SMALL, "protocol": {"validation": "none"}, "head": head}
    with pytest.raises(RecipeError, match=rf"protocol\.validation is 'none', so head\.{tried} must hold one value"):
        Recipe.of(content)
    # One value is no choice, and another head's values are none of this one's.
    Recipe.of({**content, "head": {**head, tried: head[tried][:1]}})
    Recipe.of({**content, "protocol": {"validation": "next"}})


@pytest.mark.parametrize("head", ["none", "lightgbm"])
def test_what_chooses_nothing_needs_no_validation(head: str) -> None:
    assert Recipe.of({**SMALL, "protocol": {"validation": "none"}, "head": {"name": head}}).head.name == head


def test_an_unknown_recipe_names_the_near_one(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"'esc50-yamnt' is not a shipped recipe.*Did you mean '.*esc50-yamnet'"):
        Recipe.load("esc50-yamnt")
    with pytest.raises(RecipeError, match=r"missing\.toml is not a file"):
        Recipe.load(tmp_path / "missing.toml")


@pytest.mark.parametrize(
    "content", [b"[data\nname = 1", b"[data]\nname = street", b'title = "caf\xe9"', b"a = 1\na = 2"]
)
def test_invalid_toml_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=r"broken\.toml is not valid TOML"):
        Recipe.load(path)


def test_frozen() -> None:
    recipe = Recipe.of(SMALL)
    with pytest.raises(ValidationError, match="frozen"):
        recipe.title = "other"
    with pytest.raises(ValidationError, match="frozen"):
        recipe.train.epochs = 3


def test_every_field_is_described() -> None:
    missing = [
        name
        for name, field in fields()
        if not field.description
        and not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel))
    ]
    assert missing == []
    sections = [
        f.annotation for _, f in fields() if isinstance(f.annotation, type) and issubclass(f.annotation, BaseModel)
    ]
    assert len(sections) == 10
    assert all(section.__doc__ for section in sections)


def test_toml_can_say_everything() -> None:
    # TOML has no null: where a field may be None, that must be its default, or it could not be written.
    optional = {name: field.default for name, field in fields() if NoneType in get_args(field.annotation)}
    assert optional
    assert optional == dict.fromkeys(optional)


def test_changed_values_come_back(tmp_path: Path) -> None:
    recipe = Recipe.of(
        {
            "title": 'quotes " and \\ and ü',
            "data": {"name": "C:\\sounds", "columns": {"path": "file name"}, "labels": ["é", "b"], "limit": 3},
            "frontend": {"name": "logmel", "win_length": 400, "f_max_hz": 7500.0, "top_db": 0.0, "offset": 1e-12},
            "quick": {"train": {"epochs": 1}},
        }
    )
    path = tmp_path / "again.toml"
    path.write_text(recipe.to_toml(), encoding="utf-8")
    assert Recipe.load(path) == recipe
    assert Recipe.load(path, quick=True).train.epochs == 1


def test_a_recipe_without_its_search_has_its_reduced_form_still(tmp_path: Path) -> None:
    """As a search's best.toml: [quick] may reduce a search that is no longer there."""
    recipe = Recipe.load("esc50-resnet18-validation")
    assert "tune" in recipe.quick
    (tmp_path / "best.toml").write_text(recipe.altered({"train.batch_size": 4}).to_toml(), encoding="utf-8")
    reduced = Recipe.load(tmp_path / "best.toml", quick=True)
    assert (reduced.tune, reduced.data.name) == (None, "esc10")


def test_written_out_in_full() -> None:
    content = tomllib.loads(Recipe.of(SMALL).to_toml())
    written = {f"{section}.{key}" for section, keys in content.items() if isinstance(keys, dict) for key in keys}
    expected = {name for name, field in fields() if "." in name and field.default is not None}
    assert written == expected


def test_public_names() -> None:
    assert all(hasattr(room, name) for name in room.__all__)


@pytest.mark.parametrize("name", ["time_shift", "freq_shift", "magnitude", "time_mask", "freq_mask", "patches"])
def test_what_changes_spectrograms_needs_a_front_end(name: str) -> None:
    with pytest.raises(RecipeError, match=rf"augment\.{name} changes spectrograms, and frontend\.name is 'none'"):
        Recipe.of(SMALL | {"augment": {name: {}}})
    given = SMALL | {"frontend": {"name": "logmel"}, "augment": {name: {}}}
    assert getattr(Recipe.of(given).augment, name) is not None
    # What mixes waves and pictures alike does not.
    assert Recipe.of(SMALL | {"augment": {"mixup": {}, "between": {}}}).augment.mixup is not None


@pytest.mark.parametrize(
    "frozen", [{"head": {"name": "lda"}}, {"network": {"mode": "head"}}, {"network": {"mode": "auto"}}]
)
def test_statistics_of_the_training_part_are_not_for_frozen_networks(frozen: dict[str, Any]) -> None:
    learnt = SMALL | {"frontend": {"name": "logmel", "standardise": "training"}}
    with pytest.raises(RecipeError, match=r"standardise = 'training' differs between folds.*imagenet, half or none"):
        Recipe.of(learnt | frozen)
    assert Recipe.of(learnt).frontend.standardise == "training"
    fixed = SMALL | {"frontend": {"name": "logmel", "scale": "minmax", "standardise": "imagenet"}}
    assert Recipe.of(fixed | frozen).frontend.standardise == "imagenet"


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        ({"kind": "logo", "train": ["03"]}, "kind 'logo' does not use train"),
        ({"kind": "kfold", "test": ["5"]}, "kind 'kfold' does not use test"),
        ({"kind": "holdout", "folds": ["1"]}, "kind 'holdout' does not use folds"),
        ({"kind": "fixed", "train": ["1"], "test": ["2"], "folds": ["2"]}, "kind 'fixed' does not use folds"),
        ({"kind": "csv", "train": ["a.csv", "b.csv"]}, "kind 'csv' takes one file per part"),
        ({"kind": "fixed", "train": ["1"], "val": ["2"], "test": ["3"], "validation": "none"}, "val must be empty"),
    ],
)
def test_a_part_that_would_be_ignored_is_refused(protocol: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Recipe.of(SMALL | {"protocol": protocol})


@pytest.mark.parametrize("name", ["imagenet", "half"])
def test_published_figures_are_for_values_from_0_to_1(name: str) -> None:
    with pytest.raises(RecipeError, match=rf"standardise = '{name}' is for values from 0 to 1: set scale"):
        Recipe.of(SMALL | {"frontend": {"name": "logmel", "standardise": name}})


@pytest.mark.parametrize("name", ["framewise", "yamnet_framewise"])
def test_frames_are_learnt_by_the_network_and_scored_once(name: str) -> None:
    beside = {"length": "10 s", "hop": "10 s"}
    sections = SMALL | {"windows": beside, "network": {"name": name, "mode": "head"}}
    assert Recipe.of(sections).framewise and not Recipe.of(sections).frozen
    with pytest.raises(RecipeError, match=rf"'{name}' has one a frame: set head\.name = 'none'"):
        Recipe.of(sections | {"head": {"name": "logreg"}})
    with pytest.raises(RecipeError, match=r"windows\.hop 80000 is not windows\.length 160000"):
        Recipe.of(sections | {"windows": beside | {"hop": "5 s"}})
    with pytest.raises(RecipeError, match=r"evaluate\.hop 80000 is not windows\.length 160000"):
        Recipe.of(sections | {"evaluate": {"hop": "5 s"}})


def test_no_head_hears_through_attention_that_never_learnt() -> None:
    sections = SMALL | {"network": {"name": "resnet18", "attention": "cbam"}}
    assert Recipe.of(sections | {"head": {"name": "none"}}).network.attention == "cbam"
    with pytest.raises(RecipeError, match=r"network\.attention must be trained"):
        Recipe.of(sections | {"head": {"name": "logreg"}})


@pytest.mark.parametrize("columns", [{"path": "my file", "label": 'a "kind"'}, {"end": "x = 1", "a b": "]"}, {}])
def test_a_table_is_a_setting_too(columns: dict[str, str]) -> None:
    assert Recipe.load("street-cnn", [as_setting("data.columns", columns)]).data.columns == columns


@pytest.mark.parametrize("setting", ["quick.data.labels=[inf]", "quick.network.name=nan"])
def test_numbers_of_the_reduced_form_are_finite(setting: str) -> None:
    with pytest.raises(RecipeError, match="is no finite number"):
        Recipe.load("street-cnn", [setting])


# Hostile recipes

_FIELDS = [name for name, _ in fields() if "." in name]
_VALUES = st.one_of(
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=20),
    st.booleans(),
    st.lists(st.one_of(st.integers(-5, 2**70), st.text(max_size=5), st.floats()), max_size=4),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
    st.sampled_from([2**32, 2**64, [42, 42], ["1", "1"], float("nan"), "../x", "\0", "", [[[[1]]]], {"a": {"b": {}}}]),
)


@settings(max_examples=200)
@given(st.sampled_from([*_FIELDS, "quick", "tune", "train", "title", "x", *(f"quick.{f}" for f in _FIELDS)]), _VALUES)
def test_hostile_settings_hold_or_are_refused(field: str, value: Any) -> None:
    """Whatever a setting is, in a file or by --set: a recipe that can be written and read again, or a `RecipeError`."""
    setting = as_setting(field, value)
    for quick in (False, True):
        try:
            held = Recipe.load("street-cnn", [setting], quick=quick)
        except RecipeError as error:
            assert len(str(error)) < 3000
        else:
            assert Recipe.of(tomllib.loads(held.to_toml())) == held


@settings(max_examples=200)
@given(
    text=st.one_of(st.text(max_size=300), st.binary(max_size=300).map(lambda b: b.decode("latin-1"))),
    as_set=st.booleans(),
)
def test_hostile_files_and_texts_are_refused(text: str, as_set: bool, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.getbasetemp() / "hostile.toml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        if as_set:
            read = [Recipe.load("street-cnn", [text])]
        else:
            read = [run.recipe for run in suite.runs_of([str(file)], Path("runs"))]
    except HubbubError as error:
        assert 0 < len(str(error)) < 3000
    else:
        assert read and all(Recipe.of(tomllib.loads(recipe.to_toml())) == recipe for recipe in read)


NESTED = "[" * 20_000 + "]" * 20_000


@pytest.mark.parametrize(
    "text",
    [
        f"x = {NESTED}", f'recipes = {NESTED}', f"[train]\nepochs = {NESTED}", "[" + "a." * 20_000 + "a]",
        "x = " + "{a = " * 20_000 + "1" + "}" * 20_000, f"x = {'9' * 5000}", f"x = 0x{'f' * 5000}",
        f"[train]\nepochs = 0x{'f' * 5000}",
    ],
)  # fmt: skip
def test_deep_and_long_files_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError):
        suite.runs_of([str(tmp_path / "x.toml")], tmp_path)
    with pytest.raises(RecipeError):
        Recipe.load("street-cnn", ["train.epochs=" + text.partition("= ")[2] if "= " in text else text + "=1"])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.seeds=[42,42]", r"train\.seeds: 42 is named twice: name each once"),
        ("train.seeds=[18446744073709551616]", r"train\.seeds\.0: .*less than or equal to 4294967295"),
        ("train.seeds=[-1]", r"train\.seeds\.0: .*greater than or equal to 0"),
        ("protocol.seed=4294967296", r"protocol\.seed: .*less than or equal to 4294967295"),
        ('protocol.folds=["1","2","1"]', r"protocol\.folds: '1' is named twice"),
        ('data.held_out=["dog","dog"]', r"data\.held_out: 'dog' is named twice"),
        ('quick="x"', r"quick: .*valid dictionary \(given: 'x'\)"),
        ("quick=[1]", r"quick: .*valid dictionary"),
        ("quick.train.epochs=nan", r"quick: train\.epochs: .*(finite|integer)"),
        ("quick.train.learning_rate=inf", r"quick: train\.learning_rate: .*finite"),
        ("quick.train.epochs=many", r"quick: train\.epochs: .*valid integer"),
        ("quick.train.epoch=1", r"quick: there is no train\.epoch\. Did you mean 'epochs'"),
        ("quick.quick.train.epochs=1", r"quick: .*no section quick of its own"),
        ("train.epochs=1000000000000000000000000000000", r"train\.epochs: .*"),
        ("train.batch_size=2000000000", r"train\.batch_size: .*less than or equal to 1048576"),
        ("windows.length=1000000000000", r"windows\.length: .*less than or equal to 67108864"),
    ],
)
def test_settings_that_no_run_can_hold_are_refused_before_it(setting: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Recipe.load("street-cnn", [setting])


def test_the_largest_seed_is_one_that_every_library_takes() -> None:
    assert Recipe.load("street-cnn", [f"train.seeds=[0,{2**32 - 1}]"]).train.seeds == (0, 2**32 - 1)


def test_the_command_refuses_a_seed_named_twice() -> None:
    with pytest.raises(RecipeError, match="42 is named twice"):
        Recipe.load("street-cnn", as_settings(None, None, seeds="42,42"))


def test_the_command_and_python_make_the_same_settings() -> None:
    typed = as_settings(["train.epochs=1"], "cpu", "1, 2", "42,43", True, True)
    given = common_settings({"train.epochs": 1}, ["1", 2], [42, 43], "cpu", True, True)
    assert Recipe.load("street-cnn", typed) == Recipe.load("street-cnn", given)
    assert as_settings(None, None) == common_settings() == []


def test_the_reduced_form_of_a_protocol_goes_with_the_protocol() -> None:
    assert Recipe.load("street-cnn", quick=True).protocol.folds == ("1",)
    held = Recipe.load("street-cnn", ["protocol.kind=holdout"], quick=True)
    assert held.protocol.kind == "holdout" and held.protocol.folds == () and held.train.epochs == 2


@pytest.mark.parametrize(("name", "fold"), [("us8k-resnet18", "3"), ("emodb-resnet50", "08"), ("esc50-alexnet", "4")])
def test_a_fold_may_be_asked_for_in_the_reduced_form(name: str, fold: str) -> None:
    """The reduced form of these recipes names its own folds, which give way."""
    recipe = Recipe.load(name, [f'protocol.folds=["{fold}"]'], quick=True)
    assert recipe.protocol == Recipe.load(name).protocol.model_copy(update={"folds": (fold,)})
    assert recipe.train.epochs == Recipe.load(name, quick=True).train.epochs


def test_a_wrong_seed_is_told_once() -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.load("street-cnn", ["train.seeds=[-1]"])
    assert "at least 1 item" not in str(caught.value) and "-1" in str(caught.value)


def test_a_value_is_short_for_people() -> None:
    assert short_value([0.00012345678, 8, "mean_prob", [True]]) == "[0.0001235, 8, mean_prob, [True]]"
