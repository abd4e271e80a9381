"""cache: what is kept is what would be computed again, and is found only while its sources are the same."""

import logging
import os
import pickle
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import filelock
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import soundfile
import torch

from hubbub.audio import decode
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.config.data import Data
from hubbub.config.recipe import Recipe
from hubbub.config.sections import FrontEnd, Network, Windows
from hubbub.data import cache
from hubbub.data.cache import Segments, Waves
from hubbub.data.clips import Clips, ClipsError, build
from hubbub.runtime import homes
from hubbub.runtime.homes import StoreError
from tests.helpers.sounds import noise

Array = npt.NDArray[np.float32]
RATE_HZ = 16_000


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HUBBUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def clips(tmp_path: Path) -> Clips:
    """Files of several formats, rates and lengths; three clips are parts of one file."""
    soundfile.write(tmp_path / "a.wav", noise(1.0, RATE_HZ), RATE_HZ)
    soundfile.write(tmp_path / "b.flac", noise(0.7, 44_100, 2, seed=1), 44_100)
    soundfile.write(tmp_path / "c.ogg", noise(3.0, 22_050, seed=2), 22_050)
    soundfile.write(tmp_path / "d.wav", noise(0.01, 8_000, seed=3), 8_000)
    return listed(tmp_path)


def listed(folder: Path) -> Clips:
    """The clips of files that are there."""
    rows = [
        ("a", "a.wav", np.nan, np.nan),
        ("b", "b.flac", np.nan, np.nan),
        ("c1", "c.ogg", 0.0, 1.0),
        ("c2", "c.ogg", 1.0, 2.5),
        ("c3", "c.ogg", 2.5, np.nan),
        ("d", "d.wav", np.nan, np.nan),
    ]
    table = pd.DataFrame(rows, columns=["clip", "path", "start", "end"])
    return build("few", table.assign(path=[str(folder / path) for path in table["path"]], label="noise"))


def entries(folder: Path) -> list[str]:
    """What is in the cache, unfinished and hidden files included."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


# Decoded sound


def test_decoded_waves_are_those_of_the_files(clips: Clips) -> None:
    waves = cache.decode_clips(clips, RATE_HZ)
    assert len(waves) == len(clips) and waves.rate_hz == RATE_HZ
    for i, (path, start, end) in enumerate(clips.table[["path", "start", "end"]].itertuples(index=False)):
        np.testing.assert_array_equal(waves.wave(i), decode.load(path, RATE_HZ, start, end))
    seconds = [len(waves.wave(i)) / RATE_HZ for i in range(len(waves))]
    np.testing.assert_allclose(seconds, [1.0, 0.7, 1.0, 1.5, 0.5, 0.01], atol=1e-4)


def test_a_second_call_reads_what_the_first_one_kept(
    clips: Clips, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = cache.decode_clips(clips, RATE_HZ)
    kept = entries(own_cache)
    assert len(kept) == 3 and all(name.startswith(f"decoded/{first.key}/") for name in kept)
    monkeypatch.setattr(decode, "open_sound", None)
    again = cache.decode_clips(clips, RATE_HZ)
    assert isinstance(again.samples, np.memmap) and again.samples.mode == "c"
    np.testing.assert_array_equal(again.samples, first.samples)
    np.testing.assert_array_equal(again.offsets, first.offsets)
    assert (again.contents, again.key) == (first.contents, first.key) and entries(own_cache) == kept


def test_what_is_done_to_waves_does_not_reach_the_cache(clips: Clips) -> None:
    waves = cache.decode_clips(clips, RATE_HZ)
    expected = np.array(waves.samples)
    torch.from_numpy(waves.samples).zero_()  # what torch takes, it takes for writable
    assert not waves.samples.any()
    np.testing.assert_array_equal(cache.decode_clips(clips, RATE_HZ).samples, expected)


def test_waves_travel_to_another_process_by_the_name_of_their_file(clips: Clips) -> None:
    waves = cache.decode_clips(clips, RATE_HZ)
    sent = pickle.dumps(waves)
    assert waves.samples.nbytes > 200_000 and len(sent) < 5_000
    received = pickle.loads(sent)
    assert isinstance(received.samples, np.memmap) and received.samples.filename == waves.samples.filename
    np.testing.assert_array_equal(received.samples, waves.samples)
    np.testing.assert_array_equal(received.offsets, waves.offsets)
    assert (received.contents, received.rate_hz, received.key) == (waves.contents, RATE_HZ, waves.key)
    np.testing.assert_array_equal(received.wave(3), waves.wave(3))
    again = pickle.loads(pickle.dumps(received))
    np.testing.assert_array_equal(again.samples, waves.samples)


def test_waves_in_memory_travel_whole() -> None:
    waves = Waves(np.arange(5, dtype=np.float32), np.array([0, 2, 5]), ("a", "b"), RATE_HZ, "key")
    received = pickle.loads(pickle.dumps(waves))
    np.testing.assert_array_equal(received.wave(1), [2, 3, 4])
    assert (received.contents, received.rate_hz, received.key) == (("a", "b"), RATE_HZ, "key")


def test_what_shapes_the_result_shapes_the_key(clips: Clips, tmp_path: Path) -> None:
    def key(clips: Clips = clips, rate_hz: int = RATE_HZ) -> str:
        return cache.decode_clips(clips, rate_hz).key

    first = key()
    keys = {first, key(rate_hz=8_000)}
    other = build("few", clips.table.assign(end=[0.5, *clips.table["end"][1:]]))
    keys.add(key(other))
    keys.add(key(build("few", clips.table.iloc[::-1])))
    keys.add(key(build("few", clips.table.iloc[:3])))
    assert len(keys) == 5
    # Where the bytes lie, what the clips are called and what they are labelled is no part of it.
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("a.wav", "b.flac", "c.ogg", "d.wav"):
        (moved / name).write_bytes((tmp_path / name).read_bytes())
    table = clips.table.assign(path=[str(moved / Path(p).name) for p in clips.table["path"]], label="x")
    assert key(build("others", table.assign(clip=list("uvwxyz")))) == first
    # Other bytes are another sound, even of the same length and date.
    status = (tmp_path / "a.wav").stat()
    soundfile.write(tmp_path / "a.wav", noise(1.0, RATE_HZ, seed=9), RATE_HZ)
    os.utime(tmp_path / "a.wav", ns=(status.st_atime_ns, status.st_mtime_ns))
    waves = cache.decode_clips(clips, RATE_HZ)
    assert waves.key not in keys
    np.testing.assert_array_equal(waves.wave(0), decode.load(tmp_path / "a.wav", RATE_HZ))


def test_contents_tell_identical_sounds_whatever_holds_them(tmp_path: Path) -> None:
    sound = noise(0.5, RATE_HZ)
    soundfile.write(tmp_path / "a.wav", sound, RATE_HZ, subtype="PCM_16")
    soundfile.write(tmp_path / "b.flac", soundfile.read(tmp_path / "a.wav", dtype="int16")[0], RATE_HZ)
    soundfile.write(tmp_path / "c.wav", sound[:-1], RATE_HZ, subtype="PCM_16")
    soundfile.write(tmp_path / "d.wav", sound, 8_000, subtype="PCM_16")
    names = ["a.wav", "b.flac", "c.wav", "d.wav"]
    table = pd.DataFrame({"clip": names, "path": [str(tmp_path / name) for name in names], "label": "noise"})
    a, b, c, d = cache.decode_clips(build("same", table), RATE_HZ).contents
    assert a == b and len({a, c, d}) == 3
    assert cache.decode_clips(build("same", table), 8_000).contents == (a, b, c, d)


def test_sounds_that_cannot_be_read_are_counted_and_named(clips: Clips, tmp_path: Path, own_cache: Path) -> None:
    (tmp_path / "b.flac").write_bytes((tmp_path / "b.flac").read_bytes()[:5000])
    (tmp_path / "c.ogg").write_text("not a sound")
    with pytest.raises(ClipsError) as caught:
        cache.decode_clips(clips, RATE_HZ)
    said = str(caught.value)
    assert said.startswith("few: 4 of 6 sounds cannot be used. ") and "and 1 more" in said
    assert str(tmp_path / "b.flac") in said and str(tmp_path / "c.ogg") in said and "hubbub data check" in said
    assert entries(own_cache) == []


def test_inspect_says_what_each_clip_is(clips: Clips, tmp_path: Path, own_cache: Path) -> None:
    (tmp_path / "d.wav").write_text("not a sound")
    soundfile.write(tmp_path / "a.wav", np.zeros(RATE_HZ // 2), RATE_HZ)
    found = cache.inspect_sounds(clips)
    assert found["clip"].tolist() == clips.table["clip"].tolist()
    np.testing.assert_allclose(found["seconds"], [0.5, 0.7, 1.0, 1.5, 0.5, 0.0], atol=1e-4)
    assert found["rate_hz"].tolist() == [RATE_HZ, 44_100, 22_050, 22_050, 22_050, 0]
    assert found["peak"][0] == 0 and 0.3 < found["peak"][1] <= 0.5
    assert found["error"].ne("").tolist() == [False] * 5 + [True] and str(tmp_path / "d.wav") in found["error"][5]
    assert found["content"][:5].is_unique and found["content"][5] == ""
    assert entries(own_cache) == [], "it only looks"
    sound = build("few", clips.table[:5])
    assert cache.decode_clips(sound, RATE_HZ).contents == tuple(found["content"][:5])


# Segments and evidence


def test_segments_of_some_clips_in_the_order_given() -> None:
    segments = Segments(np.arange(12, dtype=np.float32).reshape(6, 2), np.array([0, 1, 4, 4, 6]))
    assert segments.clip.tolist() == [0, 1, 1, 1, 3, 3]
    some = segments.of(np.array([3, 0]))
    assert some.offsets.tolist() == [0, 2, 3] and some.clip.tolist() == [0, 0, 1]
    np.testing.assert_array_equal(some.values, segments.values[[4, 5, 0]])
    whole = segments.of(np.arange(4))
    np.testing.assert_array_equal(whole.values, segments.values)
    assert whole.offsets.tolist() == segments.offsets.tolist()
    nothing = segments.of(np.array([], dtype=np.intp))
    assert nothing.values.shape == (0, 2) and nothing.offsets.tolist() == [0]


def small() -> TorchClassifier:
    """A small network of random weights: .25 s segments every .125 s."""
    recipe = Recipe(
        data=Data(name="few"),
        windows=Windows(length=4000, hop=2000),
        frontend=FrontEnd(name="logmel", n_fft=256, hop=128, n_mels=16),
        network=Network(name="cnn", width=4),
    )
    return TorchClassifier(recipe, ("noise", "tone", "click"))


@pytest.fixture(scope="module")
def classifier() -> TorchClassifier:
    return small()


def test_evidence_is_the_same_in_any_company(
    clips: Clips, classifier: TorchClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    waves = cache.decode_clips(clips, RATE_HZ)
    every = np.arange(len(waves))
    whole = cache.outputs(waves, classifier, every)
    segments = [len(classifier.cut(waves.wave(i))) for i in every]
    assert np.diff(whole.offsets).tolist() == segments and whole.values.shape == (sum(segments), 3)
    assert segments[-1] == 1, "the clip of 10 ms is one padded segment"
    for i in every:
        alone = cache.outputs(waves, classifier, every[i : i + 1])
        np.testing.assert_allclose(alone.values, whole.of(every[i : i + 1]).values, atol=1e-5)
    order = np.random.default_rng(0).permutation(every)
    shuffled = cache.outputs(waves, classifier, order)
    np.testing.assert_allclose(shuffled.values, whole.of(order).values, atol=1e-5)
    for at_once in (1, 5):
        monkeypatch.setattr(cache, "SEGMENTS_AT_ONCE", at_once)
        batched = cache.outputs(waves, classifier, every)
        np.testing.assert_allclose(batched.values, whole.values, atol=1e-5)
        assert batched.offsets.tolist() == whole.offsets.tolist()
    assert np.ptp(whole.values, axis=0).min() > 1e-3, "clips differ"


def test_embeddings_are_computed_once_for_a_network(
    clips: Clips, classifier: TorchClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    waves = cache.decode_clips(clips, RATE_HZ)
    first = cache.embed(waves, classifier)
    np.testing.assert_array_equal(first.values, cache.outputs(waves, classifier, np.arange(len(waves))).values)
    other = TorchClassifier(classifier.recipe, classifier.labels, seed=1)
    assert not np.allclose(cache.embed(waves, other).values, first.values)
    fewer = cache.decode_clips(build("few", clips.table[:2]), RATE_HZ)
    assert len(cache.embed(fewer, classifier).offsets) == 3
    monkeypatch.setattr(TorchClassifier, "outputs", None)
    again = cache.embed(waves, classifier)
    assert again.seconds == first.seconds > 0 and again.computed == first.computed, "what it cost is kept with it"
    parts = [again.of(rows) for rows in np.array_split(np.random.default_rng(0).permutation(len(waves)), 3)]
    assert sum(part.seconds for part in parts) == pytest.approx(first.seconds)
    assert all(part.seconds == pytest.approx(first.seconds * len(part.values) / len(first.values)) for part in parts)
    assert isinstance(again.values, np.memmap)
    np.testing.assert_array_equal(again.values, first.values)
    np.testing.assert_array_equal(again.offsets, first.offsets)


def test_the_cache_may_be_deleted_at_any_time(clips: Clips, own_cache: Path) -> None:
    first = cache.decode_clips(clips, RATE_HZ)
    kept = np.array(first.samples)
    for name in entries(own_cache):
        (own_cache / name).unlink()
    np.testing.assert_array_equal(cache.decode_clips(clips, RATE_HZ).samples, kept)
    assert homes.cache_dir() == own_cache


# Entries that are damaged, and processes that are killed

DAMAGE: dict[str, Callable[[bytes], bytes | None]] = {
    "half of it noise": lambda old: old[: len(old) // 2] + np.random.default_rng(0).bytes(len(old) - len(old) // 2),
    "one bit": lambda old: old[: len(old) // 3] + bytes([old[len(old) // 3] ^ 1]) + old[len(old) // 3 + 1 :],
    "cut": lambda old: old[: len(old) // 2],
    "longer": lambda old: old + old,
    "empty": lambda old: b"",
    "text": lambda old: b"[" * 20_000,
    "gone": lambda old: None,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_damaged_is_made_again_and_a_line_says_so(
    clips: Clips, classifier: TorchClassifier, own_cache: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    waves = cache.decode_clips(clips, RATE_HZ)
    samples, rows = np.array(waves.samples), np.array(cache.embed(waves, classifier).values)
    kept = entries(own_cache)
    assert {Path(name).name for name in kept} == {
        "samples.f32", "clips.json", "entry.json", "values.npy", "offsets.npy", "cost.json",
    }  # fmt: skip
    for name in kept:
        old = (own_cache / name).read_bytes()
        (own_cache / name).unlink()
        new = DAMAGE[damage](old)
        if new is not None:
            (own_cache / name).write_bytes(new)
        caplog.clear()
        again = cache.decode_clips(clips, RATE_HZ)
        np.testing.assert_array_equal(again.samples, samples)
        assert (again.contents, again.offsets.tolist()) == (waves.contents, waves.offsets.tolist())
        np.testing.assert_array_equal(cache.embed(again, classifier).values, rows)
        (said,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert said.startswith("warning: damaged in the cache, made again: ") and name.rpartition("/")[0] in said
        assert entries(own_cache) == kept
        timed = name.endswith("cost.json") or ("embeddings/" in name and name.endswith("entry.json"))
        assert timed or (own_cache / name).read_bytes() == old, "all but the time it took is the same again"
        caplog.clear()
        cache.embed(cache.decode_clips(clips, RATE_HZ), classifier)
        assert not caplog.records


def test_every_block_of_a_large_file_is_compared(
    clips: Clips, own_cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("hubbub.data.entries._BLOCK", 10_000)
    expected = np.array(cache.decode_clips(clips, RATE_HZ).samples)
    (file,) = own_cache.rglob("samples.f32")
    for place in range(5_000, expected.nbytes, 50_000):
        with file.open("rb+") as sink:
            sink.seek(place)
            sink.write(b"noise")
        caplog.clear()
        np.testing.assert_array_equal(cache.decode_clips(clips, RATE_HZ).samples, expected)
        assert len(caplog.records) == 1


def test_offsets_of_other_clips_are_refused() -> None:
    good = np.array([0, 2, 2, 5])
    assert cache.offsets_of(good, 3, 5).tolist() == [0, 2, 2, 5]
    for bad in ([0, -3, 5, 5], [1, 2, 2, 5], [0, 2, 2, 4], [0, 2, 2, 6], [0, 4, 2, 5], [0, 2, 5]):
        with pytest.raises(ValueError, match="its offsets"):
            cache.offsets_of(np.array(bad), 3, 5)
    with pytest.raises(ValueError, match="not 4 whole numbers"):
        cache.offsets_of(good.astype(float), 3, 5)


# Files that hold the time that the entry took, and its checksums.
MEASURED = ("cost.json", "entry.json")

# Decodes, or embeds what is decoded, as the fixtures do; killed once so many pieces are written (0: never).
FILLING = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.data import test_cache
from hubbub.data import cache, entries
folder, what, left = Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
cache.SEGMENTS_AT_ONCE = 8
add = entries.JournalledFile.add
def counted(self, values, facts):
    global left
    add(self, values, facts)
    if self.name == what:
        left -= 1
        print(what, flush=True)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
entries.JournalledFile.add = counted
cache.embed(cache.decode_clips(test_cache.listed(folder), test_cache.RATE_HZ), test_cache.small())
"""


def filling(folder: Path, what: str, pieces: int) -> list[str]:
    words = [sys.executable, "-c", FILLING, str(Path(__file__).parents[2]), str(folder), what, str(pieces)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == (-signal.SIGKILL if pieces else 0), done.stderr
    return done.stdout.split()


@pytest.mark.slow
@pytest.mark.parametrize(("what", "pieces"), [("samples.f32", 6), ("values.npy", 4)])
def test_a_killed_process_leaves_what_the_next_goes_on_from(
    clips: Clips, own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, pieces: int
) -> None:
    """`pieces`: clips, or groups of clips with 8 segments or more and the header before them."""
    assert len(filling(tmp_path, what, 2)) == 2
    (unfinished,) = own_cache.rglob(".*.unfinished")
    with (unfinished / what).open("ab") as torn, (unfinished / "journal.jsonl").open("ab") as journal:
        torn.write(b"part of the next piece")
        journal.write(b'0123abcd [{"samp')
    assert len(filling(tmp_path, what, 1)) == 1
    assert len(filling(tmp_path, what, 0)) == pieces - 3
    assert {Path(name).name for name in entries(own_cache)} == {
        "samples.f32", "clips.json", "entry.json", "values.npy", "offsets.npy", "cost.json",
    }  # fmt: skip
    kept = {Path(n).name: (own_cache / n).read_bytes() for n in entries(own_cache) if Path(n).name not in MEASURED}
    # Uninterrupted, in a cache of its own: the same to the last bit.
    monkeypatch.setenv("HUBBUB_CACHE", str(tmp_path / "whole"))
    filling(tmp_path, what, 0)
    assert {Path(name).name: (tmp_path / "whole" / name).read_bytes() for name in entries(tmp_path / "whole")
            if Path(name).name not in MEASURED} == kept  # fmt: skip


@pytest.mark.slow
def test_pieces_that_were_damaged_since_are_not_taken_up(
    clips: Clips, classifier: TorchClassifier, own_cache: Path, tmp_path: Path
) -> None:
    filling(tmp_path, "samples.f32", 4)
    (file,) = own_cache.rglob("samples.f32")
    file.write_bytes(b"noise" + file.read_bytes()[5:])
    assert len(filling(tmp_path, "samples.f32", 0)) == 6
    for i, (path, start, end) in enumerate(clips.table[["path", "start", "end"]].itertuples(index=False)):
        np.testing.assert_array_equal(
            cache.decode_clips(clips, RATE_HZ).wave(i), decode.load(path, RATE_HZ, start, end)
        )


@pytest.mark.slow
def test_of_two_processes_that_want_the_same_one_fills_it(clips: Clips, own_cache: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-c", FILLING, str(Path(__file__).parents[2]), str(tmp_path), "samples.f32", "0"]
    started = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate() for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], said
    assert sum(len(out.split()) for out, _ in said) == 6
    assert "damaged" not in "".join(err for _, err in said)
    assert len(entries(own_cache)) == 7
    assert not list(own_cache.rglob(".*"))


def test_what_dead_processes_left_goes_and_what_others_write_stays(clips: Clips, own_cache: Path) -> None:
    cache.decode_clips(clips, RATE_HZ)
    place = own_cache / "decoded"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    names = {
        f".0123.{dead.pid}-0123abcd": 2,  # hours since it was written to
        f".4567.{dead.pid}-0123abcd": 0.5,  # may be of a process on another machine
        f".89ab.{os.getpid()}-0123abcd": 2,
        ".cdef.unfinished": 24 * 8,
        ".fedc.unfinished": 24 * 6,  # may be taken up
        ".ba98.unfinished": 24 * 8,  # held by this process
    }
    for name, hours in names.items():
        (place / name).mkdir()
        (place / name / "samples.f32").write_bytes(b"sound")
        for path in (place / name / "samples.f32", place / name):
            os.utime(path, 2 * (time.time() - 3600 * hours,))
    with filelock.FileLock(place / ".ba98.lock"):
        cache.decode_clips(clips, RATE_HZ)
        left = {path.name for path in place.glob(".*")} - {".ba98.lock"}
    assert left == set(list(names)[1:3] + list(names)[4:])


def test_a_decoding_that_is_stopped_by_hand_goes_on_and_a_failed_one_leaves_nothing(
    clips: Clips, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, heard = decode.open_sound, []

    def stopped(path: str, *span: float) -> AbstractContextManager[decode.Sound]:
        if len(heard) == 4:
            raise KeyboardInterrupt
        heard.append(path)
        return real(path, *span)

    monkeypatch.setattr(decode, "open_sound", stopped)
    monkeypatch.setattr(cache, "cores", lambda: 1)
    with pytest.raises(KeyboardInterrupt):
        cache.decode_clips(clips, RATE_HZ)
    monkeypatch.setattr(decode, "open_sound", lambda path, *span: (heard.append(path), real(path, *span))[1])
    cache.decode_clips(clips, RATE_HZ)
    assert len(heard) == 6 and len(entries(own_cache)) == 3


def test_a_full_disk_is_told_and_leaves_nothing(clips: Clips, own_cache: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(StoreError, match=r"could not be written: File too large\. Make room, or set HUBBUB_CACHE"):
            cache.decode_clips(clips, RATE_HZ)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert entries(own_cache) == []
    assert len(cache.decode_clips(clips, RATE_HZ)) == len(clips)
