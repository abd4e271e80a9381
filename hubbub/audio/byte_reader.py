"""Reads a stream's bytes by their offset, and presents parts of a stream as a stream of their own."""

import io
from typing import BinaryIO

__all__ = ["ByteReader", "SafeBytes", "View", "safe_view"]


class ByteReader:
    """Reads the `size` bytes of a stream by offset."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream, self.size = stream, size

    def at(self, offset: int, count: int) -> bytes:
        """`count` bytes from `offset` on, fewer where the stream ends."""
        if not 0 <= offset < self.size or count <= 0:
            return b""
        self._stream.seek(offset)
        return self._stream.read(count)


class View(io.RawIOBase, BinaryIO):
    """A stream of `head`, then `size` bytes of another stream from `start` on."""

    def __init__(self, head: bytes, data: ByteReader, start: int, size: int) -> None:
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
        """Seeks; an offset before the start, as damaged headers give, leaves the position as it is, as in C."""
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


class SafeBytes(io.BytesIO):
    """Bytes in memory, as a stream whose `seek` never raises."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self._size = len(content)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As `View.seek`."""
        at = (0, self.tell(), self._size)[whence] + offset
        return super().seek(at) if at >= 0 else self.tell()


def safe_view(stream: BinaryIO, size: int) -> BinaryIO:
    """The same `size` bytes as a stream whose `seek` never raises: libsndfile cannot report a seek that fails."""
    return stream if isinstance(stream, SafeBytes) else View(b"", ByteReader(stream, size), 0, size)
