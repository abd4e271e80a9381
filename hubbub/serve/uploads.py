"""Reads the recording in a request, as a part of a form or as the body, and enforces the limits while it is decoded.

Uploads are held in memory, above one megabyte in a temporary file without a name. The file name that a client sends is
only returned to it. The length is checked in the file's header and again while decoding, because a few bytes can hold
hours.
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
from hubbub.serve.limits import Limits, RefusedError

__all__ = ["Upload", "open_limited", "receive"]

#: Bytes of each upload that are held in memory.
SPOOLED_BYTES = 1_000_000
#: How many fields a form may have beside the file, and how large each may be; they are ignored.
FIELDS, FIELD_BYTES = 8, 4_096
LONGEST_NAME = 200
UNNAMED = "upload"
#: Content types that are refused at once. Other types are ignored, like file names: the bytes tell the format.
NO_SOUND = ("text/", "image/", "application/json", "application/xml", "application/zip", "application/pdf")


@dataclass(frozen=True)
class Upload:
    """An uploaded file, at its start, and its name."""

    file: BinaryIO
    name: str


async def receive(request: Request, limits: Limits) -> Upload:
    """The recording in a request.

    Raises `RefusedError`: 400 if there is none, 413 if it is too large, 415 if its declared type is not sound."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise RefusedError(
            415, "compressed bodies are not accepted. Send the recording as it is, without Content-Encoding."
        )
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        upload = await _from_form(request)
    elif kind.startswith(NO_SOUND):
        raise RefusedError(415, f"'{kind[:80]}' is not sound. Send a recording as a file of a form, or as the body.")
    else:
        upload = await _from_body(request)
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
def open_limited(
    file: BinaryIO, limits: Limits, max_s: float, start_s: float | None = None, end_s: float | None = None
) -> Iterator[decode.Sound]:
    """`decode.open_sound` of at most `max_s` seconds. Raises `RefusedError` and `AudioError`, also from the blocks."""
    _refuse_length(max(start_s or 0, end_s or 0), limits.max_seconds)  # the sound before the part is decoded too
    with decode.open_sound(file, start_s, end_s) as sound:
        limits.refuse_format(sound.rate_hz)
        yield limit_length(sound, lambda seconds: _refuse_length(seconds, max_s))


def _refuse_length(seconds: float, max_s: float) -> None:
    if seconds > max_s:
        raise RefusedError(413, f"{max_s:g} s are the most. Cut the recording into parts.")


async def _from_body(request: Request) -> Upload:
    file = SpooledTemporaryFile(SPOOLED_BYTES)  # noqa: SIM115 - the route closes it
    try:
        async for chunk in request.stream():
            file.write(chunk)
    except BaseException:
        file.close()
        raise
    return Upload(cast(BinaryIO, file), UNNAMED)


async def _from_form(request: Request) -> Upload:
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
            return Upload(part.file, _safe_for_display(part.filename or UNNAMED))
    raise RefusedError(400, "the form holds no complete file. Send the recording as its part 'file'.")


def _safe_for_display(name: str) -> str:
    """The last part of a path, without control characters and marks that reverse the direction of text."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(c for c in last if unicodedata.category(c)[0] != "C")[:LONGEST_NAME] or UNNAMED
