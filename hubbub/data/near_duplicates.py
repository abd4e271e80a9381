"""Near-duplicates: clips that hold the same recorded sound, changed in level, polarity, length, rate, coding or noise.

Words of fingerprints (`fingerprints`) that two clips share at the same shift make them a candidate; the words around
must then agree as well, and at last the waves themselves: their cross-correlation, whitened so that a hum or another
tone that both hold counts no more than any other hertz, must have one clear peak. Two recordings of the same thing have
none, nor have two pieces of a steady tone, whose shift cannot be told.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hubbub.data.cache import Waves
from hubbub.data.clips import Clips
from hubbub.data.fingerprints import Fingerprints, Narrow, fingerprint, narrow_of
from hubbub.data.recordings import DisjointSets
from hubbub.errors import count, examples
from hubbub.runtime.processes import cores

__all__ = ["NearDuplicate", "find", "join_groups"]

Array = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
#: Bits of a word that must be equal for a candidate; the others may differ.
KEY = np.uint32((1 << 24) - 1)
#: Of clips that share a word, each is compared with this many next ones, so that a common word costs little.
NEIGHBOURS = 16
#: Words sorted at once, and candidates compared at once.
WORDS_AT_ONCE, PAIRS_AT_ONCE = 1 << 24, 1 << 20
#: Words to either side of the shared one that are compared (half a second), and the largest share of unequal bits.
AROUND, UNEQUAL = 32, 0.3
#: Longest part of a pair that is correlated [s], and the span of shifts around the fingerprints' [s].
CORRELATED_S, SHIFTS_S = 5.0, 0.064
#: Hertz that are correlated.
LOW_HZ, HIGH_HZ = 100.0, 3900.0
#: Bins to either side over which spectra are whitened, and the weakest that count, relative to the strongest.
WHITENED, WEAKEST = 4, 1e-9
#: The least peak of the whitened correlation: of its own, over the largest one beside it, and in standard deviations.
PEAK, OVER_OTHERS, DEVIATIONS = 0.1, 2.0, 6.0
#: The peak's own width [s].
WIDTH_S = 0.001


@dataclass(frozen=True)
class NearDuplicate:
    """Two rows of the clip table that hold the same sound, `first` < `second`.

    What is at time t in `first` is at t + `shift_s` in `second`. `similarity`, from 0 to 1, is the size of the waves'
    correlation coefficient where they overlap, between 100 and 3,900 Hz; 1 for identical sounds.
    """

    first: int
    second: int
    shift_s: float
    similarity: float


def find(sound: Waves, groups: Sequence[str] = ()) -> list[NearDuplicate]:
    """All near-duplicates, in the order of their rows; of more than two identical clips each with the next one.

    With `groups` (one name a clip, "" for none) pairs within one group are left out: no split can part them.
    """
    contents = np.unique(np.asarray(sound.contents), return_inverse=True)[1] if len(sound) else np.zeros(0, np.intp)
    first, latest = dict[int, int](), dict[int, int]()
    found = []
    for clip, content in enumerate(contents.tolist()):
        if sound.offsets[clip] == sound.offsets[clip + 1]:
            continue
        if content in latest:
            found.append(NearDuplicate(latest[content], clip, 0.0, 1.0))
        first.setdefault(content, clip)
        latest[content] = clip
    names = np.unique(np.asarray(groups), return_inverse=True)[1] if len(groups) else np.arange(len(sound))
    if len(groups):
        names = np.where(np.asarray(groups) == "", len(sound) + np.arange(len(sound)), names)
    found = [pair for pair in found if names[pair.first] != names[pair.second]]
    prints, narrow = fingerprint(sound), narrow_of(sound.rate_hz)
    candidates = _candidates(prints, names, np.array(sorted(first.values()), np.int64))
    with ThreadPoolExecutor(cores()) as pool:
        confirmed = pool.map(lambda candidate: _confirm(sound, narrow, *candidate), candidates)
        found += [pair for pair in confirmed if pair]
    return sorted(found, key=lambda pair: (pair.first, pair.second))


def _candidates(prints: Fingerprints, names: npt.NDArray[np.intp], clips: Rows) -> list[tuple[int, int, int, int]]:
    """Pairs of clips whose words agree -> both rows, the shift of the second [frames], a frame of the first there."""
    clip_of = np.repeat(np.arange(len(prints.offsets) - 1, dtype=np.int32), np.diff(prints.offsets))
    used = np.zeros(len(prints.offsets) - 1, bool)
    used[clips] = True
    passes = -(-len(prints.words) // WORDS_AT_ONCE)
    pairs = [_shared(prints, clip_of, names, used, number, passes) for number in range(passes)]
    if not pairs:
        return []
    one, other, votes = (np.concatenate(part) for part in zip(*pairs, strict=True))
    alike = np.concatenate(
        [
            _unequal(prints.words, clip_of, one[at : at + PAIRS_AT_ONCE], other[at : at + PAIRS_AT_ONCE]) <= UNEQUAL
            for at in range(0, len(one), PAIRS_AT_ONCE)
        ]
        or [np.zeros(0, bool)]
    )
    best: dict[tuple[int, int], tuple[int, int, int]] = {}
    for a, b, number in zip(one[alike].tolist(), other[alike].tolist(), votes[alike].tolist(), strict=True):
        pair = int(clip_of[a]), int(clip_of[b])
        frame = a - int(prints.offsets[pair[0]])
        if number > best.get(pair, (0, 0, 0))[0]:
            best[pair] = number, b - int(prints.offsets[pair[1]]) - frame, frame
    return [(*pair, shift, frame) for pair, (_, shift, frame) in sorted(best.items())]


def _shared(
    prints: Fingerprints,
    clip_of: npt.NDArray[np.int32],
    names: npt.NDArray[np.intp],
    used: npt.NDArray[np.bool_],
    number: int,
    passes: int,
) -> tuple[Rows, Rows, Rows]:
    """Words that two clips share -> their places in both, one for each shift of a pair, and how many have that shift.

    Of all words, those with the remainder `number` by `passes`.
    """
    words = prints.words
    chosen = words != 0
    if passes > 1:
        chosen &= (words & KEY) % np.uint32(passes) == number
    at = np.flatnonzero(chosen)
    at = at[used[clip_of[at]]]
    keys = words[at] & KEY
    order = np.argsort(keys, kind="stable")
    at, keys = at[order], keys[order]
    clips = clip_of[at]
    groups = names[clips]
    ones, others = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for step in range(1, min(NEIGHBOURS, len(at) - 1) + 1):
        rows = np.flatnonzero((keys[step:] == keys[:-step]) & (groups[step:] != groups[:-step]))
        ones.append(at[rows])
        others.append(at[rows + step])
    one, other = np.concatenate(ones), np.concatenate(others)
    a, b = clip_of[one].astype(np.int64), clip_of[other].astype(np.int64)
    shift = (other - prints.offsets[b]) - (one - prints.offsets[a])
    order = np.lexsort((one, shift, b, a))
    a, b, shift, one, other = a[order], b[order], shift[order], one[order], other[order]
    new = np.flatnonzero(np.diff(a, prepend=-1) | np.diff(b, prepend=-1) | np.diff(shift, prepend=np.inf).astype(bool))
    votes = np.diff(new, append=len(one))
    middle = new + votes // 2
    return one[middle], other[middle], votes


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
    """The largest value of a whitened correlation (its size), its lag in samples, the largest value beside it, its
    standard deviation for unrelated waves, and the correlation coefficient there without whitening."""

    height: float
    lag: int
    other: float
    deviation: float
    similarity: float


def _confirm(sound: Waves, narrow: Narrow, first: int, second: int, shift: int, frame: int) -> NearDuplicate | None:
    """The pair where the waves confirm it."""
    one, other = sound.wave(first), sound.wave(second)
    lag, slack = shift * narrow.hop, round(SHIFTS_S * narrow.rate_hz)
    centre = frame * narrow.hop
    peak = _correlate(narrow, one, other, lag, slack, centre)
    if peak and abs(peak.lag) > 2:  # once more, with the parts that lie over each other
        lag += peak.lag
        peak = _correlate(narrow, one, other, lag, slack, centre) or peak
    if not peak or peak.height < max(PEAK, DEVIATIONS * peak.deviation, OVER_OTHERS * peak.other):
        return None
    shift_s = (lag + peak.lag) / narrow.rate_hz
    return NearDuplicate(first, second, shift_s, max(peak.similarity, peak.height))


def _correlate(narrow: Narrow, one: Array, other: Array, lag: int, slack: int, centre: int) -> _Peak | None:
    """The peak of the correlation of the parts of two waves around sample `centre` of the first, `lag` later in the
    second; None where they do not overlap, or one is silent."""
    from scipy.fft import irfft, next_fast_len, rfft
    from scipy.ndimage import uniform_filter1d

    half = round(CORRELATED_S * narrow.rate_hz / 2)
    start, stop = max(0, -lag), min(narrow.length(one), narrow.length(other) - lag)
    middle = min(max(centre, start + half), stop - half)
    start, stop = max(start, middle - half), min(stop, middle + half)
    if stop - start < 16:
        return None
    window = np.hanning(stop - start + 2)[1:-1].astype(np.float32)
    size = next_fast_len(stop - start + 2 * slack, real=True)
    hertz = np.arange(size // 2 + 1) * narrow.rate_hz / size
    inside = (hertz >= LOW_HZ) & (hertz <= min(HIGH_HZ, 0.47 * narrow.rate_hz))
    spectra = [
        rfft(narrow.cut(wave, start + at, stop + at) * window, size)[inside] for wave, at in ((one, 0), (other, lag))
    ]
    powers = [spectrum.real**2 + spectrum.imag**2 for spectrum in spectra]
    if min(power.max() for power in powers) <= 0:
        return None
    smooth = [uniform_filter1d(power, 2 * WHITENED + 1) + WEAKEST * power.max() for power in powers]
    cross = np.conj(spectra[0]) * spectra[1]
    weights = 1 / np.sqrt(smooth[0] * smooth[1])
    white = [power / level for power, level in zip(powers, smooth, strict=True)]
    full = np.zeros(len(hertz), np.complex64)
    norm = np.sqrt(float(white[0].sum()) * float(white[1].sum()))
    full[inside] = cross * weights / norm * (size / 2)
    course = irfft(full, size)
    course = np.abs(np.concatenate([course[-slack:], course[: slack + 1]]))
    at = int(course.argmax())
    width = round(WIDTH_S * narrow.rate_hz)
    beside = np.delete(course, np.arange(max(at - width, 0), min(at + width + 1, len(course))))
    turns = np.exp(2j * np.pi * hertz[inside] / narrow.rate_hz * (at - slack))
    plain = abs(float((cross * turns).real.sum())) / np.sqrt(float(powers[0].sum()) * float(powers[1].sum()))
    both = np.sqrt(white[0] * white[1])
    deviation = np.sqrt(float((both**2).sum()) / 2) / float(both.sum())
    return _Peak(float(course[at]), at - slack, float(beside.max(initial=0)), deviation, min(plain, 1.0))


def join_groups(clips: Clips, pairs: Sequence[NearDuplicate]) -> tuple[Clips, tuple[str, ...]]:
    """The clips with those of near-duplicate pairs in one group, and a note where any were joined."""
    ids, groups = list(clips.table["clip"]), list(clips.table["group"])
    names = [("group", group) if group else ("clip", clip) for clip, group in zip(ids, groups, strict=True)]
    sets = DisjointSets()
    joined = []
    for pair in pairs:
        if sets.of(names[pair.first]) != sets.of(names[pair.second]):
            joined.append(f"{ids[pair.first]} ~ {ids[pair.second]}")
        sets.join(names[pair.first], names[pair.second])
    if not joined:
        return clips, ()
    members = {name for pair in pairs for name in (names[pair.first], names[pair.second])}
    merged = [str(sets.of(name)[1]) if name in members else group for name, group in zip(names, groups, strict=True)]  # type: ignore[index]
    number = len(joined)
    hold = "pair of clips holds" if number == 1 else "pairs of clips hold"
    note = (
        f"NEAR-DUPLICATES JOINED: {number:,} {hold} the same sound, so each pair counts as one recording "
        f"({examples(joined)})"
    )
    return replace(clips, table=clips.table.assign(group=merged)), (note,)
