"""Decodes what libsndfile cannot: m4a, the sound of videos, Opus, joined files. FFmpeg through the optional `av`."""

import itertools
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from hubbub.audio import sniff
from hubbub.audio.sound import (
    AudioError,
    FormatError,
    Sound,
    Wave,
    refuse_header_rate,
    sample_range,
    truncated,
    unreadable,
)

if TYPE_CHECKING:
    from av import AudioFrame
    from av.container import InputContainer

__all__ = ["open_stream"]

#: The containers that FFmpeg may detect. Others are playlists, whose files it would open.
_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mp3,aac,flac,ogg,wav,w64,aiff,au,caf,asf,avi,mpegts,mpeg,flv,amr,ape,wv,tta,"
    "ac3,eac3,dts,rm,mpc,mpc8"
)
#: Containers whose headers give each stream's duration exactly.
_WITH_DURATION = ("mov", "flac", "ape", "wv", "tta")
_RAW = (".raw", ".pcm", ".s16", ".f32")  # usual endings of samples without a header
_SHORT_SHARE, _SHORT_S = 0.01, 0.5  # a smaller difference is the codec's delay and rounding


def open_stream(
    stack: ExitStack,
    name: str,
    stream: BinaryIO,
    start_s: float | None,
    end_s: float | None,
    exact_s: float | None = None,
) -> Sound:
    """A stream -> its sound in blocks `[n, channels]`, one a frame. `exact_s`: its full duration, where known.

    Raises `FormatError` where it holds no audio that FFmpeg knows, or `av` is not installed; else `AudioError`.
    """
    container = _open_container(stack, name, stream)
    import av

    try:
        if not container.streams.audio:
            raise FormatError(f"{name} has no audio stream. Give a file with one.")
        # Packed: of frames with a plane a channel, PyAV reads beyond the list of planes where they are more than eight.
        packed = av.AudioResampler(format="flt")
        frames = (out for frame in _of_one_rate(name, container.decode(audio=0)) for out in packed.resample(frame))
        first_frame = next(frames, None)
    except (av.FFmpegError, ValueError) as error:
        raise unreadable(name, error) from error
    if first_frame is None:
        raise AudioError(f"{name} holds no samples. Leave it out, or record it again.")
    # The frames' own rate: the container's is half of it for some AAC.
    rate_hz = first_frame.sample_rate
    refuse_header_rate(name, rate_hz)
    declared_s = exact_s or _declared_s(container)

    def blocks() -> Iterator[Wave]:
        first, last = sample_range(sys.maxsize, rate_hz, start_s, end_s)
        at = 0
        try:
            for frame in itertools.chain([first_frame], frames):
                wave = frame.to_ndarray().reshape(-1, frame.layout.nb_channels).astype(np.float32, copy=False)
                yield wave[max(first - at, 0) : max(last - at, 0)]
                at += len(wave)
                if at >= last:
                    return
        except (av.FFmpegError, ValueError) as error:
            raise truncated(name, f"{at / rate_hz:.1f} s", error) from error
        if at / rate_hz < declared_s * (1 - _SHORT_SHARE) - _SHORT_S:
            raise truncated(name, f"{at / rate_hz:.1f} of {declared_s:.1f} s")

    # Of joined Ogg streams the container's duration is that of the last one.
    if exact_s is None and container.duration and container.format.name != "ogg":
        exact_s = container.duration / av.time_base
    seconds = None
    if exact_s:
        first, last = sample_range(int(exact_s * rate_hz), rate_hz, start_s, end_s)
        seconds = (last - first) / rate_hz
    coding = container.streams.audio[0].codec_context.name
    return Sound(rate_hz, seconds, blocks(), channels=first_frame.layout.nb_channels, coding=coding)


def _open_container(stack: ExitStack, name: str, stream: BinaryIO) -> "InputContainer":
    stream.seek(0)
    if kind := sniff.text_kind(stream.read(sniff.HEAD_BYTES)):
        raise FormatError(f"{name} cannot be read as audio: it holds {kind}. Check what the file is.")
    try:
        import av
    except ImportError as error:
        raise FormatError(
            f"{name} cannot be read as audio by libsndfile. Check what the file is. M4a, video, joined files, and an "
            "MP3 or FLAC without its length in the header need FFmpeg: pip install 'hubbub[media]'."
        ) from error
    stream.seek(0)
    try:
        options = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "none"}
        # Metadata that are not UTF-8 are an error up to PyAV 18 unless asked otherwise; from 19 on there is no option.
        lenient: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
        return stack.enter_context(av.open(stream, "r", options=options, **lenient))
    except (av.FFmpegError, ValueError) as error:
        if Path(name).suffix.lower() in _RAW:
            raise FormatError(
                f"{name} has no audio header. If it holds raw samples: hubbub listen - --rate 44100 --channels 1 "
                "--encoding s16le < FILE, with its own values."
            ) from error
        raise unreadable(name, error, FormatError) from error


def _of_one_rate(name: str, frames: Iterator["AudioFrame"]) -> Iterator["AudioFrame"]:
    """The same frames. Raises `AudioError` where their rate changes, as in joined files."""
    rate_hz = 0
    for frame in frames:
        if frame.sample_rate != (rate_hz := rate_hz or frame.sample_rate):
            raise AudioError(
                f"{name} joins parts of {rate_hz} and of {frame.sample_rate} Hz. Give each part as its own file."
            )
        yield frame


def _declared_s(container: "InputContainer") -> float:
    """The duration in a container's header [s]; 0 where FFmpeg would only estimate it."""
    stream = container.streams.audio[0]
    if not stream.duration or not stream.time_base or container.format.name.split(",")[0] not in _WITH_DURATION:
        return 0.0
    return float(stream.duration * stream.time_base)
