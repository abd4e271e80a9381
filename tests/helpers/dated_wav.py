"""WAV files with the metadata that say when they were recorded, written byte by byte."""

import io
import struct

import numpy as np
import soundfile

__all__ = ["bext", "chunk", "comment", "guano", "wav"]


def chunk(name: bytes, content: bytes, order: str = "<") -> bytes:
    return name + struct.pack(f"{order}I", len(content)) + content + bytes(len(content) % 2)


def guano(text: str) -> bytes:
    return chunk(b"guan", text.encode())


def comment(text: str) -> bytes:
    """AudioMoth's list: comment and artist, filled with NULs."""
    return chunk(
        b"LIST", b"INFO" + chunk(b"ICMT", text.encode().ljust(384, b"\0")) + chunk(b"IART", b"AudioMoth 0".ljust(32))
    )


def bext(date: str, time: str) -> bytes:
    return chunk(b"bext", bytes(320) + date.encode() + time.encode() + bytes(264))


def wav(
    *before: bytes, after: tuple[bytes, ...] = (), seconds: float = 0.1, rate_hz: int = 8_000, wave: object = None
) -> bytes:
    """Noise of 16 bits, or a wave, with chunks before and after the samples."""
    samples = np.random.default_rng(0).normal(0, 0.1, round(seconds * rate_hz)) if wave is None else wave
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate_hz, "PCM_16", format="WAV")
    plain = stream.getvalue()
    at = plain.index(b"data")
    body = b"WAVE" + plain[12:at] + b"".join(before) + plain[at:] + b"".join(after)
    return b"RIFF" + struct.pack("<I", len(body)) + body
