"""Decodes raw PCM samples, and recognises their encoding: for pipes (`capture`) and the server's WebSocket streams."""

import numpy as np
import numpy.typing as npt

from hubbub.audio import sniff
from hubbub.audio.waves import scale_integers

__all__ = ["ENCODINGS", "PcmDecoder", "content_name", "decode", "frame_bytes", "smoother_encoding"]

Samples = npt.NDArray[np.floating]

#: Encodings of raw samples by FFmpeg's names: NumPy's type, and the bytes of a sample.
ENCODINGS = {
    "u8": ("u1", 1),
    "s16le": ("<i2", 2),
    "s24le": ("<i4", 3),
    "s32le": ("<i4", 4),
    "f32le": ("<f4", 4),
    "f64le": ("<f8", 8),
}
#: From this roughness on samples look like noise, and up to the other like sound. Measured on 444 recordings of ESC-50:
#: no s16le is mistaken for another encoding; of smooth s24le, s32le, f32le and f64le nine in ten are recognised.
_ROUGH, _SMOOTH = 0.5, 0.15
#: Most samples that are floats have magnitudes between these.
_FLOATS, _FLOAT_SHARE = (1e-7, 2.0), 0.9
_MIN_BYTES = 4_096  # fewer do not show an encoding
#: In this order, since floats also look smooth as integers.
_CANDIDATES = ("f64le", "f32le", "s24le", "s32le", "u8")


def frame_bytes(encoding: str, channels: int = 1) -> int:
    """The bytes of one sample of all channels."""
    return ENCODINGS[encoding][1] * channels


def decode(data: bytes, encoding: str, channels: int = 1) -> Samples:
    """Raw bytes -> samples `[n, channels]`, integers scaled to [-1, 1]; an incomplete frame at the end is ignored."""
    kind, width = ENCODINGS[encoding]
    data = data[: len(data) - len(data) % frame_bytes(encoding, channels)]
    if encoding == "s24le":  # in the upper bytes of 32-bit integers
        words = np.zeros((len(data) // width, 4), np.uint8)
        words[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, width)
        samples = words.view(kind)[:, 0]
    else:
        samples = np.frombuffer(data, kind)
    return (samples if is_float(encoding) else scale_integers(samples)).reshape(-1, channels)


def is_float(encoding: str) -> bool:
    return encoding.startswith("f")


class PcmDecoder:
    """Decodes raw bytes that come in pieces of any size; a sample may be split between two of them."""

    def __init__(self, encoding: str, channels: int) -> None:
        self.encoding, self.channels = encoding, channels
        #: The bytes of a frame that is not complete yet.
        self.incomplete = b""

    def feed(self, data: bytes) -> Samples:
        """The next bytes -> the samples they complete, `[n, channels]`."""
        data = self.incomplete + data
        self.incomplete = data[len(data) - len(data) % frame_bytes(self.encoding, self.channels) :]
        return decode(data, self.encoding, self.channels)


def content_name(head: bytes, encoding: str) -> str:
    """What a stream's first bytes hold instead of samples of an encoding; empty where they may be samples."""
    return sniff.identify(head, None if is_float(encoding) else decode(head, encoding)[:, 0])


def smoother_encoding(head: bytes, channels: int) -> str:
    """The encoding in which raw samples look like sound, where as s16le they look like noise; else an empty string."""

    def rough(encoding: str, data: bytes, channels: int) -> float:
        return sniff.roughness(decode(data, encoding, channels))

    if len(head) < _MIN_BYTES or not rough("s16le", head, channels) > _ROUGH:
        return ""
    for encoding in _CANDIDATES:
        if is_float(encoding):
            magnitudes = np.abs(decode(head, encoding))
            # Integers read as floats give numbers of any magnitude.
            if ((magnitudes > _FLOATS[0]) & (magnitudes < _FLOATS[1])).mean() > _FLOAT_SHARE:
                return encoding
        # Two channels of 16 bits are also smooth as one of 32, but then its lower half is smooth, too.
        low = np.frombuffer(head[: len(head) // 4 * 4], np.uint16)[::2].tobytes()
        if rough(encoding, head, channels) < _SMOOTH and (encoding != "s32le" or rough("s16le", low, 1) > _ROUGH):
            return encoding
    return ""
