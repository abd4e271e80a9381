"""Compares the sizes in an audio file's header with the file: finds truncated files, and corrects wrong sizes.

RIFF (Microsoft and IBM 1991), RF64/BW64 (EBU Tech 3306, ITU-R BS.2088), AIFF-C (Apple 1991), CAF and others give their
sizes. Decoders read a truncated copy without an error, but its header counts bytes that are missing. Recorders that
crash, or that write more than 4 GiB, leave wrong sizes although the samples are there. Only headers are read, except of
Ogg, whose pages carry checksums; nothing is decoded.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

from hubbub.audio import framing
from hubbub.audio.byte_reader import ByteReader, View
from hubbub.audio.records import Order

__all__ = ["Integrity", "check_integrity"]

#: Sizes that mean "not known yet", as recorders, sox, arecord and ffmpeg write them.
_UNKNOWN_SIZES = (0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_ALL_ONES = b"\xff" * 4
_LARGEST = 2**62 - 1_000  # no file is longer; larger 64-bit sizes are some kind of -1
_WRAP = 2**32
_MAX_HEAD = 2**20
_FMT_BYTES, _MAX_FMT = 16, 4_096
_UNCOMPRESSED = (1, 3, 6, 7, 0xFFFE)  # integers, floats, A-law, mu-law, extensible
_MAX_ZEROS = 2**20  # recorders pad files to whole blocks of their card
_FRAME_STARTS = (b"\xff", b"\x0b")  # of MP3, AAC and AC-3, which may follow a tag
_TAGS = (b"ID3", b"TAG", b"APE")
_SOUND_CHUNKS = (b"data", b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM", b"caff")
_W64_HEAD = 24
_W64 = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000")
#: Bytes of a sample, by AU's number of its encoding.
_AU_BYTES = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}
#: AIFF-C's names of uncompressed encodings.
_AIFF_UNCOMPRESSED = (b"NONE", b"twos", b"sowt", b"raw ", b"fl32", b"FL32", b"fl64", b"FL64", b"in24", b"in32")


@dataclass(frozen=True)
class Integrity:
    """What the sizes in a stream's header, compared with the stream, show.

    `truncated`: bytes are missing at its end. `damaged`: others are missing or changed. `view`: the same sound with
    correct sizes, where its own are wrong and the correct ones are certain. `warning`: a sentence about wrong sizes.
    """

    truncated: bool = False
    damaged: bool = False
    view: BinaryIO | None = None
    warning: str = ""


def check_integrity(stream: BinaryIO, size: int) -> Integrity:
    """The integrity of a stream of `size` bytes; a stream of an unknown format counts as complete."""
    data = ByteReader(stream, size)
    tag = framing.after_id3(data)
    head = data.at(0, 16)
    other: View | None = None
    if tag and data.at(tag, 1) not in (b"", *_FRAME_STARTS):
        other = View(b"", data, tag, size - tag)  # libsndfile would drop as many bytes at the end
    elif head[:4] == b"BW64":
        other = View(b"RF64", data, 4, size - 4)  # libsndfile knows only the older name
    if other:
        integrity = check_integrity(other, size - tag)
        return replace(integrity, view=integrity.view or other)
    if head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:12] == b"WAVE":
        return _wav(data, "big" if head[:4] == b"RIFX" else "little")
    if head == _W64:
        return _w64(data)
    if head[:4] in (b".snd", b"dns."):
        return _au(data, "big" if head[:4] == b".snd" else "little")
    if head[:4] == b"caff":
        return _caf(data)
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return _aiff(data)
    truncated, end = framing.find_end(data)
    damaged = not truncated and (
        (head[:4] == b"OggS" and framing.ogg_is_damaged(data))
        or (head[:2] == b"\xf0\x7e" and framing.sds_is_damaged(data))
    )
    # FFmpeg takes bytes after the last frame for a broken frame.
    shorter = end < size and not truncated and _is_padding(data, end)
    return Integrity(truncated, damaged, View(b"", data, 0, end) if shorter else None)


@dataclass(frozen=True)
class _Samples:
    """The samples by the header: `counted` bytes from `start`, `bytes_per_s` of them a second (0: unknown)."""

    start: int
    counted: int
    bytes_per_s: int

    def integrity(
        self, data: ByteReader, is_tail: Callable[[int], bool], view: Callable[[int], BinaryIO | None]
    ) -> Integrity:
        """Compares `counted` with the stream.

        `is_tail` tells whether the stream holds only known data from an offset to its end; `view` gives the same sound
        with another number of sample bytes, or None where the header cannot hold that.
        """
        available = data.size - self.start
        unknown = self.counted in _UNKNOWN_SIZES or self.counted >= _LARGEST
        if self.counted <= 0 or (unknown and self.counted > available):
            if available <= 0 or (self.counted == 0 and is_tail(self.start)):
                return Integrity()
            counted = f"{max(self.counted, 0):,}" if self.counted < _LARGEST else "an unknown number of"
            warning = f"Its header says {counted} bytes of samples; read to the end of the file"
            return Integrity(view=view(available), warning=f"{warning}: {self._length(available)}.")
        if self.counted in (data.size, data.size - 8):  # some programs write the size of the file, or of the RIFF
            warning = f"Its header says {self.counted:,} bytes of samples, which is the size of the whole file; read to"
            return Integrity(view=view(available), warning=f"{warning} its end: {self._length(available)}.")
        rest = available - self.counted
        if rest < 0:
            return Integrity(truncated=True)
        wrapped = self.counted + rest // _WRAP * _WRAP
        if rest >= _WRAP > self.counted and is_tail(self.start + wrapped) and (full_view := view(wrapped)):
            warning = f"Its header says {self.counted:,} bytes of samples, which is what 32 bits hold of"
            return Integrity(view=full_view, warning=f"{warning} {wrapped:,}; all were read: {self._length(wrapped)}.")
        if is_tail(self.start + self.counted):
            return Integrity()
        warning = f"Its header says {self.counted:,} bytes of samples; the {rest:,} bytes after them"
        return Integrity(view=view(self.counted), warning=f"{warning} ({self._length(rest)}) were not read.")

    def _length(self, count: int) -> str:
        return f"{count / self.bytes_per_s:.1f} s" if self.bytes_per_s else f"{count:,} bytes"


# One function a container


def _wav(data: ByteReader, order: Order) -> Integrity:
    fmt, large, end = b"", 0, 0
    for name, at, size in framing.chunks(data, 12, order):
        if name == b"ds64":
            large = int.from_bytes(data.at(at + 8, 8), "little")
        elif name == b"fmt ":
            fmt = data.at(at, min(size, _MAX_FMT))
        elif name == b"data" and len(fmt) >= _FMT_BYTES:
            counted = large if size == _WRAP - 1 and large else size
            return _wave(data, fmt, at, counted, order, lambda offset: _are_chunks(data, offset, order))
        end = at + size
    return Integrity(truncated=end > data.size)


def _w64(data: ByteReader) -> Integrity:
    fmt, end = b"", 0
    for name, at, size in _w64_chunks(data, len(_W64) + _W64_HEAD):
        if name == b"fmt ":
            fmt = data.at(at, min(max(size, 0), _MAX_FMT))
        elif name == b"data" and len(fmt) >= _FMT_BYTES:
            return _wave(data, fmt, at, size, "little", lambda offset: _are_w64_chunks(data, offset))
        end = at + size
    return Integrity(truncated=end > data.size)


def _wave(
    data: ByteReader,
    fmt: bytes,
    start: int,
    counted: int,
    order: Order,
    is_tail: Callable[[int], bool],
) -> Integrity:
    """The integrity by `fmt`, the content of the `fmt ` chunk of WAV, RF64 and W64."""
    encoding, channels, rate, bytes_per_s, step, bits = struct.unpack(
        (">" if order == "big" else "<") + "HHIIHH", fmt[:16]
    )
    contradiction = ""
    if encoding in _UNCOMPRESSED:
        if step != channels * -(-bits // 8) or bytes_per_s not in (0, rate * step):
            contradiction = (
                f"Its header contradicts itself: it says {channels} channels of {bits} bits at {rate} Hz, {step} bytes "
                f"for a sample of all channels, and {bytes_per_s} bytes a second. Check its rate and channels."
            )
        bytes_per_s = rate * max(step, 1)
    step = max(step, 1)

    def view(size: int) -> BinaryIO | None:
        size -= size % step
        chunk = b"fmt " + len(fmt).to_bytes(4, order) + fmt + bytes(len(fmt) % 2)
        if len(chunk) + 12 + size < _WRAP:
            name = b"RIFX" if order == "big" else b"RIFF"
            head = (
                name + (len(chunk) + 12 + size).to_bytes(4, order) + b"WAVE" + chunk + b"data" + size.to_bytes(4, order)
            )
        elif order == "big":
            return None
        else:
            counts = struct.pack("<4sIQQQI", b"ds64", 28, len(chunk) + 48 + size, size, size // step, 0)
            head = b"RF64" + _ALL_ONES + b"WAVE" + counts + chunk + b"data" + _ALL_ONES
        return View(head, data, start, size)

    integrity = _Samples(start, counted, bytes_per_s).integrity(data, is_tail, view)
    return replace(integrity, warning=" ".join(filter(None, (contradiction, integrity.warning))))


def _au(data: ByteReader, order: Order) -> Integrity:
    head = data.at(0, 24)
    if len(head) < 24:
        return Integrity(truncated=True)
    start, counted, encoding, rate, channels = (int.from_bytes(head[i : i + 4], order) for i in range(4, 24, 4))

    def view(size: int) -> BinaryIO:
        return View(head[:8] + _ALL_ONES, data, 12, start + size - 12)

    samples = _Samples(start, counted, rate * channels * _AU_BYTES.get(encoding, 0))
    return samples.integrity(data, lambda offset: _is_padding(data, offset), view)


def _caf(data: ByteReader) -> Integrity:
    bytes_per_s = end = at = 0
    for name, at, size in framing.chunks(data, 8, "big", wide=True):
        end = at + size
        if name == b"desc":
            rate, packet, frames = struct.unpack(">d8xII", data.at(at, 24).ljust(24, b"\0"))
            bytes_per_s = round(rate * packet / frames) if frames and 0 < rate < _LARGEST else 0
        elif name == b"data":
            break
    else:
        return Integrity(truncated=end > data.size)

    def view(found: int) -> BinaryIO | None:
        return _patched_view(data, {at - 8: (found + 4).to_bytes(8, "big")}, at, found + 4)

    # The chunk begins with an edit count of 4 bytes.
    samples = _Samples(at + 4, size if size >= _LARGEST else size - 4, bytes_per_s)
    return samples.integrity(data, lambda offset: _are_chunks(data, offset, "big", wide=True), view)


def _aiff(data: ByteReader) -> Integrity:
    bytes_per_s = step = common = end = at = 0
    for name, at, size in framing.chunks(data, 12, "big"):
        end = at + size
        if name == b"COMM":
            head, common = data.at(at, 22).ljust(22, b"\0"), at
            channels, bits = struct.unpack(">H4xH", head[:8])
            plain = data.at(8, 4) == b"AIFF" or head[18:] in _AIFF_UNCOMPRESSED
            step = channels * -(-bits // 8) if plain else 0
            bytes_per_s = step * _aiff_rate(head[8:18])
        elif name == b"SSND":
            break
    else:
        return Integrity(truncated=end > data.size)

    def view(found: int) -> BinaryIO | None:
        if not step or at + found >= _WRAP:
            return None
        counts = {4: at + found, common + 2: found // step, at - 4: found + 8}
        return _patched_view(data, {i: n.to_bytes(4, "big") for i, n in counts.items()}, at, found + 8)

    samples = _Samples(at + 8, size if size >= _WRAP - 1 else size - 8, bytes_per_s)
    return samples.integrity(data, lambda offset: _are_chunks(data, offset, "big"), view)


def _aiff_rate(extended: bytes) -> int:
    """AIFF's sample rate, an 80-bit float -> whole Hz; 0 where it is invalid."""
    exponent, mantissa = struct.unpack(">HQ", extended.ljust(10, b"\0"))
    shift = 16_383 + 63 - exponent
    return mantissa >> shift if 0 <= shift < 64 else 0


# After the samples


def _are_chunks(data: ByteReader, offset: int, order: Order, wide: bool = False) -> bool:
    """Whether the stream from an offset, or from a pad byte after it, to its end holds only chunks."""
    for first in (offset, offset + 1):
        end = first
        for name, at, size in framing.chunks(data, first, order, wide):
            if name in _SOUND_CHUNKS:  # as in joined files, of which decoders read the first
                break
            end = at + size
        if _is_padding(data, first) or _is_padding(data, end):
            return True
    return False


def _w64_chunks(data: ByteReader, first: int) -> Iterator[tuple[bytes, int, int]]:
    """As `framing.chunks`, for W64: 16-byte names (here their first 4), sizes that count the head, padding to 8."""
    at = first
    for _ in range(framing.MOST_RECORDS):
        head = data.at(at, _W64_HEAD)
        if len(head) < _W64_HEAD:
            return
        size = int.from_bytes(head[16:], "little") - _W64_HEAD
        yield head[:4], at + _W64_HEAD, size
        if size < 0:
            return
        at += _W64_HEAD + size + -size % 8


def _are_w64_chunks(data: ByteReader, offset: int) -> bool:
    end = offset + -offset % 8
    for name, at, size in _w64_chunks(data, end):
        if name == _W64[:4]:
            break
        end = at + size
    return _is_padding(data, offset) or _is_padding(data, end)


def _is_padding(data: ByteReader, offset: int) -> bool:
    """Whether the rest of the stream is less than a chunk, a tag, or a few zeros."""
    rest = data.size - offset
    if rest < 8:
        return rest > -8
    return data.at(offset, 3) in _TAGS or (rest <= _MAX_ZEROS and not any(data.at(offset, rest)))


# The same sound with correct sizes


def _patched_view(data: ByteReader, patches: dict[int, bytes], start: int, size: int) -> BinaryIO | None:
    """The stream with `patches` in its head, which ends at `start`, then `size` more bytes."""
    if start > _MAX_HEAD:
        return None
    head = bytearray(data.at(0, start))
    for at, new in patches.items():
        head[at : at + len(new)] = new
    return View(bytes(head), data, start, size)
