"""The street keeps its promises: the same bytes again, sources apart, sounds that behave, and no toy of a task."""

import csv
import hashlib
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from scipy.fft import rfft
from scipy.ndimage import uniform_filter1d
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from hubbub.data.synthetic import CLASSES, CLIP_SECONDS, SAMPLE_RATE_HZ, StreetClip, SyntheticError, plan, render, write

Wave = npt.NDArray[np.float32]
Street = tuple[Path, list[StreetClip], list[Wave]]
SAMPLES = int(SAMPLE_RATE_HZ * CLIP_SECONDS)
FRAME = 1024


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Street:
    """The 400 clips of seed 0 as written: the table, the plan and the sounds."""
    table = write(tmp_path_factory.mktemp("street"))
    clips = plan()
    return table, clips, [soundfile.read(table.parent / "audio" / f"{c.name}.wav", dtype="float32")[0] for c in clips]


def clean(label: str) -> Iterator[tuple[StreetClip, Wave]]:
    """The first clip of every source of a class, 40 dB over the traffic."""
    for clip in plan():
        if clip.label == label and clip.name.endswith("-1"):
            loud = replace(clip, snr_db=40.0)
            yield loud, render(loud)


def inside(clip: StreetClip, wave: Wave) -> Wave:
    return wave[round(clip.onset * SAMPLE_RATE_HZ) : round(clip.offset * SAMPLE_RATE_HZ)]


def power(wave: Wave, frame: int = FRAME, overlap: int = 2) -> Wave:
    """Power spectrogram, [frames, frame // 2 + 1]; every sample is in `overlap` frames."""
    frames = np.lib.stride_tricks.sliding_window_view(wave, frame)[:: frame // overlap]
    spectra = rfft(frames * np.hanning(frame).astype(np.float32))
    return spectra.real**2 + spectra.imag**2


def mel_bands(count: int = 64) -> Wave:
    """Triangles even on the mel scale, [count, FRAME // 2 + 1]."""
    top = 2595 * np.log10(1 + SAMPLE_RATE_HZ / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, count + 2) / 2595) - 1)
    freqs = np.arange(FRAME // 2 + 1) * SAMPLE_RATE_HZ / FRAME
    rising = (freqs - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - freqs) / np.diff(edges)[1:, None]
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


# ---- The plan ----


def test_plan_spreads_clips_evenly_and_names_each_once() -> None:
    clips = plan(403)
    assert len({c.name for c in clips}) == 403
    assert sorted(Counter(c.label for c in clips).values()) == [40] * 7 + [41] * 3
    assert clips[0].source == "air_conditioner-s01" and clips[0].name == "air_conditioner-s01-1"


@pytest.mark.parametrize(("clips", "folds"), [(400, 5), (403, 3), (200, 10), (20, 2), (57, 5)])
def test_a_source_is_in_one_fold_and_every_class_in_all_evenly(clips: int, folds: int) -> None:
    planned = plan(clips, folds)
    homes: dict[str, set[int]] = {}
    for clip in planned:
        homes.setdefault(clip.source, set()).add(clip.fold)
    assert all(len(home) == 1 for home in homes.values())
    shares = Counter((c.label, c.fold) for c in planned)
    for label in CLASSES:
        share = [shares[label, fold] for fold in range(1, folds + 1)]
        assert min(share) >= 1 and max(share) - min(share) <= 1


def test_a_source_has_about_four_clips() -> None:
    assert set(Counter(c.source for c in plan()).values()) == {4}


def test_events_lie_within_their_clips() -> None:
    for clip in plan():
        assert 0 <= clip.onset < clip.offset <= CLIP_SECONDS
        assert -3 <= clip.snr_db <= 18


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"clips": 9}, "9 clips .* 10 classes .* Ask for more"),
        ({"folds": 1}, "1 folds .* Ask for 2"),
        ({"clips": 40, "folds": 5}, "5 folds .* 40 clips give 4.* fewer"),
        ({"seed": -1}, "-1 .* 0 or more"),
    ],
)
def test_bad_arguments_are_refused_in_words(arguments: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(SyntheticError, match=words):
        plan(**arguments)
    with pytest.raises(SyntheticError, match=words):
        write(tmp_path / "street", **arguments)
    assert not (tmp_path / "street").exists()


def test_an_unknown_class_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(SyntheticError, match="Did you mean 'siren'"):
        render(replace(plan()[0], label="sirens"))


# ---- Determinism ----


def test_a_clip_sounds_the_same_in_any_order_and_process(street: Street) -> None:
    _, clips, waves = street
    for clip, wave in list(zip(clips, waves, strict=True))[-1::-39]:
        assert np.abs(render(clip) - wave).max() < 1e-4
    script = (
        "import hashlib; from hubbub.data.synthetic import plan, render;"
        "print(hashlib.sha256(render(plan(seed=3)[123]).tobytes()).hexdigest())"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
    assert said == hashlib.sha256(render(plan(seed=3)[123]).tobytes()).hexdigest()


def test_another_seed_makes_another_street() -> None:
    for one, other in zip(plan(20, 2, seed=0), plan(20, 2, seed=1), strict=True):
        same_event = replace(one, seed=1, onset=other.onset, offset=other.offset, snr_db=other.snr_db)
        assert not np.array_equal(render(one), render(other))
        assert np.array_equal(render(same_event), render(other))


def test_the_number_of_workers_leaves_the_bytes_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    for workers in (1, 4):
        monkeypatch.setattr("hubbub.data.synthetic.cores", lambda workers=workers: workers)
        root = write(tmp_path / str(workers), clips=20, folds=2, seed=5).parent
        written.append({p.relative_to(root): p.read_bytes() for p in root.rglob("*.*")})
    assert len(written[0]) == 21
    assert written[0] == written[1]


# ---- The files ----


def test_the_table_says_what_was_planned(street: Street) -> None:
    table, clips, _ = street
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["clip", "file", "label", "fold", "source", "onset", "offset", "snr_db"]
    for row, c in zip(rows, clips, strict=True):
        assert (row["clip"], row["label"], row["source"]) == (c.name, c.label, c.source)
        assert int(row["fold"]) == c.fold
        assert (float(row["onset"]), float(row["offset"]), float(row["snr_db"])) == (c.onset, c.offset, c.snr_db)
        info = soundfile.info(table.parent / row["file"])
        assert (info.samplerate, info.channels, info.frames, info.subtype) == (SAMPLE_RATE_HZ, 1, SAMPLES, "PCM_16")


def test_progress_sees_every_clip(tmp_path: Path) -> None:
    seen = []

    def bar(items: Iterable[object], total: int) -> Iterator[object]:
        for item in items:
            seen.append(total)
            yield item

    write(tmp_path, clips=20, folds=2, progress=bar)
    assert seen == [20] * 20


def test_an_interrupted_write_leaves_no_table(tmp_path: Path) -> None:
    def stop(items: Iterable[object], total: int) -> Iterator[object]:
        yield next(iter(items))
        raise KeyboardInterrupt

    write(tmp_path, clips=20, folds=2)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, clips=20, folds=2, seed=1, progress=stop)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["audio"]


# ---- The physics ----


def test_sounds_are_finite_and_within_full_scale(street: Street) -> None:
    _, clips, waves = street
    for wave in waves:
        assert wave.shape == (SAMPLES,)
        assert np.isfinite(wave).all()
        assert 0.1 < np.abs(wave).max() <= 1
    sound = render(clips[0])
    assert sound.dtype == np.float32 and sound.shape == (SAMPLES,)


def test_events_stand_out_between_onset_and_offset(street: Street) -> None:
    _, clips, waves = street
    ratios = []
    for clip, wave in zip(clips, waves, strict=True):
        within = inside(clip, wave)
        if clip.snr_db > 12 and len(within) < 0.9 * SAMPLES:
            outside = (np.sum(wave**2) - np.sum(within**2)) / (len(wave) - len(within))
            ratios.append(10 * np.log10(np.mean(within**2) / outside))
    assert len(ratios) > 50
    assert min(ratios) > 6
    assert 12 < np.median(ratios) < 18


def test_sirens_move_in_pitch_slowly_or_fast() -> None:
    turns = []
    for clip, wave in clean("siren"):
        bins = power(inside(clip, wave))[:, 14:120]  # About 300 to 2600 Hz.
        ridge = uniform_filter1d(14.0 + bins.argmax(axis=1), 3)
        assert np.percentile(ridge, 95) / np.percentile(ridge, 5) > 1.4, clip.name
        away = np.sign(ridge - np.median(ridge))
        turns.append(np.count_nonzero(np.diff(away[away != 0])) / (clip.offset - clip.onset))
    assert min(turns) < 2  # A wail turns back after seconds,
    assert max(turns) > 4  # a yelp several times in one.


def test_air_conditioners_do_not_move() -> None:
    for clip, wave in clean("air_conditioner"):
        levels = power(inside(clip, wave), 8192).sum(axis=1)
        assert levels.max() / levels.min() < 2.5, clip.name


def test_jackhammers_strike_ten_to_thirty_times_a_second() -> None:
    step = 64
    for clip, wave in clean("jackhammer"):
        envelope = uniform_filter1d(inside(clip, wave).astype(np.float64) ** 2, 256)[::step] ** 0.5
        envelope -= envelope.mean()
        likeness = np.correlate(envelope, envelope, "full")[len(envelope) - 1 :]
        lags = np.arange(int(SAMPLE_RATE_HZ / step / 80), int(SAMPLE_RATE_HZ / step / 8))
        best = lags[likeness[lags].argmax()]
        assert 10 <= SAMPLE_RATE_HZ / step / best <= 30, clip.name
        assert likeness[best] > 0.2 * likeness[0], clip.name


def test_gun_shots_burst_at_the_onset_and_die_away() -> None:
    tenth = SAMPLE_RATE_HZ // 10
    for clip, wave in clean("gun_shot"):
        start = round(clip.onset * SAMPLE_RATE_HZ)
        event = inside(clip, wave)
        energies = np.add.reduceat(event**2, np.arange(0, len(event), tenth))
        assert energies[0] > 100 * np.sum(wave[max(0, start - tenth) : start] ** 2), clip.name
        # One to three shots: a few tenths of a second hold most of the energy.
        assert np.sort(energies)[-6:].sum() > 0.7 * energies.sum(), clip.name


def test_car_horns_hold_two_tones_a_third_apart() -> None:
    frame = 8192
    hertz = SAMPLE_RATE_HZ / frame
    for clip, wave in clean("car_horn"):
        chords = []
        for half in np.array_split(inside(clip, wave), 2):
            padded = np.pad(half * np.hanning(len(half)).astype(np.float32), (0, max(0, frame - len(half))))
            spectrum = power(padded, frame).mean(axis=0)
            spectrum[: int(300 / hertz)] = spectrum[int(620 / hertz) :] = 0  # Both fundamentals, no harmonic.
            first = int(spectrum.argmax())
            spectrum[first - 15 : first + 15] = 0
            chords.append(sorted((first * hertz, int(spectrum.argmax()) * hertz)))
        assert np.allclose(chords[0], chords[1], rtol=0.015), clip.name
        assert all(1.18 < high / low < 1.27 for low, high in chords), clip.name


def test_dogs_bark_downwards() -> None:
    lags = np.arange(SAMPLE_RATE_HZ // 1500, SAMPLE_RATE_HZ // 120)
    for clip, wave in clean("dog_bark"):
        periods = []
        for at in (0.02, 0.05):
            piece = inside(clip, wave)[round(at * SAMPLE_RATE_HZ) :][: SAMPLE_RATE_HZ // 40]
            likeness = np.correlate(piece, piece, "full")[len(piece) - 1 :]
            periods.append(lags[likeness[lags].argmax()])
        assert periods[1] > 1.02 * periods[0], clip.name


# ---- The task ----


def test_average_spectra_tell_something_but_not_all(street: Street) -> None:
    _, clips, waves = street
    bands = mel_bands()
    labels, folds = np.array([c.label for c in clips]), np.array([c.fold for c in clips])
    right = 0
    with threadpool_limits(1):  # Small matrices: threads would only wait for one another.
        spectra = np.array([10 * np.log10(power(w, overlap=1) @ bands.T + 1e-10).mean(axis=0) for w in waves])
        for fold in range(1, 6):
            model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
            model.fit(spectra[folds != fold], labels[folds != fold])
            right += int((model.predict(spectra[folds == fold]) == labels[folds == fold]).sum())
    assert 0.40 < right / len(clips) < 0.80
