"""Checks of a data set (classes, files, copies, differences between classes as files) and of a recipe's splits."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd

from hubbub.config.recipe import Recipe
from hubbub.data import arrays, cache, confounds, images, near_duplicates, splits, values
from hubbub.data.clips import Clips, hold_out
from hubbub.data.datasets import DATASETS
from hubbub.data.findings import ClassFacts, DataCheck, Finding, SetFacts, in_order
from hubbub.data.folds import JOINED, decide
from hubbub.data.inputs import Inputs
from hubbub.data.leaks import Audit, audit, duplicates
from hubbub.data.near_duplicates import NearDuplicate
from hubbub.data.open import data_recipe, open_clips
from hubbub.data.sound_findings import confound_findings, copies, file_properties, sound_findings
from hubbub.errors import count, examples

__all__ = ["check_data", "check_inputs", "check_leaks"]

_TOLERANCE_S = 0.01
#: Sound is decoded at this rate [Hz], which most recipes use, so that training finds it in the cache.
_RATE_HZ = 16_000
_INSPECT = {"sound": cache.inspect_sounds, "spectrograms": arrays.inspect_spectrograms, "images": images.inspect_images}
#: Notes of clip tables that may spoil a result; others are good to know.
_WARNINGS = {
    "SIMILAR LABELS", "SEVERAL LABELS IN ONE CELL", "LABELS THAT MAY BE GAPS", "CANNOT BE TESTED", "NO TRAINING CLIPS",
    "NEVER PRESENT", "ALWAYS PRESENT", "ALWAYS TOGETHER",
    "NO FOLD", "NO GROUP", "PARTIAL DATA", "CONTRADICTORY", "COLLIDING NAMES", "AUGMENTED COPIES", "MACHINE LABELS",
}  # fmt: skip
_LEFT_OUT = "LEFT OUT: "
_SAME_TAG = 3  # notes of one kind that are shown
_PAIRS = 5  # pairs of classes that are shown


def check_data(name: str, settings: Sequence[str] = ()) -> DataCheck:
    """Open and read every clip -> classes and findings; `settings` are those of the data (`data_recipe`).

    Opening verifies that folds, labels and file names agree, and raises `ClipsError` where they do not.
    """
    clips = open_clips(data_recipe(name, settings))
    if clips.kind != "sound":
        return _check(clips, _INSPECT[clips.kind](clips))
    try:
        sound = cache.decode_clips(clips, _RATE_HZ)
    except cache.UnreadableError as error:
        return _check(clips, error.found)  # without near-duplicates: waves are kept of data sets that are whole
    # Scenes repeat their clips; `leaks` knows which.
    return check_inputs(clips, sound, () if clips.mixed else near_duplicates.find(sound))


def check_inputs(clips: Clips, inputs: Inputs, near: Sequence[NearDuplicate] = ()) -> DataCheck:
    """The check of clips that are decoded already, with their near-duplicates; nothing is read again."""
    found = pd.DataFrame({"clip": clips.table["clip"], "content": inputs.contents, "error": ""})
    if isinstance(inputs, cache.Waves) and len(inputs.facts):
        found = found.join(inputs.facts)
        found["warnings"] = pd.Series([inputs.warnings.get(clip, []) for clip in range(len(clips))], dtype=object)
    return _check(clips, found, near)


def _check(clips: Clips, found: pd.DataFrame, near: Sequence[NearDuplicate] = ()) -> DataCheck:
    """`found` has a row per clip: `clip`, `content`, `error`, and what was measured."""
    table = found.assign(label=clips.table["label"].to_numpy(), group=clips.table["group"].to_numpy())
    readable = table[table["error"] == ""]
    findings = [*_unusable(clips, table), *_of_table(clips)]
    tests = []
    if clips.kind == "images" and "height" in readable:
        findings += _images(readable)
    if "seconds" in readable and len(readable):
        findings += [*_lengths(clips, readable), *sound_findings(readable), *copies(table, near)]
        if not clips.multilabel:  # whose classes do not exclude each other
            own = file_properties(readable[(clips.table["split_hint"] != "train").to_numpy()[readable.index]])
            tests = confounds.property_tests(own)
            findings += confound_findings(tests, own)
    findings += _same_contents(readable, clips.kind)
    left_out = [note.removeprefix(_LEFT_OUT) for note in clips.notes if note.startswith(_LEFT_OUT)]
    timed = "seconds" in readable and len(readable) > 0
    return DataCheck(
        name=clips.name, read_as=clips.read_as, kind=clips.kind, folds=clips.folds,
        classes=tuple(_classes(clips, table)), findings=in_order(findings), properties=tuple(tests),
        left_out=(*left_out, *clips.left_out), recordings=clips.table["group"].nunique(),
        shortest_s=float(readable["seconds"].min()) if timed else None,
        longest_s=float(readable["seconds"].max()) if timed else None,
        sets=_sets(clips, float(readable["seconds"].sum()) if timed else None) if clips.multilabel else None,
    )  # fmt: skip


def _sets(clips: Clips, seconds: float | None) -> SetFacts:
    """Facts on label sets: how many classes are in a clip, which are together, and what was not annotated."""
    targets = clips.targets()
    present, unknown = (targets > 0).astype(np.int64), (targets < 0).sum(axis=0)
    together = np.triu(present.T @ present, 1)
    most = np.argsort(-together, axis=None, kind="stable")[:_PAIRS]
    pairs = [(*np.unravel_index(at, together.shape), int(together.flat[at])) for at in most if together.flat[at]]
    return SetFacts(
        clips=len(clips), seconds=seconds, without=int((present.sum(axis=1) == 0).sum()),
        classes_a_clip=float(present.sum(axis=1).mean()),
        pairs=tuple((clips.labels[one], clips.labels[other], number) for one, other, number in pairs),
        unknown={label: int(number) for label, number in zip(clips.labels, unknown, strict=True) if number},
    )  # fmt: skip


def _classes(clips: Clips, table: pd.DataFrame) -> Iterator[ClassFacts]:
    """The classes in the data set's order; those that are held out come last."""
    for label, rows in clips.rows_of_classes().items():
        own = table.iloc[rows]
        known = own[own["error"] == ""]
        timed = "seconds" in own
        yield ClassFacts(
            label=label, clips=len(own), recordings=own["group"].nunique(),
            seconds=float(known["seconds"].sum()) if timed else None,
            rates_hz=tuple(sorted({int(rate) for rate in known["rate_hz"]})) if timed else (),
        )  # fmt: skip


def _unusable(clips: Clips, table: pd.DataFrame) -> Iterator[Finding]:
    broken = table[table["error"] != ""]
    if len(broken):
        files, them = count(len(broken), "file"), "it" if len(broken) == 1 else "them"
        not_sought = ": clips with the same recorded sound are looked for only where all can be used"
        yield Finding(
            kind="unreadable", severity="wrong", clips=tuple(broken["clip"]),
            text=f"{files} cannot be used: {examples((e.rstrip('.') for e in broken['error']), len(broken))}",
            advice=f"Repair or remove {them}, and check again" + not_sought * (clips.kind == "sound") + ".",
        )  # fmt: skip


def _of_table(clips: Clips) -> Iterator[Finding]:
    """What the clip table shows: untestable classes, the notes of its reader, odd folds."""
    untestable = splits.untestable(clips)
    if not clips.multilabel and clips.table["label"].nunique() == 1:  # nothing can be trained
        yield Finding(kind="one class alone", severity="wrong", text=untestable.pop().rstrip("."))
    by_tag: dict[str, list[str]] = {}
    for note in (*clips.notes, *untestable):
        if not note.startswith(_LEFT_OUT):
            tag, colon, _ = note.partition(": ")
            by_tag.setdefault(tag if colon and tag.isupper() else "", []).append(note.rstrip("."))
    for tag, notes in by_tag.items():
        more = len(notes) - _SAME_TAG
        for number, note in enumerate(notes[:_SAME_TAG]):
            rest = f"; {more:,} more like this" if more > 0 and number == _SAME_TAG - 1 else ""
            yield Finding(
                kind=tag.lower() or "note", severity="warning" if tag in _WARNINGS else "note", text=note + rest
            )
    numbers = [fold for fold in clips.folds if values.is_number(fold)]
    if numbers and len(numbers) < len(clips.folds):
        texts = [fold for fold in clips.folds if fold not in numbers]
        yield Finding(
            kind="mixed folds", severity="warning",
            text=f"FOLDS MIXED: some are numbers ({examples(numbers)}), others texts ({examples(texts)})",
            advice="If these are two spellings of the same folds, write them alike.",
        )  # fmt: skip


def _lengths(clips: Clips, readable: pd.DataFrame) -> Iterator[Finding]:
    """Clips of a published data set that do not last as long as published."""
    if clips.name not in DATASETS or clips.fold_source != "official":
        return
    low, high = DATASETS[clips.name].seconds
    odd = readable[(readable["seconds"] < low - _TOLERANCE_S) | (readable["seconds"] > high + _TOLERANCE_S)]
    if len(odd):
        length = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        yield Finding(
            kind="length", severity="wrong", text=f"{len(odd):,} clips do not last {length} s: {examples(odd['clip'])}",
            advice="Fetch them again.", clips=tuple(odd["clip"]),
        )  # fmt: skip


def _same_contents(readable: pd.DataFrame, kind: str) -> Iterator[Finding]:
    for line in duplicates(readable, readable["content"], kind):
        if line.startswith("one "):
            yield Finding(
                kind="two labels", severity="wrong", text=line,
                advice="Keep the right one and delete the others: no classifier can learn both.",
            )  # fmt: skip
        else:
            yield Finding(
                kind="duplicates", severity="wrong", text=line, advice="Delete the copies, or give them one group."
            )


def _images(readable: pd.DataFrame) -> Iterable[Finding]:
    sizes = Counter(zip(readable["height"], readable["width"], strict=True)).most_common()
    if len(sizes) > 1:
        listed = (f"{count} of {height} x {width}" for (height, width), count in sizes)
        yield Finding(
            kind="sizes", severity="wrong", text=f"images differ in height and width: {examples(listed)}",
            advice="Make them again with one setting.",
        )  # fmt: skip
    constant = readable["clip"][readable["constant"]]
    if len(constant):
        yield Finding(
            kind="constant", severity="wrong", text=f"{len(constant)} images are of one colour: {examples(constant)}",
            advice="Remove them, or make them again.", clips=tuple(constant),
        )  # fmt: skip


def check_leaks(recipe: Recipe) -> Audit:
    """The audit of a recipe's splits, with leaks listed, not raised; without near-duplicates where a file cannot be
    read."""
    clips = hold_out(open_clips(recipe), recipe.data.held_out)
    protocol = decide(clips, recipe.protocol)
    near: list[NearDuplicate] = []
    try:
        sound = arrays.load_inputs(clips, recipe)
        contents = sound.contents
        near = near_duplicates.between_groups(clips, sound, protocol.kind)
    except cache.UnreadableError:
        contents = tuple(_INSPECT[clips.kind](clips)["content"])
    if protocol.kind in JOINED:
        clips, _ = near_duplicates.join_groups(clips, near)
    found = splits.make_splits(clips, protocol)
    return audit(clips, found, contents, near, network=recipe.network, allow_leaky=True)
