"""The length of a container's record (box, element, packet, frame of a codec) from its first bytes.

Each function takes the first bytes of a possible record and returns the record's length with them, or None where they
are not a record or too few. For a record that contains others it may return the length of its header alone, so that
the inner records come next.
"""

from typing import Literal

__all__ = [
    "SDS_BYTES",
    "Order",
    "ac3_frame",
    "adts_frame",
    "asf_object",
    "avi_chunk",
    "box",
    "chunk",
    "element",
    "flv_tag",
    "is_name",
    "mpeg_frame",
    "mpeg_packet",
    "real_record",
    "sds_packet",
    "voc_block",
    "wavpack_block",
]

Order = Literal["little", "big"]

#: Of a packet of a MIDI sample dump.
SDS_BYTES = 127

_SEGMENT, _CLUSTER = b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75"
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


def is_name(name: bytes) -> bool:
    return len(name) == 4 and all(0x20 <= byte <= 0x7E for byte in name)


def chunk(head: bytes, order: Order) -> int | None:
    size = int.from_bytes(head[4:8], order)
    return 8 + size if len(head) >= 8 and is_name(head[:4]) else None


def avi_chunk(head: bytes) -> int | None:
    length = chunk(head, "little")
    # Frames are in a list, the list in a RIFF; programs that write into a pipe give neither a size.
    is_open = head[8:12] == b"movi" and length in (8, 7 + 2**32)
    return 12 if length and (head[:4] == b"RIFF" or is_open) else length


def asf_object(head: bytes) -> int | None:
    size = int.from_bytes(head[16:24], "little")
    return size if len(head) == 24 and size >= 24 else None


def box(head: bytes) -> int | None:
    if len(head) < 8 or not is_name(head[4:8]):
        return None
    size = int.from_bytes(head[:4], "big")
    if size == 1:
        size = int.from_bytes(head[8:16], "big")
    return size if size >= 8 else None  # 0: to the end of the file


def real_record(head: bytes) -> int | None:
    """A RealMedia chunk or packet; of DATA its header, so that its packets come next."""
    if len(head) < 10:
        return None
    if head[:4] == b"DATA":
        return 18
    length = int.from_bytes(head[4:8] if is_name(head[:4]) else head[2:4], "big")
    return length if length >= 10 and (is_name(head[:4]) or (head[0] == 0 and head[1] <= 1)) else None


def element(head: bytes) -> int | None:
    """A Matroska element; of one without a size its header."""
    name_bytes = 9 - head[0].bit_length() if head and head[0] else 9
    rest = head[name_bytes:]
    size_bytes = 9 - rest[0].bit_length() if rest and rest[0] else 9
    if name_bytes > 4 or size_bytes > 8 or len(rest) < size_bytes:
        return None
    size = int.from_bytes(rest[:size_bytes], "big") & (2 ** (7 * size_bytes) - 1)
    is_open = size == 2 ** (7 * size_bytes) - 1 and head[:name_bytes] in (_SEGMENT, _CLUSTER)
    return name_bytes + size_bytes + (0 if is_open else size)


def flv_tag(head: bytes) -> int | None:
    is_tag = len(head) == 11 and head[0] & 0x1F in (8, 9, 18)
    return 15 + int.from_bytes(head[1:4], "big") if is_tag else None


def mpeg_packet(head: bytes) -> int | None:
    if head[:3] != b"\0\0\1" or len(head) < 6 or head[3] < 0xB9:
        return None
    if head[3] == 0xB9:
        return 4
    if head[3] == 0xBA:
        return 14 + (head[13] & 7) if len(head) == 14 and head[4] >> 6 == 1 else 12
    return 6 + int.from_bytes(head[4:6], "big")


def wavpack_block(head: bytes) -> int | None:
    return 8 + int.from_bytes(head[4:8], "little") if head[:4] == b"wvpk" and len(head) == 8 else None


def voc_block(head: bytes) -> int | None:
    return 4 + int.from_bytes(head[1:4], "little") if len(head) == 4 and 1 <= head[0] <= 9 else None


def sds_packet(head: bytes) -> int | None:
    return SDS_BYTES if head[:2] == b"\xf0\x7e" and head[3:4] == b"\x02" else None


def mpeg_frame(head: bytes) -> int | None:
    """A frame of MPEG-1, 2 or 2.5 audio, layers I to III."""
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


def adts_frame(head: bytes) -> int | None:
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return None
    return (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5


def ac3_frame(head: bytes) -> int | None:
    if len(head) < 6 or head[:2] != b"\x0b\x77":
        return None
    if head[5] >> 3 > 10:  # E-AC-3
        return 2 * (((head[2] & 7) << 8 | head[3]) + 1)
    rate, code = head[4] >> 6, head[4] & 63
    if rate == 3 or code // 2 >= len(_AC3_KBPS):
        return None
    kbps = _AC3_KBPS[code // 2]
    return 2 * (kbps * 2, kbps * 320 // 147 + code % 2, kbps * 3)[rate]
