"""What a sound file counts of itself, against what is there: whether its end is missing, and where its samples lie.

A container says how long it is: RIFF (Microsoft and IBM 1991), RF64/BW64 (EBU Tech 3306, ITU-R BS.2088), AIFF-C (Apple
1991), CAF, QuickTime, Matroska (RFC 9559), ASF and others. A copy that broke off shows in those counts, and decoders
read it without a word. A recorder that crashed, or one that writes more than 4 GiB, leaves counts that are wrong while
the samples are there. Only headers are read, a few bytes each, but all of an Ogg, whose pages carry checksums; nothing
is decoded.
"""

import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

from hubbub.audio import framing
from hubbub.audio.records import Order

__all__ = ["Account", "examine"]

#: What programs write for a size that they do not know yet: recorders, sox, arecord, ffmpeg.
_NOT_COUNTED = (0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_ALL_ONES = b"\xff" * 4
_LARGEST = 2**62 - 1_000  # no file is; 64-bit counts beyond it are some kind of -1
_WRAP = 2**32
_LONGEST_HEAD = 2**20
_FORMAT_BYTES, _LONGEST_FORMAT = 16, 4_096
_NOT_PACKED = (1, 3, 6, 7, 0xFFFE)  # integers, floats, the two laws, and what names its coding further on
_SOME_ZEROS = 2**20  # as fill a file up to a whole block of its card
_FRAME_STARTS = (b"\xff", b"\x0b")  # of MP3, AAC and AC-3, which a tag may stand before
_TAGS = (b"ID3", b"TAG", b"APE")
_MORE_SOUND = (b"data", b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM", b"caff")
_W64_HEAD = 24
_W64 = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000")
#: Bytes of a sample, by the coding that an AU file names.
_AU_BYTES = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}
#: What AIFF-C calls samples that are not packed.
_AIFF_PLAIN = (b"NONE", b"twos", b"sowt", b"raw ", b"fl32", b"FL32", b"fl64", b"FL64", b"in24", b"in32")


@dataclass(frozen=True)
class Account:
    """What the counts of a stream say of it.

    `cut_off`: bytes that it counts are missing at its end. `damaged`: others are missing or changed. `view`: the same
    sound with right counts, where the stream's own are wrong and it is plain which are right. `warning` is a sentence
    about counts that are wrong.
    """

    cut_off: bool = False
    damaged: bool = False
    view: BinaryIO | None = None
    warning: str = ""


def as_it_is(stream: BinaryIO, size: int) -> BinaryIO:
    """A stream of `size` bytes, in which no broken header can seek to a place that makes it raise."""
    return _View(b"", framing.Data(stream, size), 0, size)


def examine(stream: BinaryIO, size: int) -> Account:
    """The account of a stream of `size` bytes, whatever it holds: what is not known here is whole as far as can be
    told."""
    data = framing.Data(stream, size)
    tag = framing.behind_id3(data)
    head = data.at(0, 16)
    other: _View | None = None
    if tag and data.at(tag, 1) not in (b"", *_FRAME_STARTS):
        other = _View(b"", data, tag, size - tag)  # libsndfile takes a tag's bytes off the end
    elif head[:4] == b"BW64":
        other = _View(b"RF64", data, 4, size - 4)  # and knows this by its older name alone
    if other:
        account = examine(other, size - tag)
        return replace(account, view=account.view or other)
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
    cut_off, end = framing.judge(data)
    damaged = head[:4] == b"OggS" and not cut_off and framing.ogg_is_damaged(data)
    # FFmpeg takes what stands behind frames for a broken one.
    shorter = end < size and not cut_off and _is_filling(data, end)
    return Account(cut_off, damaged, _View(b"", data, 0, end) if shorter else None)


@dataclass(frozen=True)
class _Samples:
    """Where a header says that the samples lie: `counted` bytes from `start`; `second` of them are a second, 0 where
    that is not known."""

    start: int
    counted: int
    second: int

    def account(
        self, data: framing.Data, is_tail: Callable[[int], bool], view: Callable[[int], BinaryIO | None]
    ) -> Account:
        """`is_tail` tells of a place behind the samples whether what is there to the end of the file is known;
        `view` gives the same sound with so many bytes of samples, None where that cannot be said."""
        there = data.size - self.start
        not_counted = self.counted in _NOT_COUNTED or self.counted >= _LARGEST
        if self.counted <= 0 or (not_counted and self.counted > there):
            if there <= 0 or (self.counted == 0 and is_tail(self.start)):
                return Account()
            said = f"{max(self.counted, 0):,}" if self.counted < _LARGEST else "an unknown number of"
            warning = f"Its header says {said} bytes of samples; read to the end of the file"
            return Account(view=view(there), warning=f"{warning}: {self._length(there)}.")
        if self.counted in (data.size, data.size - 8):  # some programs count all of the file, or of the RIFF
            warning = f"Its header says {self.counted:,} bytes of samples, which is the size of the whole file; read to"
            return Account(view=view(there), warning=f"{warning} its end: {self._length(there)}.")
        rest = there - self.counted
        if rest < 0:
            return Account(cut_off=True)
        wrapped = self.counted + rest // _WRAP * _WRAP
        if rest >= _WRAP > self.counted and is_tail(self.start + wrapped) and (whole := view(wrapped)):
            warning = f"Its header says {self.counted:,} bytes of samples, which is what 32 bits can hold of"
            return Account(view=whole, warning=f"{warning} {wrapped:,}; all were read: {self._length(wrapped)}.")
        if is_tail(self.start + self.counted):
            return Account()
        warning = f"Its header says {self.counted:,} bytes of samples; the {rest:,} bytes behind them"
        return Account(view=view(self.counted), warning=f"{warning} ({self._length(rest)}) were not read.")

    def _length(self, count: int) -> str:
        return f"{count / self.second:.1f} s" if self.second else f"{count:,} bytes"


# One function a container


def _wav(data: framing.Data, order: Order) -> Account:
    layout, large, end = b"", 0, 0
    for name, at, size in framing.chunks(data, 12, order):
        if name == b"ds64":
            large = int.from_bytes(data.at(at + 8, 8), "little")
        elif name == b"fmt ":
            layout = data.at(at, min(size, _LONGEST_FORMAT))
        elif name == b"data" and len(layout) >= _FORMAT_BYTES:
            counted = large if size == _WRAP - 1 and large else size
            return _wave(data, layout, at, counted, order, lambda place: _are_chunks(data, place, order))
        end = at + size
    return Account(cut_off=end > data.size)


def _w64(data: framing.Data) -> Account:
    layout, end = b"", 0
    for name, at, size in _w64_chunks(data, len(_W64) + _W64_HEAD):
        if name == b"fmt ":
            layout = data.at(at, min(max(size, 0), _LONGEST_FORMAT))
        elif name == b"data" and len(layout) >= _FORMAT_BYTES:
            return _wave(data, layout, at, size, "little", lambda place: _are_w64_chunks(data, place))
        end = at + size
    return Account(cut_off=end > data.size)


def _wave(
    data: framing.Data,
    layout: bytes,
    start: int,
    counted: int,
    order: Order,
    is_tail: Callable[[int], bool],
) -> Account:
    """`layout` is what WAV, RF64 and W64 have in their `fmt ` chunk."""
    coding, channels, rate, second, step, bits = struct.unpack((">" if order == "big" else "<") + "HHIIHH", layout[:16])
    odd = ""
    if coding in _NOT_PACKED:
        if step != channels * -(-bits // 8) or second not in (0, rate * step):
            odd = (
                f"Its header contradicts itself: it says {channels} channels of {bits} bits at {rate} Hz, {step} bytes "
                f"for a sample of all channels, and {second} bytes a second. Check its rate and channels."
            )
        second = rate * max(step, 1)
    step = max(step, 1)

    def view(size: int) -> BinaryIO | None:
        size -= size % step
        kept = b"fmt " + len(layout).to_bytes(4, order) + layout + bytes(len(layout) % 2)
        if len(kept) + 12 + size < _WRAP:
            name = b"RIFX" if order == "big" else b"RIFF"
            head = (
                name + (len(kept) + 12 + size).to_bytes(4, order) + b"WAVE" + kept + b"data" + size.to_bytes(4, order)
            )
        elif order == "big":
            return None
        else:
            counts = struct.pack("<4sIQQQI", b"ds64", 28, len(kept) + 48 + size, size, size // step, 0)
            head = b"RF64" + _ALL_ONES + b"WAVE" + counts + kept + b"data" + _ALL_ONES
        return _View(head, data, start, size)

    account = _Samples(start, counted, second).account(data, is_tail, view)
    return replace(account, warning=" ".join(filter(None, (odd, account.warning))))


def _au(data: framing.Data, order: Order) -> Account:
    head = data.at(0, 24)
    if len(head) < 24:
        return Account(cut_off=True)
    start, counted, coding, rate, channels = (int.from_bytes(head[i : i + 4], order) for i in range(4, 24, 4))

    def view(size: int) -> BinaryIO:
        return _View(head[:8] + _ALL_ONES, data, 12, start + size - 12)

    samples = _Samples(start, counted, rate * channels * _AU_BYTES.get(coding, 0))
    return samples.account(data, lambda place: _is_filling(data, place), view)


def _caf(data: framing.Data) -> Account:
    second = end = at = 0
    for name, at, size in framing.chunks(data, 8, "big", wide=True):
        end = at + size
        if name == b"desc":
            rate, packet, frames = struct.unpack(">d8xII", data.at(at, 24).ljust(24, b"\0"))
            second = round(rate * packet / frames) if frames and 0 < rate < _LARGEST else 0
        elif name == b"data":
            break
    else:
        return Account(cut_off=end > data.size)

    def view(found: int) -> BinaryIO | None:
        return _patched(data, {at - 8: (found + 4).to_bytes(8, "big")}, at, found + 4)

    # A count of edits, 4 bytes, stands before the samples and belongs to the chunk.
    samples = _Samples(at + 4, size if size >= _LARGEST else size - 4, second)
    return samples.account(data, lambda place: _are_chunks(data, place, "big", wide=True), view)


def _aiff(data: framing.Data) -> Account:
    second = step = common = end = at = 0
    for name, at, size in framing.chunks(data, 12, "big"):
        end = at + size
        if name == b"COMM":
            head, common = data.at(at, 22).ljust(22, b"\0"), at
            channels, bits = struct.unpack(">H4xH", head[:8])
            plain = data.at(8, 4) == b"AIFF" or head[18:] in _AIFF_PLAIN
            step = channels * -(-bits // 8) if plain else 0
            second = step * _rate(head[8:18])
        elif name == b"SSND":
            break
    else:
        return Account(cut_off=end > data.size)

    def view(found: int) -> BinaryIO | None:
        if not step or at + found >= _WRAP:
            return None
        counts = {4: at + found, common + 2: found // step, at - 4: found + 8}
        return _patched(data, {i: n.to_bytes(4, "big") for i, n in counts.items()}, at, found + 8)

    samples = _Samples(at + 8, size if size >= _WRAP - 1 else size - 8, second)
    return samples.account(data, lambda place: _are_chunks(data, place, "big"), view)


def _rate(extended: bytes) -> int:
    """A rate of AIFF, an 80-bit float, to whole Hz; 0 where it is no rate."""
    exponent, mantissa = struct.unpack(">HQ", extended.ljust(10, b"\0"))
    shift = 16_383 + 63 - exponent
    return mantissa >> shift if 0 <= shift < 64 else 0


# Behind the samples


def _are_chunks(data: framing.Data, place: int, order: Order, wide: bool = False) -> bool:
    """Whether chunks begin at a place or, behind a pad byte, at the next, and nothing else is there to the end."""
    for first in (place, place + 1):
        end = first
        for name, at, size in framing.chunks(data, first, order, wide):
            if name in _MORE_SOUND:  # which nobody reads, as where files were joined
                break
            end = at + size
        if _is_filling(data, first) or _is_filling(data, end):
            return True
    return False


def _w64_chunks(data: framing.Data, first: int) -> Iterator[tuple[bytes, int, int]]:
    """As `framing.chunks`: names are 16 bytes, here their first 4, sizes count the head, and all is padded to 8."""
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


def _are_w64_chunks(data: framing.Data, place: int) -> bool:
    end = place + -place % 8
    for name, at, size in _w64_chunks(data, end):
        if name == _W64[:4]:
            break
        end = at + size
    return _is_filling(data, place) or _is_filling(data, end)


def _is_filling(data: framing.Data, place: int) -> bool:
    """Whether from a place to the end there is less than a chunk, a player's tag, or some zeros."""
    rest = data.size - place
    if rest < 8:
        return rest > -8
    return data.at(place, 3) in _TAGS or (rest <= _SOME_ZEROS and not any(data.at(place, rest)))


# The same sound with right counts


def _patched(data: framing.Data, patches: dict[int, bytes], start: int, size: int) -> BinaryIO | None:
    """The stream with other bytes in its head, which ends at `start`, and `size` more."""
    if start > _LONGEST_HEAD:
        return None
    head = bytearray(data.at(0, start))
    for at, new in patches.items():
        head[at : at + len(new)] = new
    return _View(bytes(head), data, start, size)


class _View(io.RawIOBase, BinaryIO):
    """A head of its own, then `size` bytes of a stream from `start`."""

    def __init__(self, head: bytes, data: framing.Data, start: int, size: int) -> None:
        self._head, self._data, self._start = head, data, start
        self._end = len(head) + size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """To before its start, where broken headers lead, it does not move, as in C."""
        at = (0, self._at, self._end)[whence] + offset
        self._at = at if at >= 0 else self._at
        return self._at

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        last = min(self._at + len(buffer), self._end)
        got = self._head[self._at : last]
        at = self._at + len(got)
        got += self._data.at(self._start + at - len(self._head), last - at)
        buffer[: len(got)] = got
        self._at += len(got)
        return len(got)
