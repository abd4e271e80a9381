"""Whether bytes that are meant to be raw samples are something else: packed sound, an archive, a picture, text.

Formats are told by their first bytes, those without such a mark by following their frames. What is packed or encrypted
in a way not listed is told by its statistics: its numbers fill the whole range evenly and do not depend on each other,
as no sound's do. This module does not know where bytes come from.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

__all__ = ["HEAD_BYTES", "name_of", "roughness"]

Numbers = npt.NDArray[np.floating]
#: The length of a frame in bytes, and two things that its header has in common with those that follow.
Frame = tuple[int, int, int]
FrameOf = Callable[[bytes], Frame | None]

#: So many bytes tell; at 16 kHz and 16 bits half a second.
HEAD_BYTES = 16_384
#: The largest distance between the numbers' distribution and an even one, and their largest correlation with those up
#: to so many before them. Measured: packed data .01 to .03 and .03; noise of .577 full scales, clipped, .06; noise
#: that fills nine tenths of the range .05; a sawtooth .01 and .98.
EVEN, RELATED, LAGS, FEWEST = 0.04, 0.2, 16, 4_096
#: The power below which numbers are silence.
FAINTEST = 1e-12
#: A few loud samples may look like letters.
SHORTEST_TEXT = 64

#: What stands at which place of a file.
_MARKS: tuple[tuple[int, bytes, str], ...] = (
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
_MPEG_KBPS = {  # by version 1 or not and layer
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_AC3_KBPS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)
#: Frames that follow each other from the first byte on, and from within, where a stream was joined in its course.
_FRAMES, _FRAMES_WITHIN = 3, 5
_PACKET, _PACKETS = 188, 6


def name_of(head: bytes, integers: Numbers | None = None) -> str:
    """What a stream's first bytes hold that is not samples; empty where nothing is known against them.

    `HEAD_BYTES` are enough. `integers` are they as samples in [-1, 1], where these were written as integers: floats lie
    evenly in noise only, and bytes that are no samples give floats of any size.
    """
    for at, mark, name in _MARKS:
        if head[at : at + len(mark)] == mark and (at != 8 or head[:4] == b"RIFF"):
            return name
    for frame_of, name in ((_mpeg, "MP3"), (_adts, "AAC"), (_ac3, "AC-3")):
        if _follows(head, 0, frame_of, _FRAMES) or _joined(head, frame_of):
            return name
    if _is_transport_stream(head):
        return "an MPEG transport stream"
    if _is_text(head):
        return "text"
    if integers is not None and _is_even(integers):
        return "bytes that fill the whole range evenly and at random, as packed or encrypted data do"
    return ""


def roughness(numbers: Numbers) -> float:
    """How little the samples of a wave `[n, channels]` depend on those before them: 0 of a slow tone, 1 of white noise,
    2 of the highest tone; NaN of what is silent, not finite or far from full scale."""
    if not len(numbers) or not np.isfinite(numbers).all() or np.abs(numbers).max() > 2:
        return float("nan")
    wave = numbers.astype(np.float64)
    power = float(wave.var(axis=0).sum())
    return float((np.diff(wave, axis=0) ** 2).sum()) / len(wave) / power / 2 if power > FAINTEST else float("nan")


def _is_even(numbers: Numbers) -> bool:
    """Whether numbers in [-1, 1] `[n]` lie evenly over the whole range and do not depend on each other: packed data, or
    white noise at full scale. Never true of fewer than `FEWEST`."""
    if len(numbers) < FEWEST:
        return False
    values = np.sort(numbers)
    distance = np.abs((values + 1) / 2 - np.arange(len(values)) / len(values)).max()
    if distance > EVEN:
        return False
    centred = numbers - numbers.mean()
    power = float(centred @ centred)
    return all(abs(float(centred[lag:] @ centred[:-lag])) < RELATED * power for lag in range(1, LAGS + 1))


def _follows(head: bytes, at: int, frame_of: FrameOf, most: int) -> bool:
    """Whether so many frames of one kind stand one behind the other; two at least where the bytes end before."""
    first = frame_of(head[at : at + 8])
    for number in range(most):
        if at + 8 > len(head):
            return number >= 2
        frame = frame_of(head[at : at + 8])
        if frame is None or first is None or frame[1:] != first[1:]:
            return False
        at += frame[0]
    return True


def _joined(head: bytes, frame_of: FrameOf) -> bool:
    """Whether frames begin within the first few thousand bytes. A tone whose period is as long as a frame looks like
    that too, but then all frames are nearly the same."""
    for at in range(1, min(len(head) - 8, 4_096)):
        if head[at] in (0xFF, 0x0B) and (frame := frame_of(head[at : at + 8])):
            size = frame[0]
            whole = at + _FRAMES_WITHIN * size < len(head)
            differ = sum(a != b for a, b in zip(head[at : at + size], head[at + size : at + 2 * size], strict=False))
            if whole and differ > size / 4 and _follows(head, at, frame_of, _FRAMES_WITHIN):
                return True
    return False


def _mpeg(header: bytes) -> Frame | None:
    """An MPEG audio frame of layer 2 or 3 by its header. Layer 1 is left out: no file has it, and quiet samples of 24
    and 32 bits look like it."""
    if len(header) < 3 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer, rate = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3), header[2] >> 2 & 3
    kbps, pad = header[2] >> 4, header[2] >> 1 & 1
    if version == 1 or layer not in (2, 3) or rate == 3 or kbps in (0, 15):
        return None
    hz = (44_100, 48_000, 32_000)[rate] // {3: 1, 2: 2, 0: 4}[version]
    bits = 1000 * _MPEG_KBPS[version == 3, layer][kbps - 1]
    return (72 if layer == 3 and version != 3 else 144) * bits // hz + pad, header[1], rate


def _adts(header: bytes) -> Frame | None:
    """An AAC frame by its ADTS header."""
    if len(header) < 6 or header[0] != 0xFF or header[1] & 0xF6 != 0xF0 or header[2] >> 2 & 15 > 12:
        return None
    size = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    return (size, header[1], header[2]) if size > 7 else None


def _ac3(header: bytes) -> Frame | None:
    """An AC-3 or E-AC-3 frame by its header."""
    if len(header) < 6 or header[:2] != b"\x0b\x77":
        return None
    if header[5] >> 3 > 10:
        return 2 * (((header[2] & 7) << 8 | header[3]) + 1), header[5] >> 3, header[2] >> 6
    rate, code = header[4] >> 6, header[4] & 63
    if rate == 3 or code >= 2 * len(_AC3_KBPS):
        return None
    kbps = _AC3_KBPS[code >> 1]
    return (4 * kbps, 2 * (96_000 * kbps // 44_100 + (code & 1)), 6 * kbps)[rate], header[5], rate


def _is_transport_stream(head: bytes) -> bool:
    for first, every in ((0, _PACKET), (4, _PACKET + 4)):
        packets = [head[at : at + 4] for at in range(first, first + every * _PACKETS, every)]
        if all(len(p) == 4 and p[0] == 0x47 and not p[1] & 0x80 and p[3] & 0x30 for p in packets):
            return True
    return False


def _is_text(head: bytes) -> bool:
    """Letters, digits and blanks, mostly of ASCII. Raw samples have zeros and other control characters in them."""
    if len(head) < SHORTEST_TEXT:
        return False
    coding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    words = head.decode(coding, errors="ignore")
    plain = sum(c.isascii() and (c.isprintable() or c in "\t\r\n\f") for c in words)
    strange = sum(not c.isprintable() and c not in "\t\r\n\f\ufeff" for c in words)
    # What cannot be decoded but for a letter cut in two is no text.
    return bool(words) and len(words.encode(coding)) > len(head) - 8 and not strange and plain >= 0.7 * len(words)
