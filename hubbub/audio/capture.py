"""Sources of live sound: the microphone, or a pipe of raw or WAV samples.

A pipe cannot seek, so its WAV header is parsed here as it comes. The microphone is read by PortAudio, through the
optional `sounddevice`.
"""

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hubbub.audio import containers, pcm
from hubbub.audio.find_files import STDIN
from hubbub.audio.pcm import ENCODINGS, PcmDecoder
from hubbub.audio.sniff import HEAD_BYTES
from hubbub.audio.sound import MAX_RATE_HZ, MIN_RATE_HZ
from hubbub.errors import HubbubError, did_you_mean, examples

__all__ = ["Microphone", "Pipe", "Source", "SourceError", "open_source"]

Array = npt.NDArray[np.float32]
Samples = npt.NDArray[np.floating[Any]]
#: The duration of a microphone's block, and the longest of a pipe's [s].
BLOCK_S = 0.1
#: WAV's format tags; with the last one the tag follows further on.
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_UNKNOWN_SIZE = 0x7FFFF000  # streaming recorders write 0 or a size of at least this
_MIN_FMT, _MAX_FMT = 16, 4_096  # bytes; the usual ones have 16 or 40
#: The most channels that are accepted, and the most bytes of a block.
MOST_CHANNELS, MOST_BYTES = 64, 2**20
#: WAVs with 64-bit sizes in their first chunk (EBU Tech 3306).
_LARGE = (b"RF64", b"BW64")


class SourceError(HubbubError):
    """A microphone or a pipe that cannot be used."""


#: Encodings by WAV's format tag and bits.
_WAV_ENCODINGS = {
    **{(_PCM, 8): "u8", (_PCM, 16): "s16le", (_PCM, 24): "s24le", (_PCM, 32): "s32le"},
    **{(_FLOAT, 32): "f32le", (_FLOAT, 64): "f64le"},
}
#: Compressed encodings by WAV's format tag.
_WAV_COMPRESSED = {
    **{2: "MS ADPCM", 6: "A-law", 7: "mu-law", 0x11: "IMA ADPCM", 0x31: "GSM 6.10"},
    **{0x50: "MP2", 0x55: "MP3", 0xFF: "AAC", 0x161: "WMA"},
}


class Source(Protocol):
    """Blocks of sound as they arrive. A `live` source does not wait for its reader."""

    name: str
    rate_hz: int
    channels: int
    live: bool
    #: Samples that were lost before the next block.
    lost: int
    #: Sentences about the sound so far.
    warnings: list[str]

    def blocks(self) -> Iterator[Samples]:
        """Blocks of samples `[n, channels]` in [-1, 1], n >= 1; can be read once."""


class _ByteStream(Protocol):
    def read(self, size: int, /) -> bytes | None: ...


@dataclass
class _Format:
    rate_hz: int
    channels: int
    encoding: str
    #: Bytes of samples; None: up to the end of the pipe.
    size: int | None = None


class Pipe:
    """A pipe of raw samples, or of a WAV file, whose header gives its format.

    `rate_hz`, `channels` and `encoding` describe raw samples (default: `default_hz`, 1, s16le). Raises `SourceError`
    where they contradict a WAV's header, or the pipe holds no samples.
    """

    live = False
    lost = 0

    def __init__(
        self,
        stream: _ByteStream,
        default_hz: int,
        rate_hz: int | None = None,
        channels: int | None = None,
        encoding: str | None = None,
    ) -> None:
        if encoding is not None and encoding not in ENCODINGS:
            if encoding.endswith("be"):
                raise SourceError(
                    f"--encoding {encoding}: big-endian samples are not supported. Convert them: ffmpeg -f {encoding} "
                    "-ar RATE -ac CHANNELS -i - -f s16le - | hubbub listen - --encoding s16le ..."
                )
            raise SourceError(f"no encoding is called '{encoding}'. {did_you_mean(encoding, tuple(ENCODINGS))}")
        self._stream = stream
        self.warnings: list[str] = []
        self._buffer = b""
        self._buffer = self._read_exactly(12)
        self.is_wav = self._buffer[:4] in (b"RIFF", *_LARGE) and self._buffer[8:] == b"WAVE"
        if not self.is_wav:
            self._buffer = self._read_exactly(HEAD_BYTES)
        if self.is_wav:
            fmt = self._wav_header()
            options = {"--rate": (rate_hz, fmt.rate_hz), "--channels": (channels, fmt.channels)}
            options["--encoding"] = (encoding, fmt.encoding)  # type: ignore[assignment]
            for option, (asked, own) in options.items():
                if asked not in (None, own):
                    raise SourceError(f"{option} {asked}: the WAV's header says {own}. Leave the option out.")
        else:
            fmt = _Format(
                default_hz if rate_hz is None else rate_hz, 1 if channels is None else channels, encoding or "s16le"
            )
        _refuse_invalid(fmt)
        if not self.is_wav:
            self._refuse_other_content(fmt.encoding)
            if encoding is None and (better := pcm.smoother_encoding(self._buffer, fmt.channels)):
                self.warnings.append(
                    f"The pipe was read as s16le, in which its samples look like noise; as {better} they look like "
                    f"sound. If they are {better}, give --encoding {better}."
                )
        self._form = fmt
        self.rate_hz, self.channels = fmt.rate_hz, fmt.channels
        kind = "WAV" if self.is_wav else "raw"
        self.name = f"{kind} {fmt.encoding}, {fmt.rate_hz} Hz, {fmt.channels} channel{'s'[: fmt.channels > 1]}"

    def blocks(self) -> Iterator[Samples]:
        decoder = PcmDecoder(self._form.encoding, self.channels)
        frame = pcm.frame_bytes(self._form.encoding, self.channels)
        most = max(min(round(self.rate_hz * BLOCK_S), MOST_BYTES // frame), 1) * frame
        size = self._form.size
        left = sys.maxsize if size is None else size
        while data := self._read(min(most, left)):
            left -= len(data)
            block = decoder.feed(data)
            if len(block):
                if not self.is_wav and not np.isfinite(block).all():
                    raise SourceError(
                        f"the pipe holds NaN or infinite numbers as {self._form.encoding}. Check --encoding: it may "
                        "be another."
                    )
                yield block
        if size is not None and left:
            expected, came = (count / frame / self.rate_hz for count in (size, size - left))
            self.warnings.append(
                f"The pipe ended early: the WAV's header says {expected:.2f} s, and {came:.2f} s came. Send it again, "
                "or see why its writer stopped."
            )

    def _refuse_other_content(self, encoding: str) -> None:
        if content := pcm.content_name(self._buffer, encoding):
            raise SourceError(
                f"the pipe holds {content}, not samples of {encoding}. Give samples or a WAV (ffmpeg -i FILE -f "
                "wav - | hubbub listen - ... makes one of any recording), or give the file to hubbub classify."
            )

    def _wav_header(self) -> _Format:
        """Reads the header, up to the first sample."""
        fmt: _Format | None = None
        is_large = self._read_exactly(12)[:4] in _LARGE
        large = 0
        while len(head := self._read_exactly(8)) == 8:
            name, size = head[:4], int.from_bytes(head[4:], "little")
            if name == b"data" and fmt:
                if is_large and size == 0xFFFFFFFF:
                    fmt.size = large or None
                else:
                    fmt.size = size if 0 < size < _UNKNOWN_SIZE else None
                return fmt
            if name == b"fmt ":
                fmt = _wav_format(self._read_exactly(min(size, _MAX_FMT)))
                self._skip(size - _MAX_FMT)
            elif name == b"ds64" and is_large:
                sizes = self._read_exactly(min(size, _MAX_FMT))
                large = int.from_bytes(sizes[8:16], "little")
                self._skip(size - _MAX_FMT)
            else:
                self._skip(size)
            self._skip(size % 2)
        raise SourceError("the WAV ends before its first sample. Record or send it again.")

    def _read_exactly(self, size: int) -> bytes:
        """`size` bytes, fewer only at the end."""
        found = b""
        while len(found) < size and (more := self._read(size - len(found))):
            found += more
        return found

    def _skip(self, size: int) -> None:
        while size > 0 and (skipped := self._read(min(size, 65_536))):
            size -= len(skipped)

    def _read(self, size: int) -> bytes:
        if self._buffer:
            data, self._buffer = self._buffer[:size], self._buffer[size:]
            return data
        return self._stream.read(size) or b""


def _wav_format(content: bytes) -> _Format:
    """The format in the content of a `fmt ` chunk."""
    if len(content) < _MIN_FMT:
        raise SourceError("the WAV's header is cut off or damaged. Record or send it again.")
    tag, channels, bits = (int.from_bytes(content[at : at + 2], "little") for at in (0, 2, 14))
    if tag == _EXTENSIBLE:
        tag = int.from_bytes(content[24:26], "little")
    encoding = _WAV_ENCODINGS.get((tag, bits))
    if encoding is None or not channels:
        kind = _WAV_COMPRESSED.get(tag, f"of format {tag} with {bits} bits in {channels} channels")
        raise SourceError(
            f"the WAV's samples are {kind}; only uncompressed integers and floats are supported. "
            "Convert it: ffmpeg -i FILE -f wav -c:a pcm_s16le - | hubbub listen - ..."
        )
    if (block := int.from_bytes(content[12:14], "little")) != channels * bits // 8:
        raise SourceError(
            f"the WAV's header says {channels} channels of {bits} bits and {block} bytes for all of them: it is "
            "damaged. Record or send it again."
        )
    return _Format(int.from_bytes(content[4:8], "little"), channels, encoding)


def _refuse_invalid(fmt: _Format) -> None:
    if not 1 <= fmt.channels <= MOST_CHANNELS:
        raise SourceError(
            f"{fmt.channels} channels: from 1 to {MOST_CHANNELS} are accepted. Check the header or --channels, or mix "
            "them first: ffmpeg -i FILE -ac 1 -f wav - | hubbub listen - ..."
        )
    if not MIN_RATE_HZ <= fmt.rate_hz <= MAX_RATE_HZ:
        raise SourceError(
            f"a sample rate of {fmt.rate_hz} Hz: rates from {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz are accepted. Check "
            "the header, or give the rate with --rate."
        )


class Microphone:
    """A microphone by its name, its number or a part of its name; None is the system's default.

    Raises `SourceError` where it cannot be opened, naming what to install or which microphones exist.
    """

    live = True
    channels = 1

    def __init__(self, device: str | None = None, rate_hz: int | None = None) -> None:
        self._sounddevice = _sounddevice()
        self.lost, self.warnings = 0, list[str]()
        asked = int(device) if device and device.isdecimal() else device
        try:
            found = self._sounddevice.query_devices(asked, "input")
            self.rate_hz = rate_hz or int(found["default_samplerate"])
            self._stream = self._sounddevice.InputStream(
                self.rate_hz, device=asked, channels=1, dtype="float32", blocksize=round(self.rate_hz * BLOCK_S)
            )
        except (ValueError, self._sounddevice.PortAudioError) as error:
            names = [one["name"] for one in self._sounddevice.query_devices() if one["max_input_channels"]]
            available = f"There are: {examples(names)}" if names else "There is none: plug one in, or pipe sound in"
            raise SourceError(
                f"{f'the microphone {device!r}' if device else 'the microphone'} cannot be used ({error}). {available}."
            ) from error
        self.name = f"{found['name']}, {self.rate_hz} Hz"

    def blocks(self) -> Iterator[Array]:
        with self._stream as stream:
            before = time.monotonic()
            while True:
                try:
                    block, overflowed = stream.read(round(self.rate_hz * BLOCK_S))
                    if overflowed:  # samples in the buffer were recorded before the gap
                        block = np.concatenate([block, stream.read(stream.read_available)[0]])
                    recorded = time.monotonic() - stream.read_available / self.rate_hz
                except self._sounddevice.PortAudioError as error:
                    raise SourceError(f"the microphone stopped ({error}). Check whether it is plugged in.") from error
                yield block
                if overflowed:  # PortAudio does not say how many samples it dropped; the clock does
                    self.lost += max(round((recorded - before) * self.rate_hz) - len(block), 1)
                before = recorded


def _sounddevice():  # type: ignore[no-untyped-def]
    try:
        import sounddevice
    except ImportError as error:
        raise SourceError(
            "the microphone needs sounddevice: pip install 'hubbub[live]'. Or pipe sound in: ... | hubbub listen -"
        ) from error
    except OSError as error:
        raise SourceError(
            "the microphone needs the PortAudio library: apt-get install libportaudio2, or your system's package of "
            "that name. Or pipe sound in: ... | hubbub listen -"
        ) from error
    return sounddevice


def open_source(
    path: str | None,
    default_hz: int,
    rate_hz: int | None = None,
    channels: int | None = None,
    encoding: str | None = None,
    device: str | None = None,
) -> Source:
    """The microphone for None, standard input for `-`, else the file or pipe at that path. Raises `SourceError`."""
    if path is None:
        if channels or encoding:
            raise SourceError("--channels and --encoding are for pipes. Leave them out, or give - for standard input.")
        return Microphone(device, rate_hz)
    if device is not None:
        raise SourceError(f"--microphone {device} and {path}: give one of the two.")
    try:
        # Unbuffered, so that samples are processed as they arrive.
        stream: Any = open(0 if path == STDIN else Path(path), "rb", buffering=0, closefd=path != STDIN)  # noqa: SIM115
        integrity = containers.Integrity()
        if stream.seekable() and stream.tell() == 0:  # a file, whose size is known
            integrity = containers.check_integrity(stream, stream.seek(0, os.SEEK_END))
            stream.seek(0)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        why = getattr(error, "strerror", None) or error
        raise SourceError(f"{path!r} cannot be read ({why}). Give a file, a pipe or -.") from error
    if not integrity.warning:
        return Pipe(stream, default_hz, rate_hz, channels, encoding)
    pipe = Pipe(integrity.view or stream, default_hz, rate_hz, channels, encoding)
    pipe.warnings.append(integrity.warning)
    return pipe
