"""Findings about sounds: silence, clipping, offset, band limits, formats, copies; classes told apart by their files.

Each takes a table with one row per readable clip: `clip`, `label`, `group`, `cache.FACTS` and the decoder's `warnings`.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from hubbub.audio.waves import QUIET, SILENCE
from hubbub.data import confounds
from hubbub.data.findings import Finding, PropertyTest, Severity
from hubbub.data.near_duplicates import NearDuplicate
from hubbub.data.properties import CLIPPED_RUN
from hubbub.errors import count, examples

__all__ = ["confound_findings", "copies", "file_properties", "sound_findings"]

#: An edge above this share of half the sample rate is that of any converter or encoder.
_FULL_BAND = 0.85
#: MP3, AAC and Vorbis encoders cut at 15 to 20.5 kHz, by bit rate.
_LOSSY_HZ = (15_000.0, 20_500.0)
_LOSSY = ("MPEG", "VORBIS", "OPUS", "mp3", "aac", "wma", "amr", "ac3", "opus", "vorbis", "mp2", "dts", "cook")
_RATES_HZ = np.array([8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000])
#: DC offsets in full scales: those that count in the confound check, and those that are reported where they are at
#: least this share of the sound's RMS.
_SMALL_OFFSET, _OFFSET, _OFFSET_SHARE = 0.005, 0.01, 0.1
_SHORT_S, _MOSTLY_SILENT = 0.25, 0.5
_QUIETEST_DB = -120.0
#: The decoder's warnings by a phrase in each: the kind, how severe it is, and what they say of several clips. Kinds
#: without a text are found by what was measured.
_DECODED: dict[str, tuple[str, Severity, str, str]] = {
    "channels cancel": (
        "channels", "warning", "channels that cancel each other when they are mixed, as if one had its polarity "
        "inverted; only the louder channel is used", "Turn the polarity of one channel round, or keep one channel.",
    ),
    "times full scale": (
        "scale", "warning", "samples far above full scale", "They were probably scaled wrongly: check the export.",
    ),
    "header says": ("header", "warning", "a header that contradicts the file", "Check that they are whole."),
    "very quiet": ("quiet", "note", "", ""),
    "DC offset": ("offset", "note", "", ""),
}  # fmt: skip


def sound_findings(clips: pd.DataFrame) -> list[Finding]:
    """All findings but copies and confounds."""
    silent = clips["warnings"].map(lambda warnings: SILENCE in warnings)
    heard = clips[~silent]
    found = [*_silence(clips[silent]), *_decoder_warnings(heard), *_levels(heard), *_bands(heard)]
    short = clips[clips["seconds"] < _SHORT_S].sort_values("seconds", kind="stable")
    if len(short):
        found.append(
            _finding(
                "short", "note", short, f"{_are(len(short))} shorter than {_SHORT_S:g} s, the shortest "
                f"{short['seconds'].iloc[0]:.2g} s", "Most of a classifier's window, which lasts about a second, is "
                "padding there.",
            )
        )  # fmt: skip
    return [*found, *_formats(clips)]


def _finding(kind: str, severity: Severity, clips: pd.DataFrame, text: str, advice: str = "") -> Finding:
    named = tuple(clips["clip"])
    return Finding(kind=kind, severity=severity, text=f"{text}: {examples(named)}", advice=advice, clips=named)


def _are(number: int) -> str:
    return f"{count(number, 'clip')} {'is' if number == 1 else 'are'}"


def _have(number: int) -> str:
    return f"{count(number, 'clip')} {'has' if number == 1 else 'have'}"


def _silence(silent: pd.DataFrame) -> Iterator[Finding]:
    if len(silent):
        advice = "Remove such clips, or copy or record them again."
        yield _finding("silence", "wrong", silent, f"{_are(len(silent))} digital silence", advice)


def _decoder_warnings(clips: pd.DataFrame) -> Iterator[Finding]:
    """The decoder's warnings, one finding per kind."""
    by_kind: dict[tuple[str, Severity, str, str], list[str]] = {}
    for clip, warnings in zip(clips["clip"], clips["warnings"], strict=True):
        for warning in warnings:
            known = next((facts for phrase, facts in _DECODED.items() if phrase in warning), None)
            by_kind.setdefault(known or ("decoding", "warning", warning.rstrip("."), ""), []).append(clip)
    for (kind, severity, text, advice), named in by_kind.items():
        if kind == "decoding":
            text = f"{count(len(named), 'clip')}: {text} ({examples(named)})"
        else:
            text = text and f"{_have(len(named))} {text}: {examples(named)}"
        if text:
            yield Finding(kind=kind, severity=severity, text=text, advice=advice, clips=tuple(named))


def _levels(clips: pd.DataFrame) -> Iterator[Finding]:
    quiet = clips[clips["peak"] <= QUIET].sort_values("peak", kind="stable")
    if len(quiet):
        yield _finding(
            "quiet", "note", quiet, f"{_are(len(quiet))} nearly silent, with a peak below {20 * np.log10(QUIET):.0f} dB"
            " of full scale", "Check the recording level and the export (24-bit numbers in 32 bits look like this).",
        )  # fmt: skip
    padded = clips[clips["silent"] >= _MOSTLY_SILENT].sort_values("silent", ascending=False, kind="stable")
    if len(padded):
        yield _finding(
            "padded", "note", padded, f"{_are(len(padded))} digital silence for at least half of the time",
            "Windows of silence get the clip's label: cut the silence away, unless all clips must last equally long.",
        )  # fmt: skip
    share = (clips["clipped"] / (clips["seconds"] * clips["rate_hz"])).sort_values(ascending=False, kind="stable")
    clipped = clips.loc[share.index[share > 0]]
    if len(clipped):
        yield _finding(
            "clipped", "note", clipped, f"{_are(len(clipped))} clipped (runs of {CLIPPED_RUN} and more samples at full "
            f"scale), the worst in {_percent(share.iloc[0])} of its samples", "Record at a lower level: what was cut "
            "off cannot be restored.",
        )  # fmt: skip
    size = clips["offset"].abs()
    shifted = clips[(size >= _OFFSET) & (size >= _OFFSET_SHARE * 10.0 ** (clips["level_db"] / 20))]
    shifted = shifted.loc[size[shifted.index].sort_values(ascending=False, kind="stable").index]
    if len(shifted):
        yield _finding(
            "offset", "note", shifted, f"{_have(len(shifted))} a DC offset of at least {_percent(_OFFSET)} of full "
            f"scale, up to {_percent(shifted['offset'].abs().iloc[0])}", "A high-pass filter removes it.",
        )  # fmt: skip


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


def _bands(clips: pd.DataFrame) -> Iterator[Finding]:
    """Recordings whose spectrum ends far below half their sample rate: resampled up, or encoded with loss."""
    limited = clips[clips["band_hz"] < _FULL_BAND * clips["rate_hz"] / 2]
    by_encoder = limited["band_hz"].between(*_LOSSY_HZ)
    resampled, lossy = limited[~by_encoder], limited[by_encoder & ~limited["coding"].map(_is_lossy)]
    if len(resampled):
        # A resampler's edge lies at about .97 of half the original rate.
        original = [_RATES_HZ[np.abs(np.log(2 * hz / 0.97 / _RATES_HZ)).argmin()] for hz in resampled["band_hz"]]
        kinds = Counter(
            f"about {old:,} Hz in {rate:,} Hz" for old, rate in zip(original, resampled["rate_hz"], strict=True)
        )
        most = examples(f"{number:,} of {kind}" for kind, number in kinds.most_common())
        by_band = resampled.sort_values("band_hz", kind="stable")
        yield _finding(
            "resampled", "note", by_band, f"{_have(len(by_band))} less bandwidth than the sample rate promises, as "
            f"after resampling from a lower rate ({most})",
            "No conversion restores what is missing. It harms where it goes with the class.",
        )  # fmt: skip
    if len(lossy):
        yield _finding(
            "lossy", "note", lossy, f"{_have(len(lossy))} no sound above {lossy['band_hz'].min() / 1000:.0f} to "
            f"{lossy['band_hz'].max() / 1000:.0f} kHz, as after MP3, AAC or Vorbis encoding",
            "This cannot be heard below 15 kHz. It harms where it goes with the class.",
        )  # fmt: skip


def _is_lossy(coding: str) -> bool:
    return any(name in coding for name in _LOSSY)


def _formats(clips: pd.DataFrame) -> Iterator[Finding]:
    """Differences in rate, channels and coding: training converts them all to one rate and one channel."""
    parts = []
    for column, words in (("rate_hz", "{:,} Hz"), ("channels", "{} channels"), ("coding", "{}")):
        counts = clips[column].value_counts()
        if len(counts) > 1:
            parts.append(
                examples(
                    f"{words.format(value).replace('1 channels', 'mono')} ({number:,})"
                    for value, number in counts.items()
                )
            )
    if parts:
        yield Finding(
            kind="formats", severity="note", text=f"files differ in format: {'; '.join(parts)}",
            advice="Training converts all to one rate and one channel.",
        )  # fmt: skip


def copies(clips: pd.DataFrame, pairs: Sequence[NearDuplicate]) -> list[Finding]:
    """Near-duplicates: the same recorded sound with two labels, or in two groups. `pairs` are rows of `clips`.

    Identical sounds are left to `leaks.duplicates`. Copies within one group cannot leak, and are left out.
    """
    two_labels, two_groups, named = [], [], {"labels": list[str](), "groups": list[str]()}
    clip, label, group, content = (clips[name].to_numpy() for name in ("clip", "label", "group", "content"))
    for pair in pairs:
        a, b = pair.first, pair.second
        if content[a] and content[a] == content[b]:
            continue
        if label[a] != label[b]:
            two_labels.append(f"{clip[a]} '{label[a]}' = {clip[b]} '{label[b]}'{_shift(pair)}")
            named["labels"] += [clip[a], clip[b]]
        elif group[a] != group[b]:
            two_groups.append(f"{clip[a]} = {clip[b]}{_shift(pair)}")
            named["groups"] += [clip[a], clip[b]]
    found = []
    if two_labels:
        found.append(
            Finding(
                kind="two labels", severity="warning", clips=tuple(dict.fromkeys(named["labels"])),
                text=f"one recorded sound, two labels, {count(len(two_labels), 'time')}: {examples(two_labels)}",
                advice="Listen to them: keep the right label, or cut each clip to the part that has its label.",
            )
        )  # fmt: skip
    if two_groups:
        found.append(
            Finding(
                kind="copies", severity="warning", clips=tuple(dict.fromkeys(named["groups"])),
                text=f"{count(len(two_groups), 'pair')} of clips with the same recorded sound: {examples(two_groups)}",
                advice="Delete one of each pair, or give both one group: a split that parts them leaks.",
            )
        )  # fmt: skip
    return found


def _shift(pair: NearDuplicate) -> str:
    return (
        f" ({abs(pair.shift_s):.1f} s {'later' if pair.shift_s > 0 else 'earlier'})" if abs(pair.shift_s) > 0.05 else ""
    )


# Confounds


def file_properties(clips: pd.DataFrame) -> pd.DataFrame:
    """The properties that `confounds.FAMILIES` name. Differences that mean nothing are removed: edges near half the
    sample rate, and offsets below .5 % of full scale."""
    share = 2 * clips["band_hz"] / clips["rate_hz"]
    encoded = (2 * clips["band_hz"] < clips["rate_hz"]) & clips["band_hz"].between(*_LOSSY_HZ)
    return clips.assign(
        band=share.where((share < _FULL_BAND) & ~encoded, 1.0),
        encoded=encoded.astype(float),
        offset=clips["offset"].where(clips["offset"].abs() >= _SMALL_OFFSET, 0.0),
        peak_db=20 * np.log10(np.maximum(clips["peak"], 10 ** (_QUIETEST_DB / 20))),
    )


def confound_findings(tests: Sequence[PropertyTest], clips: pd.DataFrame) -> list[Finding]:
    """A finding for each alarming family of file properties, and one for all in which sounds differ by nature; `clips`
    with properties."""
    alarming = [pair for pair in zip(confounds.FAMILIES, tests, strict=True) if pair[1].alarming] if tests else []
    found = []
    for family, test in alarming:
        if not family.by_nature:
            text = f"{_told(family, test, clips)}, without its sound: {_figures(test)}"
            advice = (
                "The classifier may learn the recorder and not the sound. Record all classes with the same device and "
                "settings, or convert all files alike: the lowest rate, one encoding, a high-pass filter."
            )
            found.append(_confound(f"confound: {family.name}", "warning", text, advice, [test], clips))
    if natural := [(family, test) for family, test in alarming if family.by_nature]:
        text = "; ".join(_told(family, test, clips) for family, test in natural)
        advice = (
            "This may be their nature, as a siren is loud. If they were recorded or cut in different ways, the "
            "classifier may learn that instead."
        )
        found.append(_confound("differences", "note", text, advice, [test for _, test in natural], clips))
    return found


def _confound(
    kind: str, severity: Severity, text: str, advice: str, tests: Sequence[PropertyTest], clips: pd.DataFrame
) -> Finding:
    classes = {label for test in tests for label in test.classes}
    named = tuple(clips["clip"][clips["label"].isin(classes)])
    return Finding(kind=kind, severity=severity, text=text, advice=advice, clips=named)


def _told(family: confounds.Family, test: PropertyTest, clips: pd.DataFrame) -> str:
    """`loudness alone tells 'siren', 'rain' and 3 more from the other classes ('siren': -10 dB, others: -30 dB)`."""
    if not test.classes:
        return f"{family.name} alone tells classes apart better than chance"
    whom = examples(f"'{label}'" for label in test.classes) + " from the other classes"
    if len(test.classes) == clips["label"].nunique():
        whom = f"{'both' if len(test.classes) == 2 else f'all {len(test.classes)}'} classes apart"
    return f"{family.name} alone tells {whom}{_difference(family, test.classes, clips)}"


def _figures(test: PropertyTest) -> str:
    """The figures of the decision tree."""
    p = "p < 0.01" if test.p < 0.01 else f"p = {test.p:.2g}"
    return (
        f"balanced accuracy {test.accuracy:.3f} on unseen recordings, chance {test.chance:.3f} ({p}, "
        f"{test.recordings:,} recordings)"
    )


_UNITS = {
    "rate_hz": "{:,.0f} Hz", "channels": "{:.1f} channels", "band": "{:.0%} of the bandwidth",
    "encoded": "{:.0%} of the clips", "offset": "{:+.1%}", "floor_db": "{:.0f} dB", "level_db": "{:.0f} dB",
    "peak_db": "peak {:.0f} dB", "seconds": "{:.2g} s", "silent": "{:.0%} silence",
}  # fmt: skip


def _difference(family: confounds.Family, classes: Sequence[str], clips: pd.DataFrame) -> str:
    """What the first of these classes has, and what others have, by the property that differs most; "" if none does."""
    own, rest = clips[clips["label"] == classes[0]], clips[~clips["label"].isin(classes)]
    if rest.empty:
        rest = clips[clips["label"] != classes[0]]
    said, farthest = "", 0.0
    for column in family.columns:
        if column == "coding":
            mine, usual = (part[column].mode().iloc[0] for part in (own, rest))
            if mine != usual:
                return f" ('{classes[0]}': {mine}, others: {usual})"
            continue
        mine, usual = own[column].median(), rest[column].median()
        distance = abs(mine - usual) / (clips[column].std() or 1.0)
        if distance > farthest:
            shown = (_UNITS[column].format(value) for value in (mine, usual))
            said, farthest = f" ('{classes[0]}': {', others: '.join(shown)})", distance
    return said
