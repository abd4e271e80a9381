"""sound_findings: planted flaws are found, with the clips concerned; classes given away by their files are found."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import soundfile
import soxr

from hubbub.data.check import check_data, check_inputs
from hubbub.data.findings import DataCheck, Finding
from hubbub.data.near_duplicates import NearDuplicate
from hubbub.data.sound_findings import copies
from tests.data.test_properties import pink

RATE = 44_100
Wave = npt.NDArray[np.float32]


def written(file: Path, wave: Wave, rate_hz: int = RATE) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(file, np.clip(wave, -1, 1), rate_hz, "PCM_16")


def classes(folder: Path, change: Callable[[Path, Wave], object] = written, each: int = 8) -> Path:
    """Three classes of noises of any level; those of "rain" are changed."""
    rng = np.random.default_rng(0)
    for number in range(3 * each):
        label = ("rain", "wind", "river")[number % 3]
        wave = pink(0.3, seed=number) * rng.uniform(0.3, 1)
        (change if label == "rain" else written)(folder / label / f"{number}.wav", wave.astype(np.float32))
    return folder


def by_kind(found: DataCheck) -> dict[str, Finding]:
    return {finding.kind: finding for finding in found.findings}


def at_half_rate(file: Path, wave: Wave) -> None:
    written(file, soxr.resample(wave, RATE, RATE // 2), RATE // 2)


def resampled_up(file: Path, wave: Wave) -> None:
    written(file, soxr.resample(soxr.resample(wave, RATE, 16_000), 16_000, RATE))


def through_mp3(file: Path, wave: Wave) -> None:
    encoded = io.BytesIO()
    soundfile.write(encoded, wave, RATE, format="MP3", bitrate_mode="CONSTANT", compression_level=0.8)
    encoded.seek(0)
    written(file, soundfile.read(encoded, dtype="float32")[0])


def as_mp3(file: Path, wave: Wave) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(file.with_suffix(".mp3"), wave, RATE)


@pytest.mark.parametrize(
    ("change", "family", "said"),
    [
        (at_half_rate, "file format", "'rain': 22,050 Hz, others: 44,100 Hz"),
        (as_mp3, "file format", "'rain': MP3 MPEG_LAYER_III, others: WAV PCM_16"),
        (resampled_up, "band limit", "'rain': 35% of the bandwidth, others: 100% of the bandwidth"),
        (through_mp3, "encoder's low-pass", "'rain': 100% of the clips, others: 0% of the clips"),
        (lambda file, wave: written(file, wave + 0.03), "DC offset", "'rain': +3.0%, others: "),
    ],
)
def test_a_class_with_a_recorder_of_its_own_gives_a_warning(
    change: Callable[[Path, Wave], None], family: str, said: str, tmp_path: Path
) -> None:
    found = check_data(str(classes(tmp_path, change)))
    assert not found.of("wrong")
    (warning,) = (finding for finding in found.of("warning") if finding.kind == f"confound: {family}")
    assert said in warning.text and f"{family} alone tells 'rain' from the other classes" in warning.text
    assert "chance 0.333 (p < 0.01, 24 recordings)" in warning.text
    assert "learn the recorder and not the sound" in warning.advice
    assert len(warning.clips) == 8 and all(clip.startswith("rain/") for clip in warning.clips)


def test_a_louder_class_gives_a_hint(tmp_path: Path) -> None:
    found = check_data(str(classes(tmp_path, lambda file, wave: written(file, 10 * wave))))
    assert not found.of("warning")
    hint = by_kind(found)["differences"]
    assert hint.severity == "note" and "loudness alone tells 'rain' from the other classes" in hint.text
    assert "may be their nature" in hint.advice


def test_like_classes_give_nothing(tmp_path: Path) -> None:
    found = check_data(str(classes(tmp_path)))
    assert [finding.kind for finding in found.findings if "GROUP" not in finding.text] == []
    assert all(not test.alarming and test.recordings == 24 for test in found.properties)
    assert found.clips == found.recordings == 24 and (found.shortest_s, found.longest_s) == (0.3, 0.3)
    assert found.seconds == pytest.approx(24 * 0.3)
    assert {one.label: (one.clips, one.recordings, one.rates_hz) for one in found.classes} == dict.fromkeys(
        ("rain", "river", "wind"), (8, 8, (RATE,))
    )


def test_flaws_are_named_with_their_clips(tmp_path: Path) -> None:
    classes(tmp_path)
    flawed = {
        "clipped": np.clip(8 * pink(0.5, seed=90), -1, 1),
        "quiet": pink(0.5, seed=91) / 200,
        "padded": np.concatenate([np.zeros(RATE), pink(0.5, seed=92)]),
        "offset": pink(0.5, seed=93) / 4 + 0.05,
        "short": pink(0.1, seed=94),
        "resampled": soxr.resample(soxr.resample(pink(0.5, seed=95), RATE, 8_000), 8_000, RATE),
    }
    for kind, wave in flawed.items():
        written(tmp_path / "wind" / f"{kind}.wav", wave.astype(np.float32))
    found = by_kind(check_data(str(tmp_path)))
    for kind in flawed:
        assert found[kind].clips == (f"wind/{kind}.wav",) and found[kind].severity == "note", kind
        assert found[kind].advice, kind
    assert "1 of about 8,000 Hz in 44,100 Hz" in found["resampled"].text
    assert "the shortest 0.1 s" in found["short"].text and "up to 5 %" in found["offset"].text


def test_formats_that_differ_within_the_classes_are_noted_and_no_confound(tmp_path: Path) -> None:
    for number in range(30):
        label = ("rain", "wind", "river")[number % 3]
        (written if number % 2 else at_half_rate)(tmp_path / label / f"{number}.wav", pink(0.3, seed=number))
    found = by_kind(check_data(str(tmp_path)))
    assert found["formats"].text == "files differ in format: 22,050 Hz (15), 44,100 Hz (15)"
    assert not any(kind.startswith("confound") for kind in found)


def test_copies_are_listed_where_they_harm() -> None:
    clips = pd.DataFrame({"clip": list("abcdef"), "label": list("xxxyxx"), "group": list("112345")})
    clips["content"] = ["1", "2", "3", "4", "6", "6"]
    pairs = [NearDuplicate(0, 1, 0.0, 1.0), NearDuplicate(0, 2, 0.5, 0.9), NearDuplicate(1, 3, 0.0, 0.8)]
    two_labels, two_groups = copies(clips, [*pairs, NearDuplicate(4, 5, 0.0, 1.0)])  # e and f are identical
    assert two_labels.text == "one recorded sound, two labels, 1 time: b 'x' = d 'y'" and two_labels.clips == ("b", "d")
    assert two_groups.text == "1 pair of clips with the same recorded sound: a = c (0.5 s later)"
    assert "one group" in two_groups.advice and two_groups.severity == "warning"
    assert copies(clips, pairs[:1]) == [], "no split parts a group"


def test_a_quieter_copy_is_found_in_the_files(tmp_path: Path) -> None:
    classes(tmp_path)
    wave = np.random.default_rng(5).normal(0, 0.1, 2 * RATE).astype(np.float32)
    written(tmp_path / "wind" / "first.wav", wave)
    written(tmp_path / "river" / "again.wav", wave / 3)
    found = by_kind(check_data(str(tmp_path)))["two labels"]
    assert found.severity == "warning" and {"wind/first.wav", "river/again.wav"} <= set(found.clips)


def test_decoded_clips_are_checked_without_reading_them_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hubbub.data import cache, near_duplicates
    from hubbub.data.open import open_data

    name = str(classes(tmp_path, at_half_rate))
    clips = open_data(name)
    waves = cache.decode_clips(clips, 8_000)  # the facts are those of the files, at any rate
    expected = check_data(name)
    monkeypatch.setattr(cache.decode, "open_sound", None)
    again = cache.decode_clips(clips, 8_000)
    assert check_inputs(clips, waves, near_duplicates.find(waves)) == expected
    assert check_inputs(clips, again, near_duplicates.find(again)) == expected
