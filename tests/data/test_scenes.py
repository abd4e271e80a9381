"""scenes: what sounds is found to the frame, plans keep their promises, and mixes have the levels that they say."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest

from hubbub.data import scenes
from hubbub.data.scenes import Event, Scene, ScenesError, SceneSettings, Stretch

Wave = npt.NDArray[np.float32]
RATE_HZ = 8_000


def bursts(spans: list[tuple[float, float]], seconds: float, rate_hz: int, floor_db: float = -120.0) -> Wave:
    """Tones of 440 Hz at these times, and noise so far below them."""
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    on = np.any([(start <= times) & (times < end) for start, end in spans], axis=0)
    noise = np.random.default_rng(0).normal(0, 0.3 / np.sqrt(2) * 10 ** (floor_db / 20), len(times))
    return (0.3 * np.sin(2 * np.pi * 440 * times) * on + noise).astype(np.float32)


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 44_100])
@pytest.mark.parametrize("floor_db", [-120.0, -30.0])
def test_the_times_of_what_sounds_are_right_to_a_frame(rate_hz: int, floor_db: float) -> None:
    spans = [(0.337, 0.551), (1.5, 3.01), (3.777, 3.9), (4.73, 5.0)]
    found = scenes.sounding(bursts(spans, 5.0, rate_hz, floor_db), rate_hz)
    assert len(found) == len(spans)
    assert np.abs(np.subtract(found, spans)).max() <= scenes.FRAME_S
    assert all(start <= true_start and end >= true_end - 1e-3 for (start, end), (true_start, true_end) in zip(
        found, spans, strict=True)), "nothing of a sound is cut off"  # fmt: skip


def test_gaps_shorter_than_half_a_second_are_part_of_a_sound() -> None:
    found = scenes.sounding(bursts([(1.0, 1.2), (1.6, 1.8), (2.4, 2.5)], 5.0, RATE_HZ), RATE_HZ)
    assert np.allclose(found, [(1.0, 1.8), (2.4, 2.5)], atol=scenes.FRAME_S)


def test_a_much_softer_sound_is_none() -> None:
    wave = bursts([(1.0, 1.5)], 5.0, RATE_HZ) + 0.2 * bursts([(3.0, 3.5)], 5.0, RATE_HZ)  # 14 dB below
    (found,) = scenes.sounding(wave, RATE_HZ)
    assert found == pytest.approx((1.0, 1.5), abs=scenes.FRAME_S)


def test_a_steady_sound_is_all_of_a_clip_and_silence_nothing_of_it() -> None:
    steady = np.random.default_rng(0).normal(0, 0.1, 5 * RATE_HZ).astype(np.float32)
    assert scenes.sounding(steady, RATE_HZ) == [(0.0, 5.0)]
    assert scenes.sounding(np.zeros(5 * RATE_HZ, np.float32), RATE_HZ) == []
    assert scenes.sounding(np.full(5 * RATE_HZ, 0.25, np.float32), RATE_HZ) == [], "an offset is no sound"
    assert scenes.sounding(steady[:100], RATE_HZ) == [(0.0, 0.0125)]


def stretches(folds: int = 3, labels: str = "abcd", clips: int = 4) -> list[Stretch]:
    """Of each class and fold some clips with a short and a long sound each."""
    return [
        Stretch(f"{f}{label}{n}", f"{f}{label}{n}.wav", label, f"{f}{label}{n // 2}", str(f), start, end)
        for f in range(folds)
        for label in labels
        for n in range(clips)
        for start, end in ((0.5, 0.9), (2.0, 4.7))
    ]


ASKED = SceneSettings(hours=0.2, length_s=20.0)


@pytest.fixture(scope="module")
def planned() -> list[Scene]:
    return scenes.plan(stretches(), [], ASKED)


def test_a_plan_has_the_hours_in_equal_shares_of_the_folds(planned: list[Scene]) -> None:
    assert len(planned) == 36 and len({scene.name for scene in planned}) == 36
    assert Counter(scene.fold for scene in planned) == {"0": 12, "1": 12, "2": 12}
    assert all(event.stretch.fold == scene.fold for scene in planned for event in scene.events)


def test_events_lie_in_their_scene_and_never_more_than_asked_sound_at_once(planned: list[Scene]) -> None:
    most = 0
    for scene in planned:
        assert scene.events and all(e.onset >= 0 and e.offset <= scene.seconds + 1e-9 for e in scene.events)
        at_once = [sum(e.onset <= t < e.offset for e in scene.events) for t in np.arange(0, scene.seconds, 0.01)]
        assert max(at_once) <= scene.at_once <= ASKED.overlap
        most = max(most, scene.at_once)
    assert most == ASKED.overlap


def test_events_of_one_class_stay_apart_so_that_they_are_two(planned: list[Scene]) -> None:
    for scene in planned:
        for label in "abcd":
            own = [event for event in scene.events if event.label == label]
            assert all(after.onset - before.offset >= scenes.JOIN_S for before, after in pairwise(own))


def test_one_at_a_time_is_one_at_a_time() -> None:
    for scene in scenes.plan(stretches(), [], replace(ASKED, overlap=1)):
        assert scene.at_once == 1


def test_levels_and_rooms_are_drawn_from_what_is_asked(planned: list[Scene]) -> None:
    levels = [event.snr_db for scene in planned for event in scene.events]
    assert -3 <= min(levels) < 1 and 16 < max(levels) <= 20
    assert 0.3 < np.mean([scene.rt60_s > 0 for scene in planned]) < 0.7
    assert all(0.2 <= scene.rt60_s <= 0.8 for scene in planned if scene.rt60_s)
    assert not any(scene.rt60_s for scene in scenes.plan(stretches(), [], replace(ASKED, reverb=0.0)))
    assert all(scene.rt60_s for scene in scenes.plan(stretches(), [], replace(ASKED, reverb=1.0)))


def test_all_clips_are_used_about_equally_often(planned: list[Scene]) -> None:
    used = Counter(event.stretch.clip for scene in planned for event in scene.events)
    assert set(used) == {one.clip for one in stretches()}
    assert max(used.values()) <= 3 * min(used.values())


def test_a_seed_gives_one_plan_and_another_seed_another(planned: list[Scene]) -> None:
    assert scenes.plan(stretches(), [], ASKED) == planned
    assert scenes.plan(stretches(), [], replace(ASKED, seed=1)) != planned


def test_a_longer_sound_is_used_in_part() -> None:
    long = [Stretch("x", "x.wav", "a", "x", "1", 100.0, 400.0)]
    for scene in scenes.plan(long, [], replace(ASKED, overlap=1)):
        for event in scene.events:
            assert event.stretch.seconds == pytest.approx(scenes.LONGEST_S)
            assert event.stretch.start >= 100 and event.stretch.end <= 400


def test_a_background_is_of_one_class_and_fold_and_long_enough() -> None:
    under = [Stretch(f"{f}{w}{n}", "", w, "", str(f), 0.0, 5.0) for f in range(3) for w in "rw" for n in range(3)]
    planned = scenes.plan(stretches(), under, ASKED)
    assert {scene.background[0].label for scene in planned} == {"r", "w"}
    for scene in planned:
        assert len({one.label for one in scene.background}) == 1 and {one.fold for one in scene.background} == {
            scene.fold
        }
        length = sum(one.seconds for one in scene.background) - scenes.CROSSFADE_S * (len(scene.background) - 1)
        assert scene.seconds <= length < scene.seconds + 5


TONE = Stretch("tone", "tone.wav", "a", "tone", "1", 0.0, 2.0)


def scene(snr_db: float = 10.0, rt60_s: float = 0.0, background: tuple[Stretch, ...] = ()) -> Scene:
    return Scene("scene-1", "1", 10.0, 0, (Event(TONE, 4.0, snr_db),), background, rt60_s, -6.0)


def read(stretch: Stretch) -> Wave:
    if stretch is TONE:
        return bursts([(0, 2)], 2.0, RATE_HZ)
    noise = np.random.default_rng(len(stretch.clip)).normal(0, 0.01 * len(stretch.clip), round(5 * RATE_HZ))
    return noise.astype(np.float32)


@pytest.mark.parametrize("rt60_s", [0.0, 0.5])
@pytest.mark.parametrize("background", [(), (replace(TONE, clip="n", label="w"), replace(TONE, clip="nnn", label="w"))])
@pytest.mark.parametrize("snr_db", [-3.0, 20.0])
def test_an_event_is_at_its_time_and_at_its_level(
    snr_db: float, background: tuple[Stretch, ...], rt60_s: float
) -> None:
    background = tuple(replace(one, end=5.0) for one in (*background, *background[:1]))
    asked = scene(snr_db, rt60_s, background)
    wave, other = scenes.mix(asked, RATE_HZ, read), scenes.mix(replace(asked, events=()), RATE_HZ, read)
    assert wave.shape == (80_000,) and np.abs(wave).max() == pytest.approx(10 ** (-6 / 20), abs=1e-6)
    before = slice(0, 32_000)
    under = other * (wave[before] @ other[before] / np.square(other[before]).sum())
    event = wave - under
    assert np.abs(event[before]).max() < 1e-5 * np.abs(wave).max()
    inside = event[32_000:48_000]
    assert 10 * np.log10(np.square(inside).mean() / np.square(under).mean()) == pytest.approx(snr_db, abs=0.05)
    (found,) = scenes.sounding(event, RATE_HZ)
    assert found[0] == pytest.approx(4.0, abs=scenes.FRAME_S)
    assert found[1] == pytest.approx(6.0, abs=scenes.FRAME_S if not rt60_s else 0.3)


def test_a_background_of_clips_keeps_one_level_over_the_seams() -> None:
    pieces = tuple(replace(TONE, clip="n" * n, label="w", end=5.0) for n in (1, 4, 2))
    wave = scenes.mix(replace(scene(background=pieces), events=()), RATE_HZ, read)
    levels = np.square(wave.reshape(20, -1)).mean(axis=1)
    assert 10 * np.log10(levels.max() / levels.min()) < 1.5, "equal power, though one piece is four times as loud"


def test_noise_falls_with_frequency_between_pink_and_brown() -> None:
    for seed in range(5):
        wave = scenes.mix(replace(scene(), events=(), seed=seed), RATE_HZ, read)
        power = np.square(np.abs(np.fft.rfft(wave)))
        low, high = power[2000:4000].mean(), power[20_000:40_000].mean()  # 200 to 400 Hz, 2 to 4 kHz
        assert 8 < 10 * np.log10(low / high) < 22


def test_a_room_decays_by_60_db_in_its_time_and_keeps_the_direct_sound() -> None:
    click = np.zeros(8_000, np.float32)
    click[1_000] = 1.0
    wave = scenes.reverberate(click, RATE_HZ, 0.4, 0.3, np.random.default_rng(0))
    assert np.abs(wave[:1_000]).max() < 1e-6 and wave[1_000] == pytest.approx(np.sqrt(0.7), abs=1e-5)
    tail = np.square(wave[1_001 : 1_000 + 3_200].astype(np.float64))
    assert tail.sum() == pytest.approx(0.3, abs=1e-4)
    decayed = np.cumsum(tail[::-1])[::-1]  # Schroeder's integral
    reached = np.flatnonzero(10 * np.log10(decayed / decayed[0]) < -30)[0] / RATE_HZ
    assert reached == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"hours": 0.0}, r"^0 hours of scenes were asked for \(--hours\)\. Give a number above 0\."),
        ({"hours": float("nan")}, r"^nan hours of scenes"),
        ({"length_s": 2.0}, r"^scenes of 2 s were asked for \(--length\)\. Give 5 to 600\."),
        ({"overlap": 0}, r"^0 events at once were asked for \(--overlap\)\. Give 1 or more\."),
        ({"snr_db": (20.0, -3.0)}, r"^an SNR from 20 to -3 dB is no range \(--snr\)\. .*--snr -3 20"),
        ({"snr_db": (float("nan"), 3.0)}, r"no range"),
        ({"reverb": 1.5}, r"^a share of 1\.5 of the scenes in a room \(--reverb\)"),
        ({"seed": -1}, r"^the seed -1 is below 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(setting: dict[str, float], message: str) -> None:
    with pytest.raises(ScenesError, match=message):
        SceneSettings(**setting)


def test_fewer_scenes_than_folds_are_refused() -> None:
    with pytest.raises(ScenesError, match=r"^0\.01 hours are 2 scenes of 20 s, fewer than the 3 folds\. Ask for more"):
        scenes.plan(stretches(), [], replace(ASKED, hours=0.01))
