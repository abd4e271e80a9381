"""Where live sound comes from: the microphone, or a pipe of raw or WAV samples.

A pipe is read as it comes, a few bytes at a time: a WAV header is taken apart by hand here, for what is still being
written cannot be sought in. A microphone is PortAudio's, through the optional `sounddevice`.
This room does not know what hears the blocks.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hubbub.audio import containers
from hubbub.audio.decode import MAX_RATE_HZ, MIN_RATE_HZ
from hubbub.audio.packed import HEAD_BYTES, name_of, roughness
from hubbub.errors import HubbubError, did_you_mean, examples

__all__ = ["ENCODINGS", "Microphone", "Pipe", "Source", "SourceError", "opened"]

Array = npt.NDArray[np.float32]
Samples = npt.NDArray[np.floating[Any]]
STDIN = "-"
#: How much sound a microphone's block holds, and the most of a pipe's [s].
BLOCK_S = 0.1
#: WAV's own numbers for what its samples are; the last says that the number stands further behind.
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_UNKNOWN_SIZE = 0x7FFFF000  # recorders that stream write 0 or something as large as this
_SHORTEST_FORMAT, _LONGEST_FORMAT = 16, 4_096  # bytes; the usual ones have 16 or 40
#: The most channels that are taken, and the most bytes of a block.
MOST_CHANNELS, MOST_BYTES = 64, 2**20
#: A WAV with sizes beyond 32 bits, which stand in its first chunk (EBU Tech 3306).
_LARGE = (b"RF64", b"BW64")


class SourceError(HubbubError):
    """A microphone or a pipe that gives no sound."""


def _s24(data: bytes) -> Array:
    words = np.zeros((len(data) // 3, 4), np.uint8)
    words[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
    return words.view("<i4")[:, 0].astype(np.float32) / np.float32(2**31)


#: How samples may be written: bytes a sample, and what makes them numbers in [-1, 1].
ENCODINGS: dict[str, tuple[int, Callable[[bytes], Samples]]] = {
    "u8": (1, lambda data: (np.frombuffer(data, np.uint8).astype(np.float32) - np.float32(128)) / np.float32(128)),
    "s16le": (2, lambda data: np.frombuffer(data, "<i2").astype(np.float32) / np.float32(2**15)),
    "s24le": (3, _s24),
    "s32le": (4, lambda data: (np.frombuffer(data, "<i4") / 2**31).astype(np.float32)),
    "f32le": (4, lambda data: np.frombuffer(data, "<f4")),
    "f64le": (8, lambda data: np.frombuffer(data, "<f8")),
}
_OF_WAV = {(_PCM, 8): "u8", (_PCM, 16): "s16le", (_PCM, 24): "s24le", (_PCM, 32): "s32le", (_FLOAT, 32): "f32le",
           (_FLOAT, 64): "f64le"}  # fmt: skip


#: The roughness from which samples look like noise, and up to which others look like sound. Measured on 444 recordings
#: of ESC-50: as s16le none is taken for another encoding; of smooth s24le, s32le, f32le and f64le nine in ten are told.
_ROUGH, _SMOOTH = 0.5, 0.15
#: Between which most samples that are floats lie.
_FLOATS, _MOST = (1e-7, 2.0), 0.9
_TELLING = 4_096  # bytes; fewer do not tell
#: How raw samples may be written, the surest to tell first: floats also look smooth as integers.
_TOLD = ("f64le", "f32le", "s24le", "s32le", "u8")


#: What else WAVs hold, by WAV's number.
_PACKED_IN_WAV = {2: "MS ADPCM", 6: "A-law", 7: "mu-law", 0x11: "IMA ADPCM", 0x31: "GSM 6.10", 0x50: "MP2", 0x55: "MP3",
                  0xFF: "AAC", 0x161: "WMA"}  # fmt: skip


class Source(Protocol):
    """Blocks of sound as they come. One that is `live` does not wait for whoever takes them."""

    name: str
    rate_hz: int
    channels: int
    live: bool
    #: Samples that never came here, up to the next block.
    lost: int
    #: What is odd about what came so far, in sentences.
    warnings: list[str]

    def blocks(self) -> Iterator[Samples]:
        """Samples `[n, channels]` in [-1, 1], n being one at least; once."""


class _Bytes(Protocol):
    def read(self, size: int, /) -> bytes | None: ...


@dataclass
class _Format:
    rate_hz: int
    channels: int
    encoding: str
    #: Bytes of samples; None where the pipe's end is theirs.
    size: int | None = None


class Pipe:
    """A pipe of raw samples, or of a WAV file, which says itself what it is.

    `rate_hz`, `channels` and `encoding` are those of raw samples (default: `default_hz`, 1, s16le); of a WAV they are
    refused where they are not its own. Raises `SourceError`.
    """

    live = False
    lost = 0

    def __init__(
        self,
        stream: _Bytes,
        default_hz: int,
        rate_hz: int | None = None,
        channels: int | None = None,
        encoding: str | None = None,
    ) -> None:
        if encoding is not None and encoding not in ENCODINGS:
            if encoding.endswith("be"):
                raise SourceError(
                    f"--encoding {encoding}: big-endian samples are not taken. Convert them: ffmpeg -f {encoding} -ar "
                    "RATE -ac CHANNELS -i - -f s16le - | hubbub listen - --encoding s16le ..."
                )
            raise SourceError(f"no encoding is called '{encoding}'. {did_you_mean(encoding, tuple(ENCODINGS))}")
        self._stream = stream
        self.warnings: list[str] = []
        self._held = b""
        self._held = self._some(12)
        self.is_wav = self._held[:4] in (b"RIFF", *_LARGE) and self._held[8:] == b"WAVE"
        if not self.is_wav:
            self._held = self._some(HEAD_BYTES)
        if self.is_wav:
            form = self._wav()
            given = {"--rate": (rate_hz, form.rate_hz), "--channels": (channels, form.channels)}
            given["--encoding"] = (encoding, form.encoding)  # type: ignore[assignment]
            for option, (asked, own) in given.items():
                if asked not in (None, own):
                    raise SourceError(f"{option} {asked}: the WAV's header says {own}. Leave the option out.")
        else:
            form = _Format(
                default_hz if rate_hz is None else rate_hz, 1 if channels is None else channels, encoding or "s16le"
            )
        _refuse_absurd(form)
        if not self.is_wav:
            self._refuse_packed(form)
            if encoding is None and (better := _better(self._held, form.channels)):
                self.warnings.append(
                    f"The pipe was taken for s16le, as which its samples are noise; as {better} they look like sound. "
                    f"If they are {better}, give --encoding {better}."
                )
        self._form = form
        self.rate_hz, self.channels = form.rate_hz, form.channels
        kind = "WAV" if self.is_wav else "raw"
        self.name = f"{kind} {form.encoding}, {form.rate_hz} Hz, {form.channels} channel{'s'[: form.channels > 1]}"

    def blocks(self) -> Iterator[Samples]:
        each, to_numbers = ENCODINGS[self._form.encoding]
        frame = each * self.channels
        most = max(min(round(self.rate_hz * BLOCK_S), MOST_BYTES // frame), 1) * frame
        size = self._form.size
        left, rest = sys.maxsize if size is None else size, b""
        while data := self._read(min(most, left)):
            left -= len(data)
            data = rest + data
            whole = len(data) - len(data) % frame
            rest = data[whole:]
            if whole:
                block = to_numbers(data[:whole]).reshape(-1, self.channels)
                if not self.is_wav and not np.isfinite(block).all():
                    raise SourceError(
                        f"the pipe holds NaN or infinite numbers as {self._form.encoding}. Check --encoding: they may "
                        "be of another."
                    )
                yield block
        if size is not None and left:
            promised, came = (count / frame / self.rate_hz for count in (size, size - left))
            self.warnings.append(
                f"The pipe ended early: the WAV's header says {promised:.2f} s, and {came:.2f} s came. Send it again, "
                "or see why its writer stopped."
            )

    def _refuse_packed(self, form: _Format) -> None:
        each, to_numbers = ENCODINGS[form.encoding]
        whole = self._held[: len(self._held) // each * each]
        if packed := name_of(self._held, None if form.encoding.startswith("f") else to_numbers(whole)):
            raise SourceError(
                f"the pipe holds {packed}, not samples of {form.encoding}. Give samples or a WAV (ffmpeg -i FILE -f "
                "wav - | hubbub listen - ... makes one of any recording), or give the file to hubbub classify."
            )

    def _wav(self) -> _Format:
        """The header, up to the first sample."""
        form: _Format | None = None
        is_large = self._some(12)[:4] in _LARGE
        large = 0
        while len(head := self._some(8)) == 8:
            name, size = head[:4], int.from_bytes(head[4:], "little")
            if name == b"data" and form:
                if is_large and size == 0xFFFFFFFF:
                    form.size = large or None
                else:
                    form.size = size if 0 < size < _UNKNOWN_SIZE else None
                return form
            if name == b"fmt ":
                form = _of_wav(self._some(min(size, _LONGEST_FORMAT)))
                self._skip(size - _LONGEST_FORMAT)
            elif name == b"ds64" and is_large:
                sizes = self._some(min(size, _LONGEST_FORMAT))
                large = int.from_bytes(sizes[8:16], "little")
                self._skip(size - _LONGEST_FORMAT)
            else:
                self._skip(size)
            self._skip(size % 2)
        raise SourceError("the WAV ends before its first sample. Record or send it again.")

    def _some(self, size: int) -> bytes:
        """So many bytes, fewer only at the end."""
        found = b""
        while len(found) < size and (more := self._read(size - len(found))):
            found += more
        return found

    def _skip(self, size: int) -> None:
        while size > 0 and (skipped := self._read(min(size, 65_536))):
            size -= len(skipped)

    def _read(self, size: int) -> bytes:
        if self._held:
            held, self._held = self._held[:size], self._held[size:]
            return held
        return self._stream.read(size) or b""


def _better(head: bytes, channels: int) -> str:
    """The encoding as which raw samples look like sound, where as s16le they look like noise; else an empty word."""

    def rough(encoding: str, data: bytes, across: int) -> float:
        each, to_numbers = ENCODINGS[encoding]
        frame = each * across
        return roughness(to_numbers(data[: len(data) // frame * frame]).reshape(-1, across))

    if len(head) < _TELLING or not rough("s16le", head, channels) > _ROUGH:
        return ""
    for encoding in _TOLD:
        each, to_numbers = ENCODINGS[encoding]
        if encoding.startswith("f"):
            sizes = np.abs(to_numbers(head[: len(head) // each * each]))
            if ((sizes > _FLOATS[0]) & (sizes < _FLOATS[1])).mean() > _MOST:  # integers give floats of any size
                return encoding
        # Two channels of 16 bits are smooth as one of 32, but then its lower half is, too.
        low = np.frombuffer(head[: len(head) // 4 * 4], np.uint16)[::2].tobytes()
        if rough(encoding, head, channels) < _SMOOTH and (encoding != "s32le" or rough("s16le", low, 1) > _ROUGH):
            return encoding
    return ""


def _of_wav(content: bytes) -> _Format:
    """What a `fmt ` chunk says."""
    if len(content) < _SHORTEST_FORMAT:
        raise SourceError("the WAV's header is cut off or damaged. Record or send it again.")
    tag, channels, bits = (int.from_bytes(content[at : at + 2], "little") for at in (0, 2, 14))
    if tag == _EXTENSIBLE:
        tag = int.from_bytes(content[24:26], "little")
    encoding = _OF_WAV.get((tag, bits))
    if encoding is None or not channels:
        kind = _PACKED_IN_WAV.get(tag, f"of kind {tag} with {bits} bits in {channels} channels")
        raise SourceError(
            f"the WAV's samples are {kind}; plain integers and floats "
            "are taken. Convert it: ffmpeg -i FILE -f wav -c:a pcm_s16le - | hubbub listen - ..."
        )
    if (block := int.from_bytes(content[12:14], "little")) != channels * bits // 8:
        raise SourceError(
            f"the WAV's header says {channels} channels of {bits} bits and {block} bytes for all of them: it is "
            "damaged. Record or send it again."
        )
    return _Format(int.from_bytes(content[4:8], "little"), channels, encoding)


def _refuse_absurd(form: _Format) -> None:
    if not 1 <= form.channels <= MOST_CHANNELS:
        raise SourceError(
            f"{form.channels} channels: from 1 to {MOST_CHANNELS} are taken. Check the header or --channels, or mix "
            "them first: ffmpeg -i FILE -ac 1 -f wav - | hubbub listen - ..."
        )
    if not MIN_RATE_HZ <= form.rate_hz <= MAX_RATE_HZ:
        raise SourceError(
            f"a sample rate of {form.rate_hz} Hz: rates from {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz are sound. Check the "
            "header, or give the rate with --rate."
        )


class Microphone:
    """A microphone by its name, its number or a part of its name; None is the system's own choice.

    Raises `SourceError` where it cannot be had, saying what to install or which there are.
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
            there = f"There are: {examples(names)}" if names else "None is there: plug one in, or pipe sound in"
            raise SourceError(
                f"{f'the microphone {device!r}' if device else 'the microphone'} cannot be used ({error}). {there}."
            ) from error
        self.name = f"{found['name']}, {self.rate_hz} Hz"

    def blocks(self) -> Iterator[Array]:
        with self._stream as stream:
            before = time.monotonic()
            while True:
                try:
                    block, overflowed = stream.read(round(self.rate_hz * BLOCK_S))
                    if overflowed:  # all that still waits came before the gap
                        block = np.concatenate([block, stream.read(stream.read_available)[0]])
                    recorded = time.monotonic() - stream.read_available / self.rate_hz
                except self._sounddevice.PortAudioError as error:
                    raise SourceError(f"the microphone fell silent ({error}). See whether it is plugged in.") from error
                yield block
                if overflowed:  # PortAudio does not say how many samples it had no room for; the clock does
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


def opened(
    place: str | None,
    default_hz: int,
    rate_hz: int | None = None,
    channels: int | None = None,
    encoding: str | None = None,
    device: str | None = None,
) -> Source:
    """None: the microphone; `-`: standard input; a path: what is written there. Raises `SourceError`."""
    if place is None:
        if channels or encoding:
            raise SourceError("--channels and --encoding are a pipe's. Leave them out, or give - for standard input.")
        return Microphone(device, rate_hz)
    if device is not None:
        raise SourceError(f"--microphone {device} and {place}: give one of the two.")
    try:
        # Without a buffer: what came is heard at once.
        stream: Any = open(0 if place == STDIN else Path(place), "rb", buffering=0, closefd=place != STDIN)  # noqa: SIM115
        account = containers.Account()
        if stream.seekable() and stream.tell() == 0:  # of a file it can be told how much is there
            account = containers.examine(stream, stream.seek(0, os.SEEK_END))
            stream.seek(0)
    except (OSError, ValueError) as error:  # ValueError: a NUL in its name
        why = getattr(error, "strerror", None) or error
        raise SourceError(f"{place!r} cannot be read ({why}). Give a file, a pipe or -.") from error
    if not account.warning:
        return Pipe(stream, default_hz, rate_hz, channels, encoding)
    pipe = Pipe(account.view or stream, default_hz, rate_hz, channels, encoding)
    pipe.warnings.append(account.warning)
    return pipe
