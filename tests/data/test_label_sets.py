"""label_sets: each way to write several labels gives the same sets, or an error that says what to write."""

import numpy as np
import pandas as pd
import pytest

from hubbub.data.clips import ClipsError
from hubbub.data.label_sets import LabelSets, class_columns, from_class_columns, from_column, from_rows

SETS = [{"Dog", "Rain"}, {"Dog"}, {"Cat"}, {"Cat", "Dog", "Rain"}]


def table(labels: list[str], paths: list[str] | None = None, **columns: list[str]) -> pd.DataFrame:
    """Rows as `text_tables.read` gives them, numbered from 2."""
    rows = {"path": paths or [f"{n}.wav" for n in range(len(labels))], "label": labels, **columns}
    return pd.DataFrame(rows, index=pd.RangeIndex(2, len(labels) + 2, name="row"), dtype=object)


def marks(paths: list[str], **columns: list[str]) -> pd.DataFrame:
    """Rows with a column a class."""
    return table([""] * len(paths), paths, **columns).drop(columns="label")


def sets(found: LabelSets) -> list[set[str]]:
    return [set(labels) for labels in found.table["labels"]]


def kinds(found: LabelSets) -> list[str]:
    return [note.partition(": ")[0] for note in found.notes]


# One result from every form


@pytest.mark.parametrize("sign", [",", ";", "|", ", ", " | "])
def test_labels_in_one_cell(sign: str) -> None:
    found = from_column(table([sign.join(sorted(labels)) for labels in SETS]), "list.csv")
    assert sets(found) == SETS and found.classes == ("Cat", "Dog", "Rain") and found.notes == ()
    assert found.targets().tolist() == [[c in labels for c in ("Cat", "Dog", "Rain")] for labels in SETS]
    assert found.known().all() and found.targets().dtype == bool


def test_several_rows_a_file() -> None:
    rows = [(f"{n}.wav", label) for n, labels in enumerate(SETS) for label in sorted(labels)]
    rows = rows[::2] + rows[1::2]
    found = from_rows(table([label for _, label in rows], [path for path, _ in rows]), "list.csv")
    by_path = dict(zip(found.table["path"], sets(found), strict=True))
    assert by_path == {f"{n}.wav": labels for n, labels in enumerate(SETS)}


def test_one_column_a_class() -> None:
    columns = {name: [str(int(name in labels)) for labels in SETS] for name in ("Rain", "Dog", "Cat")}
    found = from_class_columns(marks([f"{n}.wav" for n in range(4)], **columns), "list.csv")
    assert sets(found) == SETS and found.classes == ("Rain", "Dog", "Cat"), "in the order of the columns"


def test_a_separator_of_ones_own_and_rows_of_one_file_with_several_labels_each() -> None:
    found = from_column(table(["Dog+Rain", "Cat", "Rain+Owl"], ["a", "b", "a"]), "list.csv", "+")
    assert sets(found) == [{"Dog", "Rain", "Owl"}, {"Cat"}]


def test_parts_of_a_file_are_clips_and_groups_and_folds_stay() -> None:
    found = from_rows(
        table(["Dog", "Cat", "Rain"], ["a", "a", "a"], start=["0", "5", "0"], end=["5", "9", "5"], group=["x"] * 3,
              fold=["1", "2", "1"]), "list.csv",
    )  # fmt: skip
    assert sets(found) == [{"Dog", "Rain"}, {"Cat"}]
    assert found.table[["start", "end", "group", "fold"]].to_numpy().tolist() == [
        ["0", "5", "x", "1"], ["5", "9", "x", "2"]
    ]  # fmt: skip
    assert found.table.index.tolist() == [2, 3]


def test_a_repeated_label_counts_once_and_is_said() -> None:
    found = from_rows(table(["Dog", "Dog", "Cat"], ["a", "a", "b"]), "list.csv")
    assert sets(found) == [{"Dog"}, {"Cat"}] and kinds(found) == ["REPEATED LABELS"]


def test_labels_are_cleaned_and_similar_ones_are_said() -> None:
    found = from_column(table([" Dog ; Rain;", "Dog;dog"]), "list.csv")
    assert sets(found) == [{"Dog", "Rain"}, {"Dog", "dog"}] and "SIMILAR LABELS" in kinds(found)


# Separators


def test_two_separators_are_refused_and_one_can_be_named() -> None:
    rows = table(["Rain, heavy;Dog", "Rain, light", "Dog;Cat"])
    with pytest.raises(ClipsError, match=r"may be separated by ',' and ';', as both are in its cells\. Name the"):
        from_column(rows, "list.csv")
    assert sets(from_column(rows, "list.csv", ";")) == [{"Rain, heavy", "Dog"}, {"Rain, light"}, {"Dog", "Cat"}]


def test_a_quoted_label_holds_the_separator() -> None:
    found = from_column(table(['"Rain, heavy",Dog', 'Cat, "Rain, heavy"', "Dog"]), "list.csv")
    assert sets(found) == [{"Rain, heavy", "Dog"}, {"Cat", "Rain, heavy"}, {"Dog"}]
    with pytest.raises(ClipsError, match=r"in row 3 cannot be told apart .* Close the quotation marks"):
        from_column(table(["Cat,Dog", '"Rain, heavy,Dog']), "list.csv")


def test_an_unquoted_label_with_the_separator_is_refused_with_advice() -> None:
    with pytest.raises(
        ClipsError, match=r"'Rain, heavy' in row 2 may be one label or two.*written with quotation marks"
    ):
        from_column(table(["Rain, heavy,Dog", "Cat,Dog"]), "list.csv")
    # What follows the blank is a label elsewhere: a careless list, not a name.
    assert sets(from_column(table(["Cat, Rain,Dog", "Rain,Dog"]), "list.csv"))[0] == {"Cat", "Rain", "Dog"}
    with pytest.raises(ClipsError, match="row 3 holds the label 'Rain, heavy' without quotation marks"):
        from_column(table(["Dog,Cat", "Rain, heavy,Dog"]), "list.csv", classes=("Rain, heavy", "Dog", "Cat"))


def test_a_known_class_alone_in_its_cell_is_that_class() -> None:
    found = from_column(table(["Rain, heavy", "Dog"]), "list.csv", classes=("Rain, heavy", "Dog"))
    assert sets(found) == [{"Rain, heavy"}, {"Dog"}]


def test_labels_that_are_never_apart_are_said_to_be_perhaps_one() -> None:
    found = from_column(table(["Rain, heavy", "Dog, Rain, heavy", "Rain, heavy, Cat", "Dog, Cat"]), "list.csv")
    (note,) = found.notes
    assert note.startswith("ALWAYS TOGETHER: ") and "'Rain, heavy'" in note


# Clips without labels, and classes that nobody annotated


def test_what_a_clip_without_labels_means_must_be_said() -> None:
    rows = table(["Dog;Cat", "", "Cat"])
    with pytest.raises(ClipsError, match=r"1 clip has no label \(row 3\)\. Say whether such clips hold none"):
        from_column(rows, "list.csv")
    none = from_column(rows, "list.csv", empty="none")
    assert sets(none) == [{"Dog", "Cat"}, set(), {"Cat"}] and none.known().all()
    assert kinds(none) == ["WITHOUT LABELS"]
    left = from_column(rows, "list.csv", empty="unlabelled")
    assert sets(left) == [{"Dog", "Cat"}, {"Cat"}] and kinds(left)[0] == "UNLABELLED"


def test_a_gap_in_a_class_column_is_neither_present_nor_absent() -> None:
    found = from_class_columns(marks(list("abcd"), Dog=["1", "0", "", "-1"], Cat=["TRUE", "", "no", "?"]), "list.csv")
    assert found.targets().tolist() == [[True, True], [False, False], [False, False]]
    assert found.known().tolist() == [[True, True], [True, False], [False, True]]
    assert "UNLABELLED" in kinds(found), "the last clip, about which nothing is said, is left out"


def test_rows_of_one_file_add_to_what_is_known() -> None:
    found = from_class_columns(marks(["a", "a", "b"], Dog=["1", "", "0"], Cat=["", "0", "1"]), "list.csv")
    assert found.targets().tolist() == [[True, False], [False, True]] and found.known().all()
    with pytest.raises(ClipsError, match="one row of the clip 'a' has the class 'Dog' and another excludes it"):
        from_class_columns(marks(["a", "a"], Dog=["1", "0"], Cat=["1", "1"]), "list.csv")


def test_class_columns_are_told_by_their_cells() -> None:
    rows = marks(list("ab"), fold=["1", "0"], Dog=["1", "0"], place=["field", "wood"], Cat=["yes", ""], gaps=["", ""],
                 loudness=["1", "0.5"])  # fmt: skip
    assert class_columns(rows) == ("Dog", "Cat")
    with pytest.raises(ClipsError, match=r"class column 'loudness' has '0\.5' in row 3\. Write 1 where"):
        from_class_columns(rows, "list.csv", ("Dog", "loudness"))
    with pytest.raises(ClipsError, match="has no column 'Dogs'"):
        from_class_columns(rows, "list.csv", ("Dogs",))
    with pytest.raises(ClipsError, match="has no column of 0 and 1"):
        from_class_columns(rows[["path", "place"]], "list.csv")


# Classes and contradictions


def test_classes_never_and_always_present_are_found() -> None:
    found = from_column(table(["Dog,Rain", "Rain", "Cat,Rain"]), "list.csv", classes=("Dog", "Cat", "Rain", "Owl"))
    never, always = found.notes
    assert never.startswith("NEVER PRESENT: no clip holds the class 'Owl'; ")
    assert always.startswith("ALWAYS PRESENT: ") and "holds the class 'Rain'; " in always
    known = from_class_columns(marks(list("abc"), Dog=["1", "", "1"], Cat=["0", "1", "0"]), "list.csv")
    assert kinds(known) == ["ALWAYS PRESENT"], "where it was annotated"


@pytest.mark.parametrize(
    "rows, message",
    [
        (
            table(["Dog", "Cat"], ["a", "a"], group=["x", "y"]),
            "rows 2 and 3 are of one clip, and have the group 'x' and",
        ),
        (table(["Dog", "Cat"], ["a", "a"], fold=["1", "2"]), "have the fold '1' and '2'"),
        (table(["Dog", "Cat"], ["a", " "]), "row 3 names no file"),
        (table(["", ""]), "no row has a label"),
        (table([]), "lists no clips"),
    ],
)
def test_contradictions_are_refused_with_their_rows(rows: pd.DataFrame, message: str) -> None:
    with pytest.raises(ClipsError, match=message):
        from_rows(rows, "list.csv")


def test_a_label_that_is_none_of_the_classes_is_refused() -> None:
    with pytest.raises(ClipsError, match=r"unknown label 'Dgo' in row 3\. Did you mean 'Dog'"):
        from_column(table(["Dog,Cat", "Dgo,Cat"]), "list.csv", classes=("Dog", "Cat"))


def test_what_is_no_name_and_no_separator_is_refused() -> None:
    with pytest.raises(ClipsError, match=r"has 300 characters or a line break"):
        from_column(table(["Dog,Cat", f"Dog,{'x' * 300}"]), "list.csv")
    with pytest.raises(ClipsError, match=r"the separator ', ' has 2 signs\. Name one sign"):
        from_column(table(["Dog, Cat"]), "list.csv", ", ")


def test_many_clips_are_read_as_they_are() -> None:
    rng, names = np.random.default_rng(0), np.array([f"class {k}" for k in range(20)])
    truth = rng.random((300, 20)) < 0.2
    truth[~truth.any(axis=1), 0] = True
    found = from_column(
        table([";".join(rng.permutation(names[row])) for row in truth]), "list.csv", classes=tuple(names)
    )
    np.testing.assert_array_equal(found.targets(), truth)
