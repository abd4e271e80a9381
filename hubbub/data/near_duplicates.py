"""Near-duplicates: clips that hold the same recorded sound, changed in level, polarity, length, rate, coding or noise.

Words of fingerprints (`fingerprints`) that two clips share at the same shift make them a candidate; the words around
must then agree as well, and at last the waves themselves: their cross-correlation, whitened so that a hum or another
tone that both hold counts no more than any other hertz, must have one clear peak. Two recordings of the same thing have
none, nor have two pieces of a steady tone, whose shift cannot be told.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from hubbub.data.cache import Waves
from hubbub.data.clips import Clips
from hubbub.data.fingerprints import Fingerprints, Narrow, fingerprint, narrow_of
from hubbub.data.inputs import Inputs
from hubbub.data.recordings import DisjointSets
from hubbub.errors import examples
from hubbub.runtime.processes import cores

__all__ = ["NearDuplicate", "between_groups", "find", "join_groups"]

Array = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
#: Bits of a word that must be equal for a candidate; the others may differ.
KEY = np.uint32((1 << 24) - 1)
#: Each place of a word is compared with this many next ones, so that a common word costs little.
NEIGHBOURS = 8
#: Words sorted at once, and candidates compared at once: they bound the memory.
WORDS_AT_ONCE, PAIRS_AT_ONCE = 1 << 21, 1 << 20
#: Words to either side of the shared one that are compared (half a second), and the largest share of unequal bits.
AROUND, UNEQUAL = 32, 0.3
#: Longest part of a pair that is correlated [s], and the span of shifts around the fingerprints' [s].
CORRELATED_S, SHIFTS_S = 3.0, 0.064
#: The shortest overlap that counts [s]; half of the shorter clip where that is less.
OVERLAP_S = 0.25
#: Hertz that are correlated.
LOW_HZ, HIGH_HZ = 100.0, 3900.0
#: Bins to either side over which spectra are whitened, and the weakest power that counts, relative to the strongest.
WHITENED, WEAKEST = 4, 1e-11
#: The least height of the whitened correlation's peak: alone, over the highest beside it, and in standard deviations of
#: unrelated noise. Copies of ESC-50's clips reach .63 and 5; its other clips, and `street`'s, stay below .23 or 1.7.
PEAK, OVER_OTHERS, DEVIATIONS = 0.3, 2.0, 6.0
#: The peak's own width [s].
WIDTH_S = 0.001


@dataclass(frozen=True)
class NearDuplicate:
    """Two rows of the clip table that hold the same sound, `first` < `second`.

    What is at time t in `first` is at t + `shift_s` in `second`. `similarity`, from 0 to 1, is the size of the waves'
    correlation coefficient between 100 and 3,900 Hz around the place that agrees best, whitened or not, whichever is
    larger; 1 for identical sounds.
    """

    first: int
    second: int
    shift_s: float
    similarity: float


@dataclass(frozen=True)
class _Candidate:
    """Two clips whose words agree, the shift of the second, and a place of the first where they do, both in frames."""

    first: int
    second: int
    shift: int
    frame: int


def find(sound: Waves, groups: Sequence[str] = ()) -> list[NearDuplicate]:
    """All near-duplicates, in the order of their rows; of several identical clips each one with the next.

    With `groups`, one name a clip and "" for none, pairs within a group are left out: no split can part them.
    Digital silence is no sound, so clips that share nothing else are none.
    """
    clips = np.arange(len(sound))
    given = np.unique(np.asarray(groups), return_inverse=True)[1] if len(groups) else clips
    named = np.where(np.asarray(groups) == "", len(sound) + clips, given) if len(groups) else clips
    identical, distinct = _identical(sound)
    candidates = _candidates(fingerprint(sound), named, distinct)
    with ThreadPoolExecutor(cores()) as pool:
        confirmed = pool.map(lambda candidate: _confirm(sound, candidate), candidates)
        pairs = [pair for pair in (*identical, *confirmed) if pair and named[pair.first] != named[pair.second]]
    return sorted(pairs, key=lambda pair: (pair.first, pair.second))


def between_groups(clips: Clips, sound: Inputs, protocol: str) -> list[NearDuplicate]:
    """Near-duplicates of different groups, which a split of this protocol might part; none among pictures.

    A single recording (`time`) repeats itself, and scenes repeat their clips, so there is no search among these; which
    scenes share a source is known to `leaks`.
    """
    if not isinstance(sound, Waves) or protocol == "time" or clips.mixed:
        return []
    return find(sound, list(clips.table["group"]))


def _identical(sound: Waves) -> tuple[list[NearDuplicate], Rows]:
    """Pairs of clips with the same content that is not silence, and the first clip of every content."""
    by_content = dict[str, list[int]]()
    for clip, content in enumerate(sound.contents):
        by_content.setdefault(content, []).append(clip)
    several = [clips for clips in by_content.values() if len(clips) > 1 and sound.wave(clips[0]).any()]
    pairs = [NearDuplicate(one, other, 0.0, 1.0) for clips in several for one, other in pairwise(clips)]
    return pairs, np.array([clips[0] for clips in by_content.values()], np.int64)


def _candidates(prints: Fingerprints, groups: Rows, clips: Rows) -> list[_Candidate]:
    """The pairs among these clips, of different groups, whose words agree."""
    number = len(prints.offsets) - 1
    clip_of = np.repeat(np.arange(number), np.diff(prints.offsets)).astype(np.int32)
    used = np.zeros(number, bool)
    used[clips] = True
    passes = max(-(-len(prints.words) // WORDS_AT_ONCE), 1)
    shared = [_shared(prints, clip_of, np.where(used, groups, -1), number, passes) for number in range(passes)]
    one, other, votes = (np.concatenate(part) for part in zip(*shared, strict=True))
    chunks = [slice(at, at + PAIRS_AT_ONCE) for at in range(0, len(one), PAIRS_AT_ONCE)]
    parts = [_unequal(prints.words, clip_of, one[chunk], other[chunk]) for chunk in chunks]
    unequal = np.concatenate([*parts, np.zeros(0)])
    rows = np.flatnonzero(unequal <= UNEQUAL)
    rows = rows[np.lexsort((-unequal[rows], votes[rows]))]  # of a pair the shift that most words have comes last
    best = dict[tuple[int, int], _Candidate]()
    for row in rows.tolist():
        first, second = int(clip_of[one[row]]), int(clip_of[other[row]])
        frame = int(one[row] - prints.offsets[first])
        shift = int(other[row] - prints.offsets[second]) - frame
        best[first, second] = _Candidate(first, second, shift, frame)
    return [best[pair] for pair in sorted(best)]


def _shared(
    prints: Fingerprints, clip_of: npt.NDArray[np.int32], groups: Rows, number: int, passes: int
) -> tuple[Rows, Rows, Rows]:
    """Words that clips of different groups share -> their places in both clips, at most three for each shift of two
    clips, and how many words have that shift.

    Of all words only those with the remainder `number` by `passes`; clips of the group -1 are left out.
    """
    keys = prints.words & KEY
    at = np.flatnonzero((prints.words != 0) & (keys % np.uint32(passes) == number))
    at = at[groups[clip_of[at]] >= 0]
    at = at[np.argsort(keys[at], kind="stable")]
    keys, apart = keys[at], groups[clip_of[at]]
    steps = range(1, min(NEIGHBOURS, len(at) - 1) + 1)
    rows = [np.flatnonzero((keys[step:] == keys[:-step]) & (apart[step:] != apart[:-step])) for step in steps]
    one = np.concatenate([*(at[found] for found in rows), at[:0]])
    other = np.concatenate([*(at[found + step] for step, found in zip(steps, rows, strict=True)), at[:0]])
    first, second = clip_of[one], clip_of[other]
    shift = (other - prints.offsets[second]) - (one - prints.offsets[first])
    order = np.lexsort((one, shift, second, first))
    one, other, facts = one[order], other[order], np.stack([first, second, shift])[:, order]
    starts = np.flatnonzero(np.append(True, (np.diff(facts) != 0).any(0))[: len(one)])
    votes = np.diff(starts, append=len(one))
    places, which = np.unique(np.concatenate([starts + votes * k // 4 for k in (1, 2, 3)]), return_index=True)
    return one[places], other[places], np.tile(votes, 3)[which]


def _unequal(
    words: npt.NDArray[np.uint32], clip_of: npt.NDArray[np.int32], one: Rows, other: Rows
) -> npt.NDArray[np.float64]:
    """The share of unequal bits in the words around these places of two clips, `[pairs]`."""
    unequal, compared = np.zeros(len(one)), np.zeros(len(one))
    for step in range(-AROUND, AROUND + 1, 2):
        a, b = (np.clip(places + step, 0, len(words) - 1) for places in (one, other))
        both = (clip_of[a] == clip_of[one]) & (clip_of[b] == clip_of[other]) & (words[a] != 0) & (words[b] != 0)
        unequal += np.where(both, np.bitwise_count(words[a] ^ words[b]), 0)
        compared += both
    return unequal / 32 / np.maximum(compared, 1)


@dataclass(frozen=True)
class _Peak:
    """The highest peak of a whitened correlation, its lag in samples, the highest beside it, the standard deviation
    for unrelated noise, and the correlation coefficient at that lag without whitening. Signs are left out."""

    height: float
    lag: float
    beside: float
    deviation: float
    plain: float


def _confirm(sound: Waves, candidate: _Candidate) -> NearDuplicate | None:
    """The pair where the waves confirm it."""
    narrow = narrow_of(sound.rate_hz)
    one, other = sound.wave(candidate.first), sound.wave(candidate.second)
    lag, peak = candidate.shift * narrow.hop, None
    for _ in range(2):  # the second time of parts that lie over each other
        parts = _parts(narrow, one, other, lag, candidate.frame * narrow.hop)
        peak = _correlate(narrow, *parts) if parts else None
        if not peak:
            return None
        lag += round(peak.lag)
        if abs(peak.lag) < 2:
            break
    if peak is None or peak.height < max(PEAK, OVER_OTHERS * peak.beside, DEVIATIONS * peak.deviation):
        return None
    shift_s = (lag + peak.lag - round(peak.lag)) / narrow.rate_hz
    return NearDuplicate(candidate.first, candidate.second, shift_s, min(max(peak.plain, peak.height), 1.0))


def _parts(narrow: Narrow, one: Array, other: Array, lag: int, place: int) -> tuple[Array, Array] | None:
    """What two waves have around sample `place` of the first, and `lag` samples later in the second; None where they
    overlap too little."""
    lengths = narrow.length(one), narrow.length(other)
    start, stop = max(0, -lag), min(lengths[0], lengths[1] - lag)
    if stop - start < min(OVERLAP_S * narrow.rate_hz, min(lengths) / 2):
        return None
    size = min(round(CORRELATED_S * narrow.rate_hz), stop - start)
    start = min(max(place - size // 2, start), stop - size)
    return narrow.cut(one, start, start + size), narrow.cut(other, start + lag, start + lag + size)


def _correlate(narrow: Narrow, one: Array, other: Array) -> _Peak | None:
    """The peak of the whitened correlation of two parts `[T]`; None where one is silent."""
    from scipy.fft import irfft, next_fast_len, rfft
    from scipy.ndimage import uniform_filter1d

    slack = round(SHIFTS_S * narrow.rate_hz)
    size = next_fast_len(len(one) + 2 * slack, real=True)
    hertz = np.arange(size // 2 + 1) * narrow.rate_hz / size
    inside = np.flatnonzero((hertz >= LOW_HZ) & (hertz <= min(HIGH_HZ, 0.47 * narrow.rate_hz)))
    window = np.hanning(len(one) + 2)[1:-1].astype(np.float32)
    spectra = rfft(np.stack([one * window, other * window]), size, axis=1)
    powers = spectra.real**2 + spectra.imag**2
    floor = WEAKEST * powers.max(1, initial=0)[:, None]
    spectra, powers = spectra[:, inside], powers[:, inside]
    if powers.max(1, initial=0).min() <= 0:
        return None
    white = np.sqrt(powers / (uniform_filter1d(powers, 2 * WHITENED + 1, axis=1) + floor))
    sizes, weights = np.sqrt(powers).prod(0), white.prod(0)
    phases = np.conj(spectra[0]) * spectra[1] / np.maximum(sizes, np.finfo(np.float32).tiny)
    whitened = np.zeros(len(hertz), np.complex64)
    whitened[inside] = phases * (weights * (size / np.sqrt((white**2).sum(1).prod())))
    course = np.abs(np.roll(irfft(whitened, 2 * size), 2 * slack)[: 4 * slack + 1])  # in half samples
    at = int(course.argmax())
    lag, width = at / 2 - slack, round(2 * WIDTH_S * narrow.rate_hz)
    beside = np.append(course[: max(at - width, 0)], course[at + width + 1 :]).max(initial=0)
    turned = (phases * np.exp(2j * np.pi * lag / narrow.rate_hz * hertz[inside])).real
    plain = abs((turned * sizes).sum()) / np.sqrt(powers.sum(1).prod())
    deviation = np.sqrt((weights**2).sum() / 2) / weights.sum()
    return _Peak(float(course[at]), lag, float(beside), float(deviation), float(plain))


def join_groups(clips: Clips, pairs: Sequence[NearDuplicate]) -> tuple[Clips, tuple[str, ...]]:
    """The clips with those of each pair in one group, and a note where any were joined. Folds that were made of the
    groups are then removed.

    This is for splits that are made from the groups: where the folds are fixed, a group joined across them is a leak.
    """
    ids, groups = list(clips.table["clip"]), list(clips.table["group"])
    names = [group or clip for group, clip in zip(groups, ids, strict=True)]
    sets, joined = DisjointSets(), []
    for pair in pairs:
        one, other = names[pair.first], names[pair.second]
        if sets.of(one) != sets.of(other):
            joined.append(f"{ids[pair.first]} ~ {ids[pair.second]}")
            sets.join(one, other)
    if not joined:
        return clips, ()
    paired = {names[row] for pair in pairs for row in (pair.first, pair.second)}
    merged = [str(sets.of(name)) if name in paired else group for name, group in zip(names, groups, strict=True)]
    hold = "pair of clips holds" if len(joined) == 1 else "pairs of clips hold"
    note = (
        f"NEAR-DUPLICATES JOINED: {len(joined):,} {hold} the same sound, so each pair counts as one recording "
        f"({examples(joined)})"
    )
    clips = replace(clips, table=clips.table.assign(group=merged))
    if clips.fold_source == "made":
        clips = replace(clips, table=clips.table.assign(fold=""), fold_source="none")
    return clips, (note,)
