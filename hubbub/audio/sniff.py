"""Identifies what the first bytes of a stream hold instead of raw samples: compressed audio, archives, images, text.

Most formats begin with known bytes; MPEG audio, AAC and AC-3 are recognised by consecutive frames. Other compressed or
encrypted data is recognised by its statistics: its values are uniform and uncorrelated, as those of sound never are.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from hubbub.audio import records

__all__ = ["HEAD_BYTES", "identify", "roughness", "text_kind"]

Numbers = npt.NDArray[np.floating]
#: The length of a frame in bytes, and two fields of its header that are the same in all frames.
Frame = tuple[int, int, int]
FrameOf = Callable[[bytes], Frame | None]

#: So many bytes are enough; at 16 kHz and 16 bits half a second.
HEAD_BYTES = 16_384
#: Compressed data: the largest distance of its values' distribution from a uniform one, and its largest autocorrelation
#: up to so many lags; and the fewest values. Measured: compressed data .01 to .03 and .03; noise of .577 full scales,
#: clipped, .06; noise over nine tenths of the range .05; a sawtooth .01 and .98.
MAX_DISTANCE, MAX_CORRELATION, LAGS, MIN_VALUES = 0.04, 0.2, 16, 4_096
#: The power below which samples are silence.
MIN_POWER = 1e-12
#: In bytes, since a few loud samples may look like letters.
MIN_TEXT = 64

#: Magic bytes: their offset, the bytes, the format.
_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    *((0, b"OggS", "Ogg"), (0, b"fLaC", "FLAC"), (0, b"ID3", "MP3"), (0, b"#!AMR", "AMR"), (0, b"wvpk", "WavPack")),
    *((0, b"FORM", "AIFF"), (0, b"RIFX", "big-endian WAV"), (0, b"riff\x2e\x91\xcf\x11", "Wave64"), (0, b".snd", "AU")),
    *((0, b"caff", "CAF"), (0, b"NIST_1A", "NIST SPHERE"), (0, b"Creative Voice File", "VOC"), (0, b"MThd", "MIDI")),
    *((0, b"MAC ", "Monkey's Audio"), (0, b"TTA1", "TTA"), (0, b"TTA2", "TTA"), (0, b"MPCK", "Musepack")),
    *((0, b"MP+", "Musepack"), (0, b"OFR ", "OptimFROG"), (0, b"ajkg", "Shorten"), (0, b"DSD ", "DSF")),
    *((0, b"FRM8", "DSDIFF"), (0, b".RMF", "RealMedia"), (0, b".ra\xfd", "RealAudio"), (0, b"FLV\x01", "FLV")),
    *((0, bytes.fromhex("3026b2758e66cf11"), "ASF (WMA)"), (0, bytes.fromhex("1a45dfa3"), "Matroska or WebM")),
    *((0, bytes.fromhex("7ffe8001"), "DTS"), (0, bytes.fromhex("fe7f0180"), "DTS"), (0, b"PVF1", "PVF")),
    *((0, bytes.fromhex("000001ba"), "MPEG video"), (0, bytes.fromhex("000001b3"), "MPEG video")),
    *((4, word, "MP4 (m4a, 3gp, mov)") for word in (b"ftyp", b"moov", b"mdat", b"wide", b"moof", b"styp")),
    *((8, b"AVI ", "AVI"), (8, b"RMID", "MIDI"), (0, b"MATLAB 5.0", "MATLAB 5")),
    *((0, b"\x1f\x8b\x08", "gzip"), (0, b"PK\x03\x04", "ZIP"), (0, b"BZh", "bzip2"), (0, b"\xfd7zXZ\0", "xz")),
    *((0, b"\x28\xb5\x2f\xfd", "Zstandard"), (0, b"7z\xbc\xaf\x27\x1c", "7z"), (0, b"Rar!\x1a\x07", "RAR")),
    *((0, b"\x04\x22\x4d\x18", "LZ4"), (257, b"ustar", "tar"), (0, b"%PDF-", "PDF"), (0, b"\x89PNG", "PNG")),
    *((0, b"\xff\xd8\xff\xe0", "JPEG"), (0, b"\xff\xd8\xff\xe1", "JPEG"), (0, b"\xff\xd8\xff\xdb", "JPEG")),
    *((0, b"GIF8", "GIF"), (0, b"\x93NUMPY", "NumPy"), (0, b"\x89HDF", "HDF5"), (0, b"PAR1", "parquet")),
    *((0, b"\x7fELF", "a program"), (0, b"SQLite format 3", "SQLite"), (8, b"WEBP", "WebP")),
    *((0, word, "a RIFF file") for word in (b"RIFF", b"RF64", b"BW64")),
)
#: Consecutive frames that are needed from the first byte on, and from a later byte on (a stream joined midway).
_FRAMES, _FRAMES_WITHIN = 3, 5
_PACKET, _PACKETS = 188, 6


def identify(head: bytes, integers: Numbers | None = None) -> str:
    """What a stream's first bytes hold other than samples, as words for a message; empty where they may be samples.

    `HEAD_BYTES` bytes are enough. `integers`: the same bytes as integer samples in [-1, 1]; None for floats, whose
    values are uniform only in noise.
    """
    for at, magic, name in _MAGIC:
        if head[at : at + len(magic)] == magic and (at != 8 or head[:4] == b"RIFF"):
            return name
    for frame_of, name in ((_mpeg_frame, "MP3"), (_adts_frame, "AAC"), (_ac3_frame, "AC-3")):
        if _follows(head, 0, frame_of, _FRAMES) or _joins_midway(head, frame_of):
            return name
    if _is_transport_stream(head):
        return "an MPEG transport stream"
    if _is_text(head):
        return "text"
    if integers is not None and _is_uniform(integers):
        return "bytes that fill the whole range uniformly and at random, as compressed or encrypted data do"
    return ""


def text_kind(head: bytes) -> str:
    """What a text is that stands where a sound should be, as words for a message; empty where it is no text."""
    start = head[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html", b"<?xml", b"<head")):
        return "a web page, as a failed download leaves it"
    if start.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS; git lfs pull fetches the file"
    return "text" if _is_text(head) else ""


def roughness(numbers: Numbers) -> float:
    """1 - the autocorrelation at lag 1 of a wave `[n, channels]`: 0 for a slow tone, 1 for white noise, 2 for the
    highest tone; NaN where it is silent, not finite or far from full scale."""
    if not len(numbers) or not np.isfinite(numbers).all() or np.abs(numbers).max() > 2:
        return float("nan")
    wave = numbers.astype(np.float64)
    power = float(wave.var(axis=0).sum())
    return float((np.diff(wave, axis=0) ** 2).sum()) / len(wave) / power / 2 if power > MIN_POWER else float("nan")


def _is_uniform(numbers: Numbers) -> bool:
    """Whether values in [-1, 1] `[n]` are uniform and uncorrelated: compressed data, or white noise at full scale.
    False for fewer than `MIN_VALUES`."""
    if len(numbers) < MIN_VALUES:
        return False
    values = np.sort(numbers)
    distance = np.abs((values + 1) / 2 - np.arange(len(values)) / len(values)).max()
    if distance > MAX_DISTANCE:
        return False
    centred = numbers - numbers.mean()
    power = float(centred @ centred)
    return all(abs(float(centred[lag:] @ centred[:-lag])) < MAX_CORRELATION * power for lag in range(1, LAGS + 1))


def _follows(head: bytes, at: int, frame_of: FrameOf, count: int) -> bool:
    """Whether `count` frames of one kind follow each other; at least two where the bytes end earlier."""
    first = frame_of(head[at : at + 8])
    for number in range(count):
        if at + 8 > len(head):
            return number >= 2
        frame = frame_of(head[at : at + 8])
        if frame is None or first is None or frame[1:] != first[1:]:
            return False
        at += frame[0]
    return True


def _joins_midway(head: bytes, frame_of: FrameOf) -> bool:
    """Whether frames begin within the first few thousand bytes. A tone whose period equals a frame's length looks the
    same, but then all frames are nearly equal."""
    for at in range(1, min(len(head) - 8, 4_096)):
        if head[at] in (0xFF, 0x0B) and (frame := frame_of(head[at : at + 8])):
            size = frame[0]
            complete = at + _FRAMES_WITHIN * size < len(head)
            differ = sum(a != b for a, b in zip(head[at : at + size], head[at + size : at + 2 * size], strict=False))
            if complete and differ > size / 4 and _follows(head, at, frame_of, _FRAMES_WITHIN):
                return True
    return False


def _mpeg_frame(header: bytes) -> Frame | None:
    """An MPEG audio frame of layer 2 or 3. Layer 1 is not in use, and quiet samples of 24 and 32 bits look like it."""
    size = records.mpeg_frame(header)
    return (size, header[1], header[2] >> 2 & 3) if size and header[1] >> 1 & 3 != 3 else None


def _adts_frame(header: bytes) -> Frame | None:
    """An AAC frame with an ADTS header."""
    size = records.adts_frame(header)
    return (size, header[1], header[2]) if size and size > 7 and header[2] >> 2 & 15 <= 12 else None


def _ac3_frame(header: bytes) -> Frame | None:
    """An AC-3 or E-AC-3 frame."""
    size = records.ac3_frame(header)
    if size is None:
        return None
    is_enhanced = header[5] >> 3 > 10
    return (size, header[5] >> 3, header[2] >> 6) if is_enhanced else (size, header[5], header[4] >> 6)


def _is_transport_stream(head: bytes) -> bool:
    for first, every in ((0, _PACKET), (4, _PACKET + 4)):
        packets = [head[at : at + 4] for at in range(first, first + every * _PACKETS, every)]
        if all(len(p) == 4 and p[0] == 0x47 and not p[1] & 0x80 and p[3] & 0x30 for p in packets):
            return True
    return False


def _is_text(head: bytes) -> bool:
    """Whether bytes are printable text, mostly ASCII. Raw samples contain zeros and other control characters."""
    if len(head) < MIN_TEXT:
        return False
    charset = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    words = head.decode(charset, errors="ignore")
    plain = sum(c.isascii() and (c.isprintable() or c in "\t\r\n\f") for c in words)
    unprintable = sum(not c.isprintable() and c not in "\t\r\n\f\ufeff" for c in words)
    # Text decodes completely, but for a last character that is cut in two.
    return bool(words) and len(words.encode(charset)) > len(head) - 8 and not unprintable and plain >= 0.7 * len(words)
