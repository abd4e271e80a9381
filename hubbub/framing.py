"""Chains of records, which every container is: boxes, elements, packets, frames; and whether the last one is whole.

Each record says how long it is, so a chain can be followed without reading what is in it. A copy that broke off ends
inside a record, or before one that must be there. Where it broke off between two records of a format that counts nothing
else (MP3 without a Xing header, ADTS, AMR, MPEG), nobody can tell. Nothing is decoded here.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

__all__ = ["Data", "Order", "chunks", "is_cut_off", "mp3_counts_its_frames", "ogg_is_joined"]

Order = Literal["little", "big"]
#: The first bytes of a record -> how long all of it is; None where they begin none.
Length = Callable[[bytes], int | None]
#: The most records that are followed; an hour of MP3 has 140,000. What lies beyond is not judged.
MOST_RECORDS = 1_000_000

_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_EBML, _SEGMENT, _CLUSTER = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75"
_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"moof")
_OGG_PAGE_SEARCH_BYTES = 65_536
_OGG_HEADER_BYTES = 27
_OGG_FIRST_PAGE_FLAG, _OGG_LAST_PAGE_FLAG = 2, 4
_NIST_HEAD_BYTES = 65_536
_MAT4_BYTES = (8, 4, 4, 2, 2, 1)
_MPEG_RATES_HZ = (44_100, 48_000, 32_000)
_MPEG_KBPS = {  # by layer, then for MPEG-1 and the later ones
    1: (
        (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
        (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    ),
    2: (
        (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
        (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    ),
    3: (
        (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
        (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    ),
}
_AC3_KBPS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)
_AMR_BYTES = (13, 14, 16, 18, 20, 21, 27, 32, 6, 1, 1, 1, 1, 1, 1, 1)
_AMR_WIDE_BYTES = (18, 24, 33, 37, 41, 47, 51, 59, 61, 6, 1, 1, 1, 1, 1, 1)


class Data:
    """The bytes of a stream by their place."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream, self.size = stream, size

    def at(self, place: int, count: int) -> bytes:
        """Fewer than `count` where the stream ends."""
        if not 0 <= place < self.size or count <= 0:
            return b""
        self._stream.seek(place)
        return self._stream.read(count)


def chunks(data: Data, first: int, order: Order, wide: bool = False) -> Iterator[tuple[bytes, int, int]]:
    """Name, place and size of what is in each chunk from `first` on, up to the one that goes beyond the end or what is
    no chunk. `wide`: sizes have 8 bytes, and odd ones are not padded."""
    at, head_bytes = first, 12 if wide else 8
    for _ in range(MOST_RECORDS):
        head = data.at(at, head_bytes)
        if len(head) < head_bytes or not _is_name(head[:4]):
            return
        size = int.from_bytes(head[4:], order)
        at += head_bytes
        yield head[:4], at, size
        at += size if wide else size + size % 2


def is_cut_off(data: Data) -> bool:
    """Whether a stream counts bytes that are missing at its end, or breaks off inside a record."""
    head = data.at(0, 400)
    for magic, judge in _KINDS.items():
        if head.startswith(magic):
            return judge(data)
    if head[4:8] in _BOXES:
        return _MP4.is_cut_off(data)
    for packet, sync in ((188, 0), (192, 4)):
        if all(head[at : at + 1] == b"\x47" for at in (sync, sync + packet)):
            return data.size % packet != 0
    first = _behind_id3(data)
    frame = data.at(first, 16)
    for length, head_bytes in ((_mpeg_frame, 4), (_adts_frame, 7), (_ac3_frame, 6)):
        if length(frame):
            counted = length is _mpeg_frame and mp3_counts_its_frames(data)  # the decoder compares
            return not counted and _Chain(first, length, head_bytes).is_cut_off(data)
    return False


def ogg_is_joined(data: Data) -> bool:
    """Whether an Ogg stream begins anew further on: several, one behind the other."""
    at, begun = 0, False
    for _ in range(MOST_RECORDS):
        page = data.at(at, _OGG_HEADER_BYTES + 255)
        if page[:4] != b"OggS" or len(page) < _OGG_HEADER_BYTES:
            return False
        first = bool(page[5] & _OGG_FIRST_PAGE_FLAG)
        if first and begun:
            return True
        begun = begun or not first
        at += _OGG_HEADER_BYTES + page[26] + sum(page[_OGG_HEADER_BYTES : _OGG_HEADER_BYTES + page[26]])
    return False


def mp3_counts_its_frames(data: Data) -> bool:
    """Whether an MP3 stream's first frame counts the frames (Xing, Info, VBRI), all of them: of files that were joined
    it counts those of the first."""
    first = _behind_id3(data)
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
    length = _mpeg_frame(more) or 0
    return not (length and _mpeg_frame(data.at(first + size + length, 4)))


@dataclass(frozen=True)
class _Chain:
    """Records from `first` on, known by their first `head` bytes; their names are at `name` in these. `whole` are those
    that must be whole, all where it is empty; `needed` those that must be there. The next one starts at a multiple of `padded` bytes from this."""

    first: int
    length: Length
    head: int
    name: tuple[int, int] = (0, 4)
    whole: tuple[bytes, ...] = ()
    needed: tuple[bytes, ...] = ()
    padded: int = 1

    def is_cut_off(self, data: Data) -> bool:
        at, missing = self.first, set(self.needed)
        for _ in range(MOST_RECORDS):
            head = data.at(at, self.head)
            length = self.length(head)
            if not length:
                begun = any(head) and not self.whole
                return len(head) < self.head and (begun or bool(missing))
            name = head[slice(*self.name)]
            if at + length > data.size and (not self.whole or name in self.whole):
                return True
            missing.discard(name)
            at += length + -length % self.padded
        return False


# How long a record is


def _is_name(name: bytes) -> bool:
    return len(name) == 4 and all(0x20 <= byte <= 0x7E for byte in name)


def _chunk(head: bytes, order: Order) -> int | None:
    size = int.from_bytes(head[4:8], order)
    return 8 + size if len(head) >= 8 and _is_name(head[:4]) else None


def _avi_chunk(head: bytes) -> int | None:
    length = _chunk(head, "little")
    # Frames lie in a list, the list in a RIFF; who writes into a pipe leaves both without a size.
    is_open = head[8:12] == b"movi" and length in (8, 7 + 2**32)
    return 12 if length and (head[:4] == b"RIFF" or is_open) else length


def _asf_object(head: bytes) -> int | None:
    size = int.from_bytes(head[16:24], "little")
    return size if len(head) == 24 and size >= 24 else None


def _box(head: bytes) -> int | None:
    if len(head) < 8 or not _is_name(head[4:8]):
        return None
    size = int.from_bytes(head[:4], "big")
    if size == 1:
        size = int.from_bytes(head[8:16], "big")
    return size if size >= 8 else None  # 0: up to the end


def _real_record(head: bytes) -> int | None:
    """Of RealMedia: a chunk, its DATA only as far as the packets in it, and these."""
    if len(head) < 10:
        return None
    if head[:4] == b"DATA":
        return 18
    length = int.from_bytes(head[4:8] if _is_name(head[:4]) else head[2:4], "big")
    return length if length >= 10 and (_is_name(head[:4]) or head[0] == 0 and head[1] <= 1) else None


def _element(head: bytes) -> int | None:
    """Of Matroska; of one without a size its head alone, so that what is in it comes next."""
    name_bytes = 9 - head[0].bit_length() if head and head[0] else 9
    rest = head[name_bytes:]
    size_bytes = 9 - rest[0].bit_length() if rest and rest[0] else 9
    if name_bytes > 4 or size_bytes > 8 or len(rest) < size_bytes:
        return None
    size = int.from_bytes(rest[:size_bytes], "big") & (2 ** (7 * size_bytes) - 1)
    is_open = size == 2 ** (7 * size_bytes) - 1 and head[:name_bytes] in (_SEGMENT, _CLUSTER)
    return name_bytes + size_bytes + (0 if is_open else size)


def _flv_tag(head: bytes) -> int | None:
    is_tag = len(head) == 11 and head[0] & 0x1F in (8, 9, 18)
    return 15 + int.from_bytes(head[1:4], "big") if is_tag else None


def _mpeg_packet(head: bytes) -> int | None:
    if head[:3] != b"\0\0\1" or len(head) < 6 or head[3] < 0xB9:
        return None
    if head[3] == 0xB9:
        return 4
    if head[3] == 0xBA:
        return 14 + (head[13] & 7) if len(head) == 14 and head[4] >> 6 == 1 else 12
    return 6 + int.from_bytes(head[4:6], "big")


def _wavpack_block(head: bytes) -> int | None:
    return 8 + int.from_bytes(head[4:8], "little") if head[:4] == b"wvpk" and len(head) == 8 else None


def _voc_block(head: bytes) -> int | None:
    return 4 + int.from_bytes(head[1:4], "little") if len(head) == 4 and 1 <= head[0] <= 9 else None


def _sds_packet(head: bytes) -> int | None:
    return 127 if head[:2] == b"\xf0\x7e" and head[3:4] == b"\x02" else None


def _mpeg_frame(head: bytes) -> int | None:
    """Of MPEG-1, 2 and 2.5, layers I to III."""
    if len(head) < 4 or head[0] != 0xFF or head[1] < 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    bit_rate, rate = head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer == 4 or bit_rate in (0, 15) or rate == 3:
        return None
    is_first = version == 3
    hz = _MPEG_RATES_HZ[rate] // {3: 1, 2: 2, 0: 4}[version]
    bits = 1000 * _MPEG_KBPS[layer][not is_first][bit_rate - 1]
    padding = head[2] >> 1 & 1
    if layer == 1:
        return 4 * (12 * bits // hz + padding)
    return (144 if layer == 2 or is_first else 72) * bits // hz + padding


def _adts_frame(head: bytes) -> int | None:
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return None
    return (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5


def _ac3_frame(head: bytes) -> int | None:
    if len(head) < 6 or head[:2] != b"\x0b\x77":
        return None
    if head[5] >> 3 > 10:  # E-AC-3
        return 2 * (((head[2] & 7) << 8 | head[3]) + 1)
    rate, code = head[4] >> 6, head[4] & 63
    if rate == 3 or code // 2 >= len(_AC3_KBPS):
        return None
    kbps = _AC3_KBPS[code // 2]
    return 2 * (kbps * 2, kbps * 320 // 147 + code % 2, kbps * 3)[rate]


def _behind_id3(data: Data) -> int:
    head = data.at(0, 10)
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    return 10 + sum((byte & 127) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))


# Headers that count, one function a format


def _ogg(data: Data) -> bool:
    """Whether the last page is not whole, or not its stream's last."""
    tail = data.at(max(data.size - _OGG_PAGE_SEARCH_BYTES, 0), _OGG_PAGE_SEARCH_BYTES)
    page = tail[max(tail.rfind(b"OggS"), 0) :]
    if len(page) < _OGG_HEADER_BYTES:
        return True
    pieces = page[_OGG_HEADER_BYTES : _OGG_HEADER_BYTES + page[26]]
    whole = _OGG_HEADER_BYTES + page[26] + sum(pieces)
    return not page[5] & _OGG_LAST_PAGE_FLAG or len(page) < whole


def _nist(data: Data) -> bool:
    digits = data.at(8, 8).strip()
    start = int(digits) if digits.isdigit() else 0
    head = data.at(0, min(start, _NIST_HEAD_BYTES))
    numbers = [re.search(name + rb" -i (\d{1,15})\s", head) for name in (b"sample_count", b"channel_count", b"n_bytes")]
    if len(head) < start <= _NIST_HEAD_BYTES:
        return True
    if re.search(rb"sample_coding -s\d+ \S*(shorten|wavpack)", head) or not all(numbers):
        return False
    count, channels, width = (int(number[1]) for number in numbers if number)
    return start + count * channels * width > data.size


def _mat4(order: Order) -> Callable[[Data], bool]:
    def length(head: bytes) -> int | None:
        if len(head) < 20:
            return None
        kind, rows, columns, complex_, name = (int.from_bytes(head[i : i + 4], order) for i in range(0, 20, 4))
        width = kind // 10 % 10
        if kind > 4052 or width >= len(_MAT4_BYTES):
            return None
        return 20 + name + rows * columns * _MAT4_BYTES[width] * (1 + (complex_ == 1))

    return _Chain(0, length, 20).is_cut_off


def _mat5(data: Data) -> bool:
    order: Order = "little" if data.at(126, 2) == b"IM" else "big"

    def length(head: bytes) -> int | None:
        kind, size = int.from_bytes(head[:4], order), int.from_bytes(head[4:], order)
        # A matrix is a head before its elements; small elements lie in their own heads.
        return (8 if kind == 14 or kind >> 16 else 8 + size) if len(head) == 8 else None

    return _Chain(128, length, 8, padded=8).is_cut_off(data)


def _form(data: Data) -> bool:
    """IFF of the Amiga; AIFF is judged with those that carry PCM."""
    return data.at(8, 4) in (b"8SVX", b"16SV") and _Chain(
        12, lambda head: _chunk(head, "big"), 8, whole=(b"BODY",), needed=(b"BODY",), padded=2
    ).is_cut_off(data)


def _voc(data: Data) -> bool:
    return _Chain(int.from_bytes(data.at(20, 2), "little") or 26, _voc_block, 4).is_cut_off(data)


def _avr(data: Data) -> bool:
    head = data.at(0, 30)
    channels, bits, frames = 1 + any(head[12:14]), int.from_bytes(head[14:16], "big"), int.from_bytes(head[26:], "big")
    return 128 + frames * channels * bits // 8 > data.size


def _mpc(data: Data) -> bool:
    head = data.at(0, 30)
    return 42 + 2 * int.from_bytes(head[26:], "little") * (1 + any(head[21:22])) > data.size


def _amr(first: int, sizes: tuple[int, ...]) -> Callable[[Data], bool]:
    return _Chain(first, lambda head: sizes[head[0] >> 3 & 15] if head else None, 1).is_cut_off


_MP4 = _Chain(
    0, _box, 16, (4, 8), whole=(b"moov", b"mdat", b"moof"), needed=(b"moov", b"mdat")
)
_MAT4_HEAD = ("000000000100000001000000", "000003e80000000100000001")
_KINDS: dict[bytes, Callable[[Data], bool]] = {
    b"OggS": _ogg,
    b"RIFF": _Chain(0, _avi_chunk, 12, padded=2).is_cut_off,
    b"FORM": _form,
    b"NIST_1A": _nist,
    b"MATLAB 5.0 MAT-file": _mat5,
    bytes.fromhex(_MAT4_HEAD[0]): _mat4("little"),
    bytes.fromhex(_MAT4_HEAD[1]): _mat4("big"),
    b"Creative Voice File": _voc,
    b"2BIT": _avr,
    b"\x01\x04": _mpc,
    b"ALawSoundFile": lambda data: 32 + int.from_bytes(data.at(18, 4), "big") > data.size,
    b"\xf0\x7e": _Chain(21, _sds_packet, 4).is_cut_off,
    _EBML: _Chain(0, _element, 12).is_cut_off,
    _ASF: _Chain(0, _asf_object, 24, (0, 16), whole=(_ASF_DATA,), needed=(_ASF_DATA,)).is_cut_off,
    b".RMF": _Chain(0, _real_record, 10, needed=(b"DATA",)).is_cut_off,
    b"FLV\x01": _Chain(13, _flv_tag, 11).is_cut_off,
    b"\0\0\1\xba": _Chain(0, _mpeg_packet, 14).is_cut_off,
    b"wvpk": _Chain(0, _wavpack_block, 8).is_cut_off,
    b"#!AMR\n": _amr(6, _AMR_BYTES),
    b"#!AMR-WB\n": _amr(9, _AMR_WIDE_BYTES),
}
