"""The guards of honest evaluation, each taken out once, in a copy of the package: a test must fail each time.

    python -m tests.faults.mutations            # all of them
    python -m tests.faults.mutations teacher    # those whose guard, file or test has this word

A guard whose test passes without it survives: the test is missing. A text that is not found exactly once makes the list
out of date.
"""

import importlib
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: What a test needs of the repository.
COPIED = ("hubbub", "tests", "benchmarks", "pyproject.toml")

#: Imported once, before the processes that run tests.
SLOW = ("torch", "lightning", "pandas", "scipy.stats", "sklearn.model_selection", "matplotlib.pyplot", "hypothesis")

PARTS = "Clips of one recording stay in one part"
EQUAL = "Equal content in two parts is refused"
NEAR = "Near-duplicates in two parts are refused, or joined"
AUGMENTED = "Validation and test clips are never augmented"
CHOICE = "The test part takes no part in learning or in any choice"
SHORT = "A clip and a recording count once, and padding does not count"
CHANCE = "Shuffled labels give chance"
THRESHOLD = "Temperatures and thresholds come from validation clips that were not learnt"
BEFORE = "What a network or its teacher was trained on before is not tested"
STATED = "What a network has learnt from is stated"


@dataclass(frozen=True)
class Mutation:
    """`before` in a file of the package becomes `after`, which takes the guard out; then `test` must fail."""

    guard: str
    file: str
    before: str
    after: str
    test: str

    def __str__(self) -> str:
        return f"{self.guard}: {self.file}, {self.test.rpartition('::')[2]}"

    def mutated(self, source: str) -> str:
        """The text of the file without the guard. Raises `ValueError` where the list is out of date."""
        if (found := source.count(self.before)) != 1:
            raise ValueError(
                f"{self.file} has {self.before!r} {found} times, not once: correct tests/faults/mutations.py"
            )
        changed = source.replace(self.before, self.after)
        compile(changed, self.file, "exec")
        return changed


MUTATIONS = (
    Mutation(
        PARTS, "data/leaks.py",
        "names = sorted((set(groups[a]) & set(groups[b])) - clips.straddling)",
        "names = list[str]()",
        "tests/data/test_leaks.py::test_a_recording_in_two_parts_is_a_leak",
    ),
    Mutation(
        PARTS, "data/leaks.py",
        "in (*combinations(parts, 2), *(",
        "in (*list(combinations(parts, 2))[:2], *(",
        "tests/data/test_leaks.py::test_a_recording_in_validation_and_test_is_a_leak",
    ),
    Mutation(
        PARTS, "data/leaks.py",
        "*((part, unknown) for part in parts[:2])",
        "*()",
        "tests/data/test_splits.py::test_a_held_out_clip_of_a_training_recording_is_a_leak",
    ),
    Mutation(
        PARTS, "data/leaks.py",
        "if both := sorted(used[0] & used[1]):",
        "if both := sorted(used[0] & used[1])[:0]:",
        "tests/data/test_write_scenes.py::test_folds_are_an_honest_split_and_no_other_is",
    ),
    Mutation(
        PARTS, "data/folds.py",
        "splitter.split(rows, labels[rows], groups[rows])",
        "splitter.split(rows, labels[rows], rows)",
        "tests/data/test_folds.py::test_no_recording_is_in_two_folds_and_classes_are_spread_evenly",
    ),
    Mutation(
        PARTS, "data/stratified_folds.py",
        "np.unique(np.asarray(groups), return_inverse=True)",
        "np.unique(np.arange(len(targets)), return_inverse=True)",
        "tests/data/test_stratified_folds.py::test_no_group_is_in_two_folds_and_every_clip_is_in_one",
    ),
    Mutation(
        PARTS, "data/splits.py",
        "_, codes = np.unique(np.asarray(groups), return_inverse=True)",
        "codes = np.arange(len(targets))",
        "tests/data/test_splits.py::test_a_holdout_keeps_groups_whole_and_classes_in_proportion",
    ),
    Mutation(
        PARTS, "data/splits.py",
        "train = train[far_from(clips.table, train, np.flatnonzero(test | chosen), protocol.gap_s)]",
        "pass",
        "tests/data/test_folds.py::test_one_recording_is_cut_into_stretches_that_keep_their_distance",
    ),
    Mutation(
        PARTS, "data/recordings.py",
        "return [first.setdefault(families.of(number), number) for number in range(len(paths))]",
        "return list(range(len(paths)))",
        "tests/data/test_recordings.py::test_one_recording_under_several_names_is_one_group",
    ),
    Mutation(
        PARTS, "experiment/prepare.py",
        "clips, found, sound.contents, near, network=recipe.network, allow_leaky=recipe.protocol.allow_leaky",
        "clips, found, sound.contents, near, network=recipe.network, allow_leaky=True",
        "tests/experiment/test_run.py::test_a_leaking_run_is_refused_and_stamped_when_allowed",
    ),
    Mutation(
        PARTS, "experiment/prepare.py",
        'reasons = [f"NOT COMPARABLE: {leak}" for leak in self.audit.leaks] + list(self.clips.notes)',
        "reasons = list(self.clips.notes)",
        "tests/experiment/test_run.py::test_a_leaking_run_is_refused_and_stamped_when_allowed",
    ),
    Mutation(
        PARTS, "experiment/prepare.py",
        'clips, found[:1], [""] * len(clips), network=recipe.network, allow_leaky=recipe.protocol.allow_leaky',
        'clips, found[:1], [""] * len(clips), network=recipe.network, allow_leaky=True',
        "tests/experiment/test_tune.py::test_a_recording_in_test_and_training_is_refused_before_anything_is_opened",
    ),
    Mutation(
        EQUAL, "data/leaks.py",
        'set(hashes[a]) & set(hashes[b]) - {""}',
        "set()",
        "tests/data/test_leaks.py::test_identical_sounds_in_two_parts_are_a_leak",
    ),
    Mutation(
        EQUAL, "experiment/prepare.py",
        "clips, found, sound.contents, near, network",
        'clips, found, [""] * len(clips), [], network',
        "tests/experiment/test_prepare.py::test_copies_of_a_sound_in_two_folds_are_refused",
    ),
    Mutation(
        NEAR, "data/leaks.py",
        "elif alike:",
        "elif False:",
        "tests/data/test_leaks.py::test_nearly_identical_sounds_in_two_parts_are_a_leak_of_given_folds",
    ),
    Mutation(
        NEAR, "data/leaks.py",
        "if parted:",
        "if False:",
        "tests/data/test_leaks.py::test_nearly_identical_sounds_in_official_folds_are_one_warning",
    ),
    Mutation(
        NEAR, "data/near_duplicates.py",
        'return find(sound, list(clips.table["group"]))',
        "return []",
        "tests/experiment/test_prepare.py::test_copies_of_a_sound_in_two_folds_are_refused",
    ),
    Mutation(
        NEAR, "experiment/prepare.py",
        "clips, joined = near_duplicates.join_groups(clips, near)",
        "joined = tuple[str, ...]()",
        "tests/experiment/test_prepare.py::test_copies_of_a_sound_are_in_one_of_the_folds_that_are_made",
    ),
    Mutation(
        AUGMENTED, "training/module.py",
        "else self.classifier.logits(inputs)",
        "else self.classifier.logits(self.augment(inputs, torch.Generator()))",
        "tests/training/test_module.py::test_validation_is_neither_augmented_nor_mixed",
    ),
    Mutation(
        AUGMENTED, "training/module.py",
        "inputs = self.validation_source.fetch(rows)",
        "inputs = self.validation_source.fetch(rows, torch.Generator())",
        "tests/training/test_module.py::test_validation_is_neither_augmented_nor_mixed",
    ),
    Mutation(
        AUGMENTED, "training/batches.py",
        "if self.crop and generator is not None:",
        "generator = generator or torch.Generator()\n        if self.crop:",
        "tests/training/test_batches.py::test_without_a_generator_crop_changes_nothing",
    ),
    Mutation(
        AUGMENTED, "training/fit.py",
        "classifier.to(settings.device).eval()",
        "classifier.to(settings.device).train()",
        "tests/training/test_fit.py::test_the_network_given_back_is_that_epochs_and_not_the_last",
    ),
    Mutation(
        AUGMENTED, "data/splits.py",
        "replace(s, validation=without_copies(clips, s.validation), test=without_copies(clips, s.test))",
        "s",
        "tests/data/test_splits.py::test_copies_train_and_neither_choose_nor_test",
    ),
    Mutation(
        AUGMENTED, "data/splits.py",
        "train, without_copies(inside, chosen), none)",
        "train, chosen, none)",
        "tests/data/test_splits.py::test_copies_do_not_choose_where_folds_validate_in_turn",
    ),
    Mutation(
        AUGMENTED, "data/leaks.py",
        'if part != "train" and copies[rows].any():',
        "if False:",
        "tests/data/test_leaks.py::test_an_augmented_copy_outside_training_is_a_leak",
    ),
    Mutation(
        AUGMENTED, "data/write_augmented.py",
        'clip["split_hint"] if name == variants.ORIGINAL else "train"',
        'clip["split_hint"]',
        "tests/data/test_write_augmented.py::test_the_list_is_read_back_and_copies_only_train",
    ),
    Mutation(
        CHOICE, "experiment/cell.py",
        "fit_with_history(prepared, split.train, split.validation, seed, place, loggers)",
        "fit_with_history(prepared, split.train, split.test, seed, place, loggers)",
        "tests/experiment/test_cell.py::test_a_cell_learns_chooses_and_calibrates_without_its_test_part",
    ),
    Mutation(
        CHOICE, "experiment/cell.py",
        "fit_with_history(prepared, split.train, split.validation, seed, place, loggers)",
        "fit_with_history(prepared, np.union1d(split.train, split.test), split.validation, seed, place, loggers)",
        "tests/experiment/test_cell.py::test_a_cell_learns_chooses_and_calibrates_without_its_test_part",
    ),
    Mutation(
        CHOICE, "training/fit.py",
        'read_checkpoint(checkpoints / "best.ckpt" if checks else last)',
        "read_checkpoint(last)",
        "tests/training/test_module.py::test_the_best_epoch_on_validation_is_kept",
    ),
    Mutation(
        CHOICE, "training/trainer.py",
        'filename="best", monitor=settings.monitor, mode=mode',
        'filename="best", monitor="train_loss", mode="min"',
        "tests/training/test_module.py::test_the_best_epoch_on_validation_is_kept",
    ),
    Mutation(
        CHOICE, "training/head.py",
        "best = max(range(len(scores)), key=scores.__getitem__)",
        "best = 0",
        "tests/training/test_head.py::test_the_candidate_with_the_highest_macro_map_is_chosen",
    ),
    Mutation(
        CHOICE, "training/fit.py",
        'frontend.to("cpu").fit(source.fetch(some) for some in rows)',
        'every = (source, checks or source)\n        every[1].to(torch.device("cpu"))\n'
        '        frontend.to("cpu").fit(one.fetch(torch.arange(len(one))) for one in every)',
        "tests/training/test_module.py::test_statistics_come_from_the_training_part_alone",
    ),
    Mutation(
        CHOICE, "experiment/tune.py",
        "prepare(recipe, log, quick=quick, parts=PARTS)",
        "prepare(recipe, log, quick=quick)",
        "tests/experiment/test_tune.py::test_no_trial_can_hear_the_test_fold",
    ),
    Mutation(
        CHOICE, "data/splits.py",
        "inside = replace(clips, table=clips.table.iloc[rows_in].reset_index(drop=True))",
        "rows_in = np.arange(len(clips))\n    inside = clips",
        "tests/experiment/test_tune.py::test_the_material_of_a_search_holds_no_clip_of_the_test_fold",
    ),
    Mutation(
        CHOICE, "data/splits.py",
        "if split.name in validate:",
        "if False:",
        "tests/experiment/test_tune.py::test_folds_validate_in_turn_and_the_test_fold_does_not",
    ),
    Mutation(
        CHOICE, "data/splits.py",
        "parts = {part: rows[known[rows]] for part, rows in split.parts()}",
        "parts = dict(split.parts())",
        "tests/data/test_splits.py::test_held_out_classes_are_in_no_part_and_their_test_clips_beside_it",
    ),
    Mutation(
        SHORT, "audio/windows.py",
        "return 1 + max(",
        "return 2 + max(",
        "tests/audio/test_windows.py::test_segments_cover_every_sample_and_no_window_is_idle",
    ),
    Mutation(
        SHORT, "classifier/frames.py",
        "ends - starts > step / 1000",
        "np.ones(len(starts), dtype=bool)",
        "tests/classifier/test_frames.py::test_frames_in_the_recording_cover_it_once_and_others_lie_behind_it",
    ),
    Mutation(
        SHORT, "experiment/part.py",
        "if len(by_clip) != len(rows) or not",
        "if not",
        "tests/experiment/test_run.py::test_a_clip_that_was_listed_but_not_predicted_is_an_error",
    ),
    Mutation(
        SHORT, "metrics/intervals.py",
        "rho = float((rarer * rho + CAUTION) / (rarer + CAUTION))",
        "rho = 0.0",
        "tests/metrics/test_intervals.py::test_clips_that_agree_within_recordings_count_as_one",
    ),
    Mutation(
        CHANCE, "training/head.py",
        "np.union1d(train, validation), seed, [option]",
        "np.arange(len(of_clips(targets))), seed, [option]",
        "tests/experiment/test_cell.py::test_labels_that_mean_nothing_give_chance",
    ),
    Mutation(
        THRESHOLD, "experiment/cell.py",
        "predicted = predict_part(prepared, fitted.chosen, split.validation)",
        "predicted = predict_part(prepared, fitted.chosen, split.test)",
        "tests/experiment/test_cell.py::test_a_cell_learns_chooses_and_calibrates_without_its_test_part",
    ),
    Mutation(
        THRESHOLD, "experiment/cell.py",
        "predicted = predict_part(prepared, fitted.chosen, split.validation)",
        "predicted = predict_part(prepared, fitted.final, split.validation)",
        "tests/experiment/test_open_set.py::test_how_sure_a_cell_may_be_is_decided_by_its_validation_part_alone",
    ),
    Mutation(
        BEFORE, "training/pretrain.py",
        "table = found.table[named & ~own].reset_index(drop=True)",
        "table = found.table[named].reset_index(drop=True)",
        "tests/training/test_pretrain.py::test_recordings_of_the_recipes_own_data_are_left_out",
    ),
    Mutation(
        BEFORE, "training/pretrain.py",
        "other = ~np.isin(cache.decode_clips(sounds, own.rate_hz).contents, own.contents)",
        "other = np.ones(len(sounds), dtype=bool)",
        "tests/training/test_pretrain.py::test_copies_under_other_names_are_left_out",
    ),
    Mutation(
        BEFORE, "training/teacher.py",
        "mean, deviation = statistics(of_clips)",
        "mean, deviation = statistics(torch.from_numpy(self.segments.values))",
        "tests/training/test_teacher.py::test_clips_that_are_not_trained_on_change_no_lesson",
    ),
    Mutation(
        BEFORE, "data/leaks.py",
        "texts = trained_before.refused(clips, splits, network)",
        "texts = list[str]()",
        "tests/data/test_trained_before.py::test_a_leak_is_refused_with_a_way_out_and_is_in_every_figure_where_it_is_allowed",
    ),
    Mutation(
        BEFORE, "data/trained_before.py",
        "if _fold(clips, row) != UNHEARD_FOLD]",
        "if False]",
        "tests/data/test_trained_before.py::test_of_urbansound8k_only_fold_10_may_be_tested",
    ),
    Mutation(
        BEFORE, "experiment/prepare.py",
        "sound.contents, near, network=recipe.network,",
        "sound.contents, near, network=None,",
        "tests/data/test_trained_before.py::test_a_folder_of_ones_own_with_such_clips_is_refused_before_anything_is_trained",
    ),
    Mutation(
        STATED, "data/leaks.py",
        "known = [] if network is None else trained_before.shared(clips, splits, network)",
        "known = list[str]()",
        "tests/data/test_trained_before.py::test_recordings_of_fold_10_that_esc50_has_too_are_named_and_not_refused",
    ),
    Mutation(
        STATED, "data/pretraining.py",
        "if any(part.startswith(PARTS[data]) for part in known.learnt_from):",
        "if False:",
        "tests/data/test_pretraining.py::test_overlap",
    ),
    Mutation(
        STATED, "report/compare.py",
        "overlap(recipe.network, environment.data.name)",
        'overlap(recipe.network.model_copy(update={"weights": "none"}), environment.data.name)',
        "tests/report/test_compare.py::test_the_networks_are_beside_the_figures",
    ),
    Mutation(
        STATED, "experiment/prepare.py",
        "if any(split.without_test for split in self.splits):",
        "if False:",
        "tests/cli/test_data_split.py::test_a_recipe_trains_from_the_lists_by_the_printed_command",
    ),
)  # fmt: skip


def copy_package(folder: Path) -> None:
    """Copies what the tests need of the repository into `folder`."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "stored"))
        else:
            shutil.copy(ROOT / name, folder)


def status_of(folder: Path, tests: Sequence[str], log: Path) -> int:
    """Runs tests of the copy of the package in `folder`: pytest's exit status (1: some failed), its output in `log`."""
    process = multiprocessing.get_context("fork").Process(target=_run, args=(folder, tests, log))
    process.start()
    process.join()
    return process.exitcode or 0


def _run(folder: Path, tests: Sequence[str], log: Path) -> None:
    """Runs pytest in this process, a fork of one that has imported what is slow to import."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(folder)
    for name in [name for name in sys.modules if name.partition(".")[0] in COPIED]:
        del sys.modules[name]
    sys.path[:] = [str(folder), *(path for path in sys.path if path and Path(path).resolve() != ROOT)]
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)  # of the processes that tests start
    os.environ.pop("HUBBUB_NO_SKIP", None)  # a skipped test has seen nothing
    status = pytest.main(["-q", "-x", "-p", "no:cacheprovider", *tests])
    sys.stdout.flush()
    os._exit(int(status))


def survives(mutation: Mutation, folder: Path) -> str:
    """Takes one guard out of the copy of the package in `folder`, runs the test, and puts it back. Returns why the
    guard may be missing unseen; "" where the test fails."""
    file, log = folder / "hubbub" / mutation.file, folder / "log.txt"
    source = file.read_text(encoding="utf-8")
    file.write_text(mutation.mutated(source), encoding="utf-8")
    try:
        status = status_of(folder, [mutation.test], log)
    finally:
        file.write_text(source, encoding="utf-8")
    return "" if status == 1 else f"{mutation}: pytest's status is {status}, not 1\n{log.read_text()[-1500:]}"


def main(words: Sequence[str]) -> int:
    """Takes out every guard that has one of the words in its line (all without words) and prints the survivors."""
    chosen = [one for one in MUTATIONS if not words or any(word in f"{one} {one.test}" for word in words)]
    if not chosen:
        print(f"no guard, file or test has {' or '.join(words)}")
        return 1
    for name in SLOW:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as place:
        copy_package(folder := Path(place))
        if status_of(folder, sorted({one.test for one in chosen}), folder / "log.txt"):
            print(f"with every guard in place:\n{(folder / 'log.txt').read_text()[-3000:]}")
            return 1
        found = []
        for number, mutation in enumerate(chosen, 1):
            found += [why] if (why := survives(mutation, folder)) else []
            print(f"[{number}/{len(chosen)}] {'SURVIVES' if why else 'a test fails'}: {mutation}", flush=True)
    print("\n".join([*found, f"a test fails without {len(chosen) - len(found)} of {len(chosen)} guards"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
