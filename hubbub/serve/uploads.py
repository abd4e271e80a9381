"""A request's body to a recording that is held to limits: as one part of a form, or as it is.

What comes is kept in memory, beyond a megabyte in a temporary file without a name. The name that a client gives is only
said back to it. How long a recording is, is found out by its header and again while it is decoded, for a few bytes can
hold hours.
"""

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from hubbub.audio import decode
from hubbub.inference.stream import limit_length
from hubbub.serve.middleware import Limits, RefusedError

__all__ = ["Upload", "opened", "receive"]

#: Kept in memory of each upload.
SPOOLED_BYTES = 1_000_000
#: Fields beside the file, and how large one may be: there is no use for them, but forms have them.
FIELDS, FIELD_BYTES = 8, 4_096
LONGEST_NAME = 200
UNNAMED = "upload"
#: A body of such a type is not a recording, whatever its bytes are; other types are believed no more than file names.
NO_SOUND = ("text/", "image/", "application/json", "application/xml", "application/zip", "application/pdf")


@dataclass(frozen=True)
class Upload:
    """What was sent: `file` at its start, and what the client calls it."""

    file: BinaryIO
    name: str


async def receive(request: Request, limits: Limits) -> Upload:
    """The recording in a request. Raises `RefusedError`: 400 where there is none, 413 where it is too large, 415 where
    it is declared to be something else."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise RefusedError(415, "a packed body is not taken. Send the recording as it is, without Content-Encoding.")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        upload = await _of_form(request)
    elif kind.startswith(NO_SOUND):
        raise RefusedError(415, f"'{kind[:80]}' is no sound. Send a recording as a file of a form, or as the body.")
    else:
        upload = await _of_body(request)
    size = upload.file.seek(0, 2)
    upload.file.seek(0)
    try:
        limits.refuse_size(size)
        if not size:
            raise RefusedError(
                400, "the recording is empty (0 bytes). Send its file as a form's 'file' or as the body."
            )
    except RefusedError:
        upload.file.close()
        raise
    return upload


@contextmanager
def opened(
    file: BinaryIO, limits: Limits, most_s: float, start_s: float | None = None, end_s: float | None = None
) -> Iterator[decode.Sound]:
    """`decode.open_sound` of at most `most_s` seconds. Raises `RefusedError` or `AudioError`, here or while reading."""
    _refuse_length(max(start_s or 0, end_s or 0), limits.max_seconds)  # what comes before a part is decoded too
    with decode.open_sound(file, start_s, end_s) as sound:
        limits.refuse_format(sound.rate_hz)
        yield limit_length(sound, lambda seconds: _refuse_length(seconds, most_s))


def _refuse_length(seconds: float, most_s: float) -> None:
    if seconds > most_s:
        raise RefusedError(413, f"{most_s:g} s are the most. Cut the recording into parts.")


async def _of_body(request: Request) -> Upload:
    file = SpooledTemporaryFile(SPOOLED_BYTES)  # noqa: SIM115 - whoever asked closes it
    try:
        async for chunk in request.stream():
            file.write(chunk)
    except BaseException:
        file.close()
        raise
    return Upload(cast(BinaryIO, file), UNNAMED)


async def _of_form(request: Request) -> Upload:
    parser = MultiPartParser(
        request.headers, request.stream(), max_files=1, max_fields=FIELDS, max_part_size=FIELD_BYTES
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise RefusedError(
            400, f"the form cannot be read: {error.message} Send one file, as multipart/form-data."
        ) from error
    for part in form.values():
        if isinstance(part, UploadFile):
            return Upload(part.file, _harmless(part.filename or UNNAMED))
    raise RefusedError(400, "the form holds no whole file. Send the recording as its part 'file'.")


def _harmless(name: str) -> str:
    """The last part of a path, without what would move a cursor or turn the direction of writing."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(c for c in last if unicodedata.category(c)[0] != "C")[:LONGEST_NAME] or UNNAMED
