"""Data homes, the cache, and writes that leave a whole file or folder or nothing."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hubbub.runtime import files, homes
from hubbub.runtime.homes import StoreError


@pytest.fixture(autouse=True)
def _own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home of this test's own, and nothing of the person's who runs it."""
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "user"))
    monkeypatch.setenv("HUBBUB_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HUBBUB_CACHE", raising=False)


def files_under(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir() or p.is_symlink())


# Homes and cache


def test_homes_in_order_with_the_users_own_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HUBBUB_HOME", os.pathsep.join(["/b", "", "~/a", " ", "relative"]))
    *given, last = homes.homes()
    assert given == [Path("/b"), tmp_path / "user" / "a", tmp_path / "relative"]
    assert last.is_relative_to(tmp_path / "user") and last.name == "hubbub"
    monkeypatch.delenv("HUBBUB_HOME")
    assert homes.homes() == [last]


def test_find_takes_the_first_home_that_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBBUB_HOME", os.pathsep.join(str(tmp_path / part) for part in "abc"))
    assert homes.find("data", "street") is None
    for part in "bc":
        (tmp_path / part / "data" / "street").mkdir(parents=True)
    assert homes.find("data", "street") == tmp_path / "b" / "data" / "street"
    assert homes.find("weights", "street") is None


def test_cache_dir_is_made_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert homes.cache_dir().is_dir() and homes.cache_dir().is_relative_to(tmp_path / "user")
    monkeypatch.setenv("HUBBUB_CACHE", "~/elsewhere/cache")
    assert homes.cache_dir() == tmp_path / "user" / "elsewhere" / "cache" and homes.cache_dir().is_dir()
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HUBBUB_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(StoreError, match=r"file/cache cannot be written: .*HUBBUB_CACHE"):
        homes.cache_dir()


UNPRIVILEGED = """
import os, sys
import platformdirs
from hubbub.runtime import files, homes as homes_
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
for homes in sys.argv[1:]:
    os.environ["HUBBUB_HOME"] = homes
    try:
        print(homes_.writable_home())
    except homes_.StoreError as error:
        print(error)
"""


@pytest.fixture
def locked_and_free() -> Iterator[tuple[Path, Path]]:
    """A folder that others may only read, and one they may write to."""
    place = Path(tempfile.mkdtemp())  # pytest's own folders may be entered by their owner only
    try:
        locked, free = place / "locked", place / "free"
        locked.mkdir()
        free.mkdir()
        place.chmod(0o755)
        free.chmod(0o777)
        locked.chmod(0o555)
        yield locked, free
    finally:
        shutil.rmtree(place)


def test_a_read_only_home_is_passed_over(locked_and_free: tuple[Path, Path]) -> None:
    locked, free = locked_and_free
    environment = {**os.environ, "XDG_DATA_HOME": str(locked / "user"), "HOME": str(locked / "user")}
    both = os.pathsep.join([str(locked / "new"), str(free / "new")])
    command = [sys.executable, "-c", UNPRIVILEGED, both, str(locked)]
    first, second = subprocess.check_output(command, env=environment, text=True).splitlines()
    assert first == str(free / "new") and (free / "new").is_dir()
    assert str(locked) in second and str(locked / "user") in second
    assert "Permission denied" in second and "Set HUBBUB_HOME" in second


# Whole or not at all


def test_whole_file_takes_its_name_at_the_end_only(tmp_path: Path) -> None:
    target = tmp_path / "new" / "scores.json"
    with files.whole_file(target) as temporary:
        assert temporary.parent == target.parent and temporary.suffix == ".json"
        temporary.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole" and os.listdir(target.parent) == ["scores.json"]


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, FileNotFoundError])
def test_an_exception_leaves_the_old_file_and_folder(tmp_path: Path, kind: type[BaseException]) -> None:
    files.write_text(tmp_path / "file", "old\n")
    with pytest.raises(kind), files.whole_file(tmp_path / "file") as temporary:
        temporary.write_text("ne")
        raise kind
    with files.whole_folder(tmp_path / "folder") as temporary:
        (temporary / "a").write_text("old\n")
    with pytest.raises(kind), files.whole_folder(tmp_path / "folder", "a") as temporary:
        (temporary / "a").write_text("ne")
        raise kind
    assert files_under(tmp_path) == ["file", "folder/a"] and sorted(os.listdir(tmp_path)) == ["file", "folder"]
    assert (tmp_path / "file").read_bytes() == (tmp_path / "folder" / "a").read_bytes() == b"old\n"


def test_whole_folder_replaces_a_folder(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with files.whole_folder(tmp_path / "model", "deep") as temporary:
            (temporary / "deep").mkdir()
            (temporary / "deep" / name).write_text(name)
    assert files_under(tmp_path) == ["model/deep/b"] and os.listdir(tmp_path) == ["model"]


def test_whole_folder_replaces_nothing_that_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("documents/thesis.doc", "cache/entry/damaged"):
        tree(tmp_path, name)
    monkeypatch.setenv("HUBBUB_CACHE", str(tmp_path / "cache"))
    said = r"documents holds thesis\.doc, and hubbub did not make it, so it is not replaced"
    with pytest.raises(StoreError, match=said), files.whole_folder(tmp_path / "documents", "explanation.json"):
        pytest.fail("somebody's folder would be removed")
    with files.whole_folder(tmp_path / "cache" / "entry") as temporary:
        (temporary / "whole").touch()
    assert files_under(tmp_path) == ["cache/entry/whole", "documents/thesis.doc"]


def test_write_json_is_json_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    files.write_json(path, {"accuracy": 0.5, "label": "Gehör"})
    text = path.read_text(encoding="utf-8")
    assert json.loads(text) == {"accuracy": 0.5, "label": "Gehör"} and text.endswith("}\n") and '\n  "' in text
    with pytest.raises(ValueError, match="nan"):
        files.write_json(path, {"accuracy": float("nan")})
    assert path.read_text(encoding="utf-8") == text and os.listdir(tmp_path) == ["summary.json"]


def test_an_error_about_another_file_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), files.whole_file(tmp_path / "out"):
        raise PermissionError(13, "Permission denied", "/elsewhere/input.wav")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="file/out could not be written"):
        files.write_text(tmp_path / "file" / "out", "text")


# One process a run folder

HOLDER = """
import sys
from hubbub.runtime import files
with files.lock_folder(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds `folder` until its input ends."""
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_a_folder_in_use_by_another_process_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "esc50"
    with holder(folder) as other:
        rule = rf"runs/esc50 is in use by process {other.pid} on .* since 20.*another folder"
        for _ in range(2):  # a refusal leaves the other's lock and its name as they were
            with pytest.raises(StoreError, match=rule), files.lock_folder(folder):
                pytest.fail("two processes hold one folder")
        other.communicate()
        assert other.returncode == 0
    with files.lock_folder(folder):
        assert json.loads((folder / ".holder.json").read_text())["pid"] == os.getpid()
        with pytest.raises(StoreError, match=f"in use by process {os.getpid()} "), files.lock_folder(folder):
            pytest.fail("held twice")
        (folder / "work").touch()
    assert files_under(folder) == [".lock", "work"]


def test_a_folder_in_which_nothing_was_done_is_not_left_behind(tmp_path: Path) -> None:
    with files.lock_folder(tmp_path / "run"):
        assert (tmp_path / "run" / ".lock").is_file()
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    with holder(tmp_path) as other:
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert files_under(tmp_path) == [".holder.json", ".lock"]
    with files.lock_folder(tmp_path):
        assert json.loads((tmp_path / ".holder.json").read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("left", ["", "{", '{"pid": 0}', "dead"])
def test_a_holder_that_cannot_be_told_is_another_process(tmp_path: Path, left: str) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    with holder(tmp_path):
        who = json.loads((tmp_path / ".holder.json").read_text())
        (tmp_path / ".holder.json").write_text(json.dumps(who | {"pid": ended.pid}) if left == "dead" else left)
        with pytest.raises(StoreError, match="is in use by another process"), files.lock_folder(tmp_path):
            pytest.fail("two processes hold one folder")


def test_a_lock_is_released_where_its_block_raises(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt), files.lock_folder(tmp_path):
            raise KeyboardInterrupt
    assert files_under(tmp_path) == [".lock"]


LOCK_UNPRIVILEGED = """
import os, sys
import filelock
from hubbub.runtime import files, homes
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
for folder in sys.argv[1:]:
    try:
        with files.lock_folder(folder):
            print("held")
    except homes.StoreError as error:
        print(error)
"""


def test_a_read_only_folder_cannot_be_held(locked_and_free: tuple[Path, Path]) -> None:
    locked, free = locked_and_free
    locked.chmod(0o755)
    (locked / ".lock").touch(0o644)
    locked.chmod(0o555)
    command = [sys.executable, "-c", LOCK_UNPRIVILEGED, str(locked), str(locked / "new"), str(free)]
    there, new, held = subprocess.check_output(command, text=True).splitlines()
    assert there.startswith(f"{locked} cannot be written: Permission denied")
    assert new.startswith(f"{locked / 'new'} cannot be written: Permission denied") and held == "held"


# Full disks

LIMITED = """
import resource, sys
import numpy, safetensors.torch, soundfile, torch
from hubbub.runtime import files, homes
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
for save in (
    lambda file: torch.save({"a": torch.zeros(1 << 16)}, file),
    lambda file: safetensors.torch.save_file({"a": torch.zeros(1 << 16)}, file),
    lambda file: soundfile.write(file, numpy.zeros(1 << 16), 44100, format="WAV"),
    lambda file: numpy.save(open(file, "wb"), numpy.zeros(1 << 16)),
):
    for whole in (files.whole_file, files.whole_folder):
        try:
            with whole(sys.argv[1]) as place:
                save(place / "inside" if place.is_dir() else place)
        except homes.StoreError as error:
            print(error)
"""


def test_a_limit_that_a_library_runs_into_is_told(tmp_path: Path) -> None:
    """Each library has its own error for it, and most do not say what the system said."""
    target = tmp_path / "new" / "last.ckpt"
    said = subprocess.check_output([sys.executable, "-c", LIMITED, str(target)], text=True).splitlines()
    told = f"{target} could not be written: File too large. Nothing was changed. Make room or choose another place."
    assert said == [told] * 8 and list((tmp_path / "new").iterdir()) == []


def test_another_error_is_passed_on_where_there_is_room(tmp_path: Path) -> None:
    for writes in (files.whole_file, files.whole_folder):
        with pytest.raises(RuntimeError, match="something else"), writes(tmp_path / "out"):
            raise RuntimeError("something else")
    assert list(tmp_path.iterdir()) == []


# Removing


def tree(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("kept")
    return folder


def test_a_folder_inside_a_marked_one_is_removed(tmp_path: Path) -> None:
    run = tree(tmp_path / "run", "recipe.toml", "test-1/seed-42/x", "test-1/seed-43/x")
    files.remove_folder(run / "test-1" / "seed-42", run, "recipe.toml")
    files.remove_folder(run / "test-1" / "gone", run, "recipe.toml")
    assert files_under(run) == ["recipe.toml", "test-1/seed-43/x"]


def test_nothing_else_is_removed(tmp_path: Path) -> None:
    run = tree(tmp_path / "run", "recipe.toml", "test-1/x")
    victim, unmarked = tree(tmp_path / "victim", "x"), tree(tmp_path / "other", "inside/x")
    (run / "link").symlink_to(victim)
    (run / "deep").symlink_to(tmp_path)
    tree(run / "real", "y")
    (run / "real" / "link").symlink_to(victim)
    before = files_under(tmp_path)
    for path, within in (
        *((victim, run), (run / "test-1" / ".." / ".." / "victim", run), (run / "link", run), (tmp_path, run)),
        *((run / "deep" / "victim", run), (unmarked / "inside", unmarked), (victim, None), (victim, victim)),
    ):
        with pytest.raises(StoreError, match=r"was not removed: .*folder that hubbub made"):
            files.remove_folder(path, within, "recipe.toml")
    assert files_under(tmp_path) == before
    files.remove_folder(run / "real", run, "recipe.toml")
    assert files_under(victim) == ["x"]


def test_a_folder_of_others_is_told_from_ours(tmp_path: Path) -> None:
    assert files.foreign_files(tmp_path / "new", "recipe.toml") == []
    tree(tmp_path, ".lock", ".holder.json", "environment.json", ".environment.123-0123abcd.json")
    assert files.foreign_files(tmp_path, "recipe.toml", leftovers=["environment.json"]) == []
    tree(tmp_path, "thesis.doc", ".bashrc")
    left = files.foreign_files(tmp_path, "recipe.toml", leftovers=["environment.json"])
    assert left == [".bashrc", "thesis.doc"]
    assert files.foreign_files(tmp_path / "thesis.doc", "recipe.toml") == ["thesis.doc"]
    tree(tmp_path, "recipe.toml")
    assert files.foreign_files(tmp_path, "recipe.toml") == []
