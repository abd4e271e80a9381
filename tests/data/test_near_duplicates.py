"""near_duplicates: changed copies are found with their shift; tones, silence and likenesses are none."""

import hashlib
import io
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from hubbub.audio import decode
from hubbub.data import fingerprints, near_duplicates
from hubbub.data.cache import Waves, decode_clips, key_of
from hubbub.data.clips import Clips
from hubbub.data.near_duplicates import NearDuplicate, find, join_groups
from hubbub.data.open import open_data
from tests.helpers.tables import clip_table

Wave = npt.NDArray[np.float32]
Home = Callable[[str, str], Path]
RATE_HZ = 16_000
TIMES = np.arange(5 * RATE_HZ) / RATE_HZ


def waves(these: Sequence[npt.ArrayLike], rate_hz: int = RATE_HZ) -> Waves:
    """Waves in memory, as the cache holds them."""
    each = [np.asarray(wave, np.float32) for wave in these]
    contents = tuple(hashlib.sha256(wave.tobytes()).hexdigest() for wave in each)
    offsets = np.cumsum([0, *map(len, each)]).astype(np.int64)
    return Waves(
        np.concatenate([*each, np.zeros(0, np.float32)]), offsets, contents, rate_hz, key_of(rate_hz, contents)
    )


def noise(seed: int, seconds: float = 5.0, rate_hz: int = RATE_HZ, level: float = 0.1) -> Wave:
    return np.random.default_rng(seed).normal(0, level, round(seconds * rate_hz)).astype(np.float32)


def pairs_of(found: Sequence[NearDuplicate]) -> list[tuple[int, int]]:
    return [(pair.first, pair.second) for pair in found]


# Copies of real clips


def coded(wave: Wave, container: str, subtype: str, **settings: object) -> Wave:
    file = io.BytesIO()
    soundfile.write(file, wave, RATE_HZ, format=container, subtype=subtype, **settings)
    file.seek(0)
    return np.asarray(soundfile.read(file, dtype="float32")[0])


def loudest_half(wave: Wave) -> Wave:
    size = len(wave) // 2
    return max((wave[start : start + size] for start in (0, size // 2, size)), key=lambda part: float((part**2).sum()))


def noisy(wave: Wave) -> Wave:
    seed = zlib.crc32(wave.tobytes())  # its own: copies that share their noise would share sound
    return wave + noise(seed, len(wave) / RATE_HZ, level=float(np.sqrt((wave**2).mean())) / 100)


CHANGES: dict[str, Callable[[Wave], Wave]] = {
    "last bit": lambda wave: ((np.round(wave * 32768).astype(int) ^ 1) / 32768).astype(np.float32),
    "gain": lambda wave: wave * np.float32(0.2),
    "polarity": lambda wave: -wave,
    "rate": lambda wave: decode.resample(decode.resample(wave, RATE_HZ, 8000), 8000, RATE_HZ),
    "trimmed": lambda wave: wave[round(0.4321 * RATE_HZ) :],
    "padded": lambda wave: np.concatenate([np.zeros(round(0.777 * RATE_HZ), np.float32), wave]),
    "ogg": lambda wave: coded(wave, "OGG", "VORBIS"),
    "mp3": lambda wave: coded(wave, "MP3", "MPEG_LAYER_III", bitrate_mode="CONSTANT", compression_level=0.5),
    "noise": noisy,
    "half": loudest_half,
}


@pytest.fixture(scope="module")
def real(home: Home) -> list[Wave]:
    """A clip of each class of ESC-50, of recordings that share no sound."""
    home("data", "esc50")
    clips = open_data("esc50")
    table = clips.table[clips.table["fold"] == "1"].groupby("label").head(1).reset_index(drop=True)
    sound = decode_clips(replace(clips, table=table), RATE_HZ)
    return [sound.wave(clip) for clip in range(len(sound))]


@pytest.mark.parametrize("kind", CHANGES)
def test_changed_copies_of_real_clips_are_found_and_nothing_else(real: list[Wave], kind: str) -> None:
    found = find(waves([*real, *map(CHANGES[kind], real)]))
    copies = {(clip, len(real) + clip) for clip in range(len(real))}
    assert set(pairs_of(found)) <= copies
    assert len(found) >= 0.95 * len(real) >= 45
    assert all(0.3 <= pair.similarity <= 1 for pair in found)


def test_clips_of_esc50_that_share_sound(home: Home) -> None:
    """Each was compared by quarter seconds: the waves agree for .7 s or longer. Three pairs lie in different folds."""
    home("data", "esc50")
    shared = [
        ("1-14262-A-37", "4-198841-A-37"), ("1-23222-A-19", "1-24524-C-19"), ("2-110011-A-5", "5-256452-A-5"),
        ("2-28314-A-12", "2-30322-A-12"), ("2-28314-B-12", "2-30322-B-12"), ("3-177082-A-22", "3-177083-A-22"),
        ("3-151080-A-20", "5-151085-A-20"), ("3-62878-A-42", "3-62878-B-42"),
    ]  # fmt: skip
    clips = open_data("esc50")
    table = clips.table[clips.table["clip"].isin({clip for pair in shared for clip in pair})].reset_index(drop=True)
    clips = replace(clips, table=table)
    ids = list(table["clip"])
    found = find(decode_clips(clips, RATE_HZ))
    assert {(ids[one], ids[other]) for one, other in pairs_of(found)} == set(shared)
    apart = find(decode_clips(clips, RATE_HZ), list(table["group"]))
    assert {(ids[one], ids[other]) for one, other in pairs_of(apart)} == set(shared[:-1]), "the last are of one group"


# Where the copy lies


@pytest.mark.parametrize("rate_hz", [4000, 8000, 11_025, 22_050, 44_100, 48_000])
def test_copies_are_found_at_every_rate_and_length_with_their_shift(rate_hz: int) -> None:
    seconds = (0.05, 0.1, 0.3, 2.0)
    clips = [noise(number, length, rate_hz) for number, length in enumerate(seconds)]
    late = round(0.31 * rate_hz)
    copies = [np.concatenate([np.zeros(late), -0.3 * clip]) for clip in clips]
    found = find(waves([*clips, *copies], rate_hz))
    assert pairs_of(found) == [(clip, clip + len(clips)) for clip in range(len(clips))]
    assert [pair.shift_s for pair in found] == pytest.approx([late / rate_hz] * 4, abs=1e-4)


def test_clips_of_ten_milliseconds_are_found_where_they_lie_alike() -> None:
    clips = [noise(number, 0.01) for number in range(20)]
    copies = [0.5 * clip + noise(100 + number, 0.01, level=0.0005) for number, clip in enumerate(clips)]
    assert pairs_of(find(waves([*clips, *copies]))) == [(clip, clip + 20) for clip in range(20)]


def test_a_part_of_a_long_recording_is_found_where_it_was_cut() -> None:
    long = noise(0, 120)
    found = find(waves([long, noise(1, 120), 2 * long[round(71.3 * RATE_HZ) : round(73.5 * RATE_HZ)]]))
    assert pairs_of(found) == [(0, 2)] and found[0].shift_s == pytest.approx(-71.3, abs=1e-3)
    assert found[0].similarity > 0.99


def test_words_do_not_depend_on_how_a_long_wave_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    wave, narrow = noise(0, 20, 44_100), fingerprints.narrow_of(44_100)
    whole = fingerprints.words(wave, narrow)
    monkeypatch.setattr(fingerprints, "_FRAMES_AT_ONCE", 37)
    assert np.mean(whole == fingerprints.words(wave, narrow)) > 0.99  # a bit on the edge may fall either way
    assert len(whole) == pytest.approx(20 / fingerprints.HOP_S, abs=30)


# What is no near-duplicate


def fading(hertz: float, phase: float) -> npt.NDArray[np.float64]:
    return 0.3 * np.sin(2 * np.pi * hertz * TIMES + phase) * np.minimum(1, TIMES * (1 + phase))


def clicks(seed: int) -> npt.NDArray[np.float64]:
    """One click, recorded at other times in other noise."""
    click = np.random.default_rng(99).normal(0, 0.5, 200) * np.exp(-np.arange(200) / 40)
    found = noise(seed, level=0.01).astype(float)
    for start in np.random.default_rng(seed).integers(0, len(found) - 200, 10):
        found[start : start + 200] += click
    return found


UNLIKE: dict[str, Callable[[int], npt.ArrayLike]] = {
    "one tone": lambda k: fading(440, k),
    "one tone in 16 bits": lambda k: np.round(fading(440, k) * 32768) / 32768,
    "one hum in other noise": lambda k: sum(fading(50 * h, k * h) / h for h in (1, 3, 5)) + noise(k, level=0.003),
    "one sweep in other noise": lambda k: 0.1 * np.sin(2 * np.pi * (200 + 300 * TIMES) * TIMES) + noise(k),
    "one padding of silence": lambda k: np.concatenate([np.zeros(40_000), noise(k, 1), np.zeros(40_000)]),
    "one click at other times": clicks,
}


@pytest.mark.parametrize("kind", UNLIKE)
def test_likenesses_are_no_near_duplicates(kind: str) -> None:
    assert find(waves([UNLIKE[kind](number) for number in range(8)])) == []


def test_silence_is_no_sound() -> None:
    assert find(waves([np.zeros(RATE_HZ), np.zeros(RATE_HZ), np.zeros(80_000), noise(0)])) == []


# Many clips


def test_identical_clips_are_paired_in_a_chain_and_the_first_with_a_changed_copy() -> None:
    one, other = noise(0), noise(1)
    found = find(waves([one, other, one, -one, one]))
    assert pairs_of(found) == [(0, 2), (0, 3), (2, 4)]
    assert found[0] == NearDuplicate(0, 2, 0.0, 1.0) and found[1].similarity > 0.99
    assert pairs_of(find(waves([one, other, one, -one, one]), ["a", "b", "a", "", ""])) == [(0, 3), (2, 4)]


def test_forty_copies_hang_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many passes the words are sorted in."""
    one = noise(0, 1)
    sound = waves([noise(100), *(one + noise(number, 1, level=0.001) for number in range(1, 41)), noise(101)])
    found = find(sound)
    _, (note,) = join_groups(clips_of(len(sound)), found)
    assert note.startswith("NEAR-DUPLICATES JOINED: 39 pairs of clips hold the same sound")
    monkeypatch.setattr(near_duplicates, "WORDS_AT_ONCE", 500)
    monkeypatch.setattr(near_duplicates, "PAIRS_AT_ONCE", 100)
    assert len(join_groups(clips_of(len(sound)), find(sound))[1]) == 1


@pytest.mark.parametrize("clips", [[], [noise(0)], [np.zeros(0), noise(0)], [np.ones(3), np.ones(5), noise(0, 0.001)]])
def test_few_and_tiny_clips(clips: list[npt.ArrayLike]) -> None:
    assert find(waves(clips)) == []


def test_fingerprints_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = waves([noise(7), -noise(7)])
    first = find(sound)
    monkeypatch.setattr(fingerprints, "words", lambda *_: pytest.fail("computed again"))
    assert find(sound) == first and len(first) == 1


# Groups


def clips_of(count: int, groups: Sequence[str] = ()) -> Clips:
    clips = clip_table(folds=2, labels=1, groups=count, takes=1)
    return replace(clips, table=clips.table.head(count).assign(group=list(groups) or [""] * count))


def test_groups_of_near_duplicates_are_joined_with_a_note() -> None:
    clips = clips_of(6, ["a", "a", "b", "", "", "c"])
    pairs = [NearDuplicate(1, 2, 0.0, 0.9), NearDuplicate(2, 3, 0.0, 0.9), NearDuplicate(0, 3, 0.0, 0.9)]
    joined, notes = join_groups(clips, pairs)
    assert list(joined.table["group"]) == ["a", "a", "a", "a", "", "c"]
    assert notes == (
        "NEAR-DUPLICATES JOINED: 2 pairs of clips hold the same sound, so each pair counts as one recording "
        "(1-0-1-0 ~ 1-0-2-0, 1-0-2-0 ~ 1-0-3-0)",
    )
    assert list(clips.table["group"]) == ["a", "a", "b", "", "", "c"], "the given clips stay as they are"


def test_clips_without_groups_are_joined_too_and_nothing_is_said_of_one_group() -> None:
    joined, notes = join_groups(clips_of(3), [NearDuplicate(0, 2, 0.1, 0.8)])
    assert list(joined.table["group"]) == ["1-0-0-0", "", "1-0-0-0"]
    assert notes == (
        "NEAR-DUPLICATES JOINED: 1 pair of clips holds the same sound, so each pair counts as one recording "
        "(1-0-0-0 ~ 1-0-2-0)",
    )
    kept = replace(clips_of(3), fold_source="made")
    again, _ = join_groups(kept, [NearDuplicate(0, 2, 0.1, 0.8)])
    assert (again.folds, again.fold_source) == ((), "none"), "folds that were made of the groups hold no longer"
    assert join_groups(kept, [])[0] is kept and joined.folds == clips_of(3).folds != ()
    clips = clips_of(2, ["a", "a"])
    assert join_groups(clips, [NearDuplicate(0, 1, 0.1, 0.8)]) == (clips, ())
