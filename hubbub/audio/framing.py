"""Follows the records of a file (boxes, elements, packets, frames) to see whether the last one is complete.

Each record says how long it is, so its content need not be read. A truncated copy ends inside a record, or before one
that is required. A cut between two records of a format without a total (MP3 without a Xing header, ADTS, AMR, MPEG)
cannot be detected. Nothing is decoded here.
"""

import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hubbub.audio import records
from hubbub.audio.byte_reader import ByteReader
from hubbub.audio.records import Order

__all__ = [
    "after_id3",
    "chunks",
    "flac_is_joined",
    "find_end",
    "mp3_counts_its_frames",
    "ogg_is_damaged",
    "ogg_is_joined",
    "sds_is_damaged",
]

#: The first bytes of a record -> its length; None where they are not a record.
Length = Callable[[bytes], int | None]
#: The most records that are followed; an hour of MP3 has 140,000. The rest is not checked.
MOST_RECORDS = 1_000_000

_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_EBML = b"\x1a\x45\xdf\xa3"
_STILL_IMAGES = (b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis", b"jp2 ", b"crx ")  # the same boxes, but no movie
_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")
_AMR_BYTES = (13, 14, 16, 18, 20, 21, 27, 32, 6, 1, 1, 1, 1, 1, 1, 1)
_AMR_WIDE_BYTES = (18, 24, 33, 37, 41, 47, 51, 59, 61, 6, 1, 1, 1, 1, 1, 1)
_OGG_PAGE_SEARCH_BYTES = 65_536
_OGG_HEADER_BYTES = 27
_OGG_FIRST_PAGE_FLAG, _OGG_LAST_PAGE_FLAG = 2, 4
_BITS_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_FLAC = b"fLaC\0\0\0\x22"  # and the length of the first block
_SEARCHED_BYTES = 2**20
_NIST_HEAD_BYTES = 65_536
_SDS_HEADER_BYTES = 21
_MAT4_BYTES = (8, 4, 4, 2, 2, 1)


def chunks(data: ByteReader, first: int, order: Order, wide: bool = False) -> Iterator[tuple[bytes, int, int]]:
    """Name, offset and size of each chunk's content from `first` on, up to the end or to the first non-chunk.

    `wide`: sizes have 8 bytes, and odd ones are not padded.
    """
    at, head_bytes = first, 12 if wide else 8
    for _ in range(MOST_RECORDS):
        head = data.at(at, head_bytes)
        if len(head) < head_bytes or not records.is_name(head[:4]):
            return
        size = int.from_bytes(head[4:], order)
        at += head_bytes
        yield head[:4], at, size
        at += size if wide else size + size % 2


def find_end(data: ByteReader) -> tuple[bool, int]:
    """Whether a stream is truncated, and where it ends: after the last frame of a stream of frames, else its size."""
    if frames := _frames(data):
        end, truncated = frames.follow(data)
        return truncated, min(end, data.size)
    return _is_truncated(data), data.size


def _is_truncated(data: ByteReader) -> bool:
    head = data.at(0, 400)
    for magic, is_truncated in _KINDS.items():
        if head.startswith(magic):
            return is_truncated(data)
    for packet, sync in ((188, 0), (192, 4)):
        if all(head[at : at + 1] == b"\x47" for at in (sync, sync + packet)):
            return data.size % packet != 0
    return head[4:8] in _BOXES and head[8:12] not in _STILL_IMAGES and _MP4.is_truncated(data)


def _frames(data: ByteReader) -> "_Chain | None":
    """The frames of an MP3, AAC or AC-3 stream; None for an MP3 that counts them, which its decoder checks."""
    first = after_id3(data)
    head = data.at(first, 16)
    for length, head_bytes in ((records.mpeg_frame, 4), (records.adts_frame, 7), (records.ac3_frame, 6)):
        if length(head):
            is_counted = length is records.mpeg_frame and mp3_counts_its_frames(data)
            return None if is_counted else _Chain(first, length, head_bytes)
    return None


def ogg_is_joined(data: ByteReader) -> bool:
    """Whether an Ogg file holds several streams one after the other."""
    begun = False
    for _, _, head in _ogg_pages(data):
        first = bool(head[5] & _OGG_FIRST_PAGE_FLAG)
        if first and begun:
            return True
        begun = begun or not first
    return False


def ogg_is_damaged(data: ByteReader) -> bool:
    """Whether an Ogg page is missing before the last one, or its CRC does not match. Reads all, a page at a time."""
    end, numbers = 0, dict[bytes, int]()
    for at, size, head in _ogg_pages(data):
        stream, number = head[14:18], int.from_bytes(head[18:22], "little")
        begins = head[5] & _OGG_FIRST_PAGE_FLAG
        if not begins and number != numbers.get(stream, number):
            return True
        page = data.at(at, size)
        if len(page) < size or _ogg_crc(page) != int.from_bytes(page[22:26].translate(_BITS_REVERSED), "big"):
            return True
        end, numbers[stream] = at + size, (number + 1) % 2**32
    return _last_ogg_page(data)[0] >= end


def sds_is_damaged(data: ByteReader) -> bool:
    """Whether a packet of a MIDI sample dump does not begin as one. libsndfile prints of each such packet to the
    standard output, where answers are."""
    return any(data.at(at, 2) != b"\xf0\x7e" for at in range(_SDS_HEADER_BYTES, data.size - 1, records.SDS_BYTES))


def _ogg_pages(data: ByteReader) -> Iterator[tuple[int, int, bytes]]:
    """Offset, size and head of each page, as long as they follow each other."""
    at = 0
    for _ in range(MOST_RECORDS):
        head = data.at(at, _OGG_HEADER_BYTES + 255)
        if head[:4] != b"OggS" or len(head) < _OGG_HEADER_BYTES:
            return
        size = _ogg_page_bytes(head)
        yield at, size, head
        at += size


def _ogg_page_bytes(head: bytes) -> int:
    return _OGG_HEADER_BYTES + head[26] + sum(head[_OGG_HEADER_BYTES : _OGG_HEADER_BYTES + head[26]])


def _ogg_crc(page: bytes) -> int:
    """Ogg's CRC of a page, bit-reversed: zlib has the same polynomial with the bits in the other order."""
    bare = page[:22] + bytes(4) + page[26:]
    return zlib.crc32(bare.translate(_BITS_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF


def _last_ogg_page(data: ByteReader) -> tuple[int, bytes]:
    """The last page's offset, and the bytes from there on."""
    first = max(data.size - _OGG_PAGE_SEARCH_BYTES, 0)
    tail = data.at(first, _OGG_PAGE_SEARCH_BYTES)
    at = max(tail.rfind(b"OggS"), 0)
    return first + at, tail[at:]


def flac_is_joined(data: ByteReader) -> bool:
    """Whether a FLAC file holds several streams. Its frames do not give their lengths, so all of it is searched."""
    pieces = (data.at(at, _SEARCHED_BYTES + len(_FLAC)) for at in range(1, data.size, _SEARCHED_BYTES))
    return any(_FLAC in piece for piece in pieces)


def mp3_counts_its_frames(data: ByteReader) -> bool:
    """Whether an MP3's first frame counts all frames (Xing, Info, VBRI); in joined files it counts the first file's."""
    first = after_id3(data)
    frame = data.at(first, 64)
    if b"VBRI" in frame:
        return True
    at = max(frame.find(b"Xing"), frame.find(b"Info"))
    if at < 0 or len(frame) < at + 16:
        return False
    flags, frames, size = (int.from_bytes(frame[i : i + 4], "big") for i in (at + 4, at + 8, at + 12))
    if not flags & 1 or not frames:
        return False
    more = data.at(first + size, 4) if flags & 2 and size else b""
    length = records.mpeg_frame(more) or 0
    return not (length and records.mpeg_frame(data.at(first + size + length, 4)))


@dataclass(frozen=True)
class _Chain:
    """A chain of records from `first` on, each recognised by its first `head` bytes, with its name at `name` in them.

    `complete` names the records that must be complete (all where it is empty), `needed` those that must be present.
    Each record begins at a multiple of `padded` bytes from the one before.
    """

    first: int
    length: Length
    head: int
    name: tuple[int, int] = (0, 4)
    complete: tuple[bytes, ...] = ()
    needed: tuple[bytes, ...] = ()
    padded: int = 1

    def is_truncated(self, data: ByteReader) -> bool:
        return self.follow(data)[1]

    def follow(self, data: ByteReader) -> tuple[int, bool]:
        """The offset after the last record, and whether this record is truncated or a needed one is missing."""
        at, missing = self.first, set(self.needed)
        for _ in range(MOST_RECORDS):
            head = data.at(at, self.head)
            length = self.length(head)
            if not length:
                begun = any(head) and not self.complete
                return at, len(head) < self.head and (begun or bool(missing))
            name = head[slice(*self.name)]
            if at + length > data.size and (not self.complete or name in self.complete):
                return at, True
            missing.discard(name)
            at += length + -length % self.padded
        return at, False


def after_id3(data: ByteReader) -> int:
    """The offset after the ID3 tags at the start, of which there may be several."""
    at = 0
    while len(head := data.at(at, 10)) == 10 and head[:3] == b"ID3":
        at += 10 + sum((byte & 127) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
    return at


# Truncation by the header, one function a format


def _ogg(data: ByteReader) -> bool:
    """Whether the last page is incomplete, or not the last of its stream."""
    _, page = _last_ogg_page(data)
    return len(page) < _OGG_HEADER_BYTES or not page[5] & _OGG_LAST_PAGE_FLAG or len(page) < _ogg_page_bytes(page)


def _nist(data: ByteReader) -> bool:
    digits = data.at(8, 8).strip()
    start = int(digits) if digits.isdigit() else 0
    head = data.at(0, min(start, _NIST_HEAD_BYTES))
    numbers = [
        re.search(name + rb" -\w+ (\d{1,15})\s", head) for name in (b"sample_count", b"channel_count", b"n_bytes")
    ]
    if len(head) < start <= _NIST_HEAD_BYTES:
        return True
    if re.search(rb"sample_coding -s\d+ \S*(shorten|wavpack)", head) or not all(numbers):
        return False
    count, channels, width = (int(number[1]) for number in numbers if number)
    return start + count * channels * width > data.size


def _mat4(order: Order) -> Callable[[ByteReader], bool]:
    def length(head: bytes) -> int | None:
        if len(head) < 20:
            return None
        kind, rows, columns, complex_, name = (int.from_bytes(head[i : i + 4], order) for i in range(0, 20, 4))
        width = kind // 10 % 10
        if kind > 4052 or width >= len(_MAT4_BYTES):
            return None
        return 20 + name + rows * columns * _MAT4_BYTES[width] * (1 + (complex_ == 1))

    return _Chain(0, length, 20).is_truncated


def _mat5(data: ByteReader) -> bool:
    order: Order = "little" if data.at(126, 2) == b"IM" else "big"

    def length(head: bytes) -> int | None:
        kind, size = int.from_bytes(head[:4], order), int.from_bytes(head[4:], order)
        # A matrix is a head before its elements; small elements lie inside their heads.
        return (8 if kind == 14 or kind >> 16 else 8 + size) if len(head) == 8 else None

    return _Chain(128, length, 8, padded=8).is_truncated(data)


def _form(data: ByteReader) -> bool:
    """The Amiga's IFF; `containers` checks AIFF."""
    return data.at(8, 4) in (b"8SVX", b"16SV") and _Chain(
        12, lambda head: records.chunk(head, "big"), 8, complete=(b"BODY",), needed=(b"BODY",), padded=2
    ).is_truncated(data)


def _voc(data: ByteReader) -> bool:
    return _Chain(int.from_bytes(data.at(20, 2), "little") or 26, records.voc_block, 4).is_truncated(data)


def _tta(data: ByteReader) -> bool:
    """The header counts samples; a table after it gives the bytes of each frame of 256/245 s."""
    head = data.at(0, 22)
    rate, samples = (int.from_bytes(head[at : at + 4], "little") for at in (10, 14))
    frames = -(-samples // max(rate * 256 // 245, 1))
    first = 22 + 4 * frames + 4
    if first > data.size or frames > MOST_RECORDS:
        return first > data.size
    table = data.at(22, 4 * frames)
    return first + sum(int.from_bytes(table[at : at + 4], "little") for at in range(0, len(table), 4)) > data.size


def _avr(data: ByteReader) -> bool:
    head = data.at(0, 30)
    channels, bits, frames = 1 + any(head[12:14]), int.from_bytes(head[14:16], "big"), int.from_bytes(head[26:], "big")
    return 128 + frames * channels * bits // 8 > data.size


def _mpc(data: ByteReader) -> bool:
    head = data.at(0, 30)
    return 42 + 2 * int.from_bytes(head[26:], "little") * (1 + any(head[21:22])) > data.size


def _amr(first: int, sizes: tuple[int, ...]) -> Callable[[ByteReader], bool]:
    return _Chain(first, lambda head: sizes[head[0] >> 3 & 15] if head else None, 1).is_truncated


_MP4 = _Chain(0, records.box, 16, (4, 8), complete=(b"moov", b"mdat", b"moof"), needed=(b"moov", b"mdat"))
_MAT4_HEAD = ("000000000100000001000000", "000003e80000000100000001")
_KINDS: dict[bytes, Callable[[ByteReader], bool]] = {
    b"OggS": _ogg,
    b"RIFF": _Chain(0, records.avi_chunk, 12, padded=2).is_truncated,
    b"FORM": _form,
    b"NIST_1A": _nist,
    b"MATLAB 5.0 MAT-file": _mat5,
    bytes.fromhex(_MAT4_HEAD[0]): _mat4("little"),
    bytes.fromhex(_MAT4_HEAD[1]): _mat4("big"),
    b"Creative Voice File": _voc,
    b"2BIT": _avr,
    b"\x01\x04": _mpc,
    b"ALawSoundFile": lambda data: 32 + int.from_bytes(data.at(18, 4), "big") > data.size,
    b"\xf0\x7e": _Chain(_SDS_HEADER_BYTES, records.sds_packet, 4).is_truncated,
    _EBML: _Chain(0, records.element, 12).is_truncated,
    _ASF: _Chain(0, records.asf_object, 24, (0, 16), complete=(_ASF_DATA,), needed=(_ASF_DATA,)).is_truncated,
    b".RMF": _Chain(0, records.real_record, 10, needed=(b"DATA",)).is_truncated,
    b"FLV\x01": _Chain(13, records.flv_tag, 11).is_truncated,
    b"\0\0\1\xba": _Chain(0, records.mpeg_packet, 14).is_truncated,
    b"TTA1": _tta,
    b"wvpk": _Chain(0, records.wavpack_block, 8).is_truncated,
    b"#!AMR\n": _amr(6, _AMR_BYTES),
    b"#!AMR-WB\n": _amr(9, _AMR_WIDE_BYTES),
}
