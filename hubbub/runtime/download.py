"""Finds or downloads what the catalogue lists, verifies it and unpacks it.

What a user put into a data home is used as is. What is missing is downloaded (pooch), verified and only then given its
name. An interrupted download continues: HTTP range requests, RFC 9110 sections 13.1.5 and 14. Where no checksum is
published, that of the first download is recorded (`first_download.py`), and another file is refused later.
This module does not know what a data set or a weights file holds. Of two processes that want the same asset, one
downloads it and the other waits.
"""

import errno
import logging
import lzma
import os
import shutil
import stat
import struct
import sys
import tarfile
import time
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib.parse import urlsplit

from hubbub.errors import did_you_mean
from hubbub.runtime import leftovers
from hubbub.runtime.catalogue import ASSETS, Asset
from hubbub.runtime.files import lock_path, sha256, whole_folder, why_not_written
from hubbub.runtime.first_download import FirstDownload, first_download, forget, remember
from hubbub.runtime.homes import StoreError, absolute, find_in, homes, writable_home
from hubbub.runtime.names import name_problem

__all__ = ["ASSETS", "Asset", "get"]

RETRIES = 5  # after the first try, in one call
RETRY_WAIT_S = 0.5  # before the first retry; doubles with each
TIMEOUT_S = 30.0  # without a byte from the server
BLOCK = 1 << 18  # bytes read at a time
SHA256_DIGITS = 64
#: An archive may unpack to this many times its size, or to this many bytes if that is more.
BOMB_RATIO, BOMB_BYTES = 100, 1_000_000_000

_BROKEN_ARCHIVE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RuntimeError,
    ValueError,
    OverflowError,
    struct.error,
)  # RuntimeError: what zipfile raises for passwords and unknown methods; the last three: for impossible offsets
#: The `errno` of an `OSError` about the archive: bz2 and gzip give none, and a member before the file's start EINVAL.
_NOT_THE_DISKS = (None, errno.EINVAL)

SetDone = Callable[[int], None]  # takes the bytes done so far


class _BadArchive(StoreError):
    """An archive that was refused, and is deleted if it was downloaded."""


def get(name_or_asset: str | Asset, home: Path | None = None, *, quiet: bool = False) -> Path:
    """The path of an asset in `home` or another home; if no home has it, it is downloaded, verified and unpacked.

    Downloads go to `home`, or to the first writable home if that is None. An archive that a home holds under its own
    name is unpacked and left there. `quiet` hides the progress bar, which only a terminal shows. Raises StoreError,
    which says what to download by hand and where to put it.
    """
    asset = name_or_asset if isinstance(name_or_asset, Asset) else _named(name_or_asset)
    chosen = [] if home is None else [absolute(home)]
    searched = [*chosen, *homes()]
    final = asset.name if asset.unpack else asset.file
    present = find_in(searched, asset.kind, final)
    if present is not None:
        return present
    quiet = quiet or not sys.stderr.isatty()
    target = (chosen[0] if chosen else writable_home()) / asset.kind / final
    with lock_path(target, "downloads", "Make room, or set HUBBUB_HOME to a folder that can be written."):
        if os.path.lexists(target):  # another process has downloaded it meanwhile
            return target
        leftovers.remove_beside(target)
        return _bring(asset, target, searched, quiet)


def _bring(asset: Asset, target: Path, searched: list[Path], quiet: bool) -> Path:
    """Downloads an asset, and unpacks it where it is an archive, to the path `target`."""
    if not asset.unpack:
        return _download(asset, target, quiet)
    if existing := find_in(searched, asset.kind, asset.file):
        _unpack(asset, existing, target, quiet)
        return target
    archive = target.with_name(f".downloaded.{asset.file}")  # so that a later call knows it for ours, which goes
    if not archive.is_file():
        _download(asset, archive, quiet)
    try:
        _unpack(asset, archive, target, quiet)
    except _BadArchive:
        archive.unlink()
        forget(asset, archive)
        raise
    archive.unlink()
    return target


def _named(name: str) -> Asset:
    if name not in ASSETS:
        raise StoreError(f"Nothing named '{name}' can be downloaded. {did_you_mean(name, ASSETS)}")
    return ASSETS[name]


def _download(asset: Asset, target: Path, quiet: bool) -> Path:
    import pooch

    part = target.with_name(asset.file + ".part")
    algorithm, _, digits = (asset.hash or "").partition(":")
    beginning = digits if algorithm == "sha256" and len(digits) < SHA256_DIGITS else ""
    unchecked = not (asset.hash or asset.check)
    first = first_download(asset, [target.parents[1], *homes()]) if unchecked else None

    def downloader(_url: str, output: str, _pooch: object) -> None:
        os.replace(part, output)
        _version_file(part).unlink(missing_ok=True)
        # pooch compares only whole checksums. It also removes the file after these errors.
        if beginning and not (got := sha256(Path(output))).startswith(beginning):
            raise ValueError(f"its sha256 must begin with {beginning}, but it is {got}")
        if first and (got := sha256(Path(output))) != first.sha256:
            raise ValueError(_not_the_first(first, got))
        if unchecked and first is None:
            remember(asset, Path(output))

    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.WARNING)  # the bar and the errors below report the same
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _fetch(asset, part, quiet)  # before pooch makes a file of its own, which a killed download would leave
        known = None if beginning else asset.hash
        pooch.retrieve(asset.url, known, fname=target.name, path=target.parent, downloader=downloader)
    except ValueError as error:  # pooch raises it for a wrong checksum and removes the file
        raise StoreError(f"{asset.name} from {asset.url} was refused: {error}") from error
    except OSError as error:
        raise StoreError(
            f"{target} could not be written: {why_not_written(error)}. Make room and call again."
            f"{_partial_note(asset, part)}"
        ) from error
    finally:
        logger.setLevel(level)
    return target


def _not_the_first(first: FirstDownload, got: str) -> str:
    return (
        f"its sha256 is {got}, but that of the first download was {first.sha256}, as {first.file} recorded on "
        f"{first.date}. Either its authors have changed the file, and figures with it are not those with the earlier "
        "one, or somebody else has. If you know that the authors have, delete this record and call again."
    )


def _fetch(asset: Asset, part: Path, quiet: bool) -> None:
    """Downloads the file to `part`, with several requests if the connection breaks."""
    import requests
    import urllib3

    host = urlsplit(asset.url).hostname
    begun = False
    cause: Exception | None = None
    with _bar(asset.file, asset.size, quiet) as bar:
        for attempt in range(1 + RETRIES):
            if attempt:
                time.sleep(RETRY_WAIT_S * 2 ** (attempt - 1))
            try:
                return _receive(asset, part, bar)
            except urllib3.exceptions.HTTPError as error:
                begun, cause, reason = True, error, f"{host} broke off {attempt + 1} times"
            except requests.RequestException as error:
                cause, reason = error, f"no connection to {host} ({type(error).__name__})"
                if error.response is not None:
                    reason = f"{host} answered {error.response.status_code} {error.response.reason}"
                if not begun:  # offline or not found: another try would only take time
                    break
    raise StoreError(
        f"{asset.name} could not be downloaded: {reason}.{_by_hand(asset, part)}{_partial_note(asset, part)}"
    ) from cause


def _receive(asset: Asset, part: Path, bar: SetDone) -> None:
    """Makes one request: appends to `part` if the server confirms that it is the same file, else starts again.

    Raises urllib3's HTTPError if the body breaks off, requests' exceptions before that."""
    import requests

    have, version = _received(asset, part)
    headers = {"Accept-Encoding": "identity"}  # ranges count the bytes of the file, not of a compressed reply
    if have:
        headers |= {"Range": f"bytes={have}-"} | ({"If-Range": version} if version else {})
    with requests.get(asset.url, headers=headers, stream=True, timeout=TIMEOUT_S) as reply:
        span = reply.headers.get("Content-Range", "")
        if have and reply.status_code == 416 and span == f"bytes */{have}":
            return None  # it was complete
        if have and (reply.status_code == 416 or (reply.status_code == 206 and not span.startswith(f"bytes {have}-"))):
            part.unlink()
            return _receive(asset, part, bar)
        reply.raise_for_status()
        if reply.status_code != 206:
            _new_part(part, reply.headers)
        with open(part, "ab") as handle:
            # raw, because requests' iterator loses the last bytes before a break
            for block in reply.raw.stream(BLOCK, decode_content=False):
                handle.write(block)
                bar(handle.tell())
            handle.flush()
            os.fsync(handle.fileno())


def _received(asset: Asset, part: Path) -> tuple[int, str]:
    """How many bytes `part` holds and the version of the file that they belong to.

    (0, "") if neither a version nor a checksum would detect bytes of another version."""
    have = part.stat().st_size if part.exists() else 0
    version = _version_file(part).read_text(encoding="utf-8") if have and _version_file(part).exists() else ""
    return (have, version) if version or asset.hash else (0, "")


def _new_part(part: Path, headers: Mapping[str, str]) -> None:
    """Empties `part` and stores the new version: a strong ETag, else the date (If-Range takes no weak ETag)."""
    part.write_bytes(b"")
    etag = headers.get("ETag", "")
    version = etag if etag.startswith('"') else headers.get("Last-Modified", "")
    _version_file(part).write_text(version, encoding="utf-8")


def _version_file(part: Path) -> Path:
    return part.with_name(part.name + ".version")


def _by_hand(asset: Asset, part: Path) -> str:
    from rich.filesize import decimal

    size = f"{decimal(asset.size)}, " if asset.size else ""
    place = part.with_name(asset.file)
    where = f"{place} (or unpacked, as {part.with_name(asset.name)})" if asset.unpack else f"{place}"
    inside = f"{asset.kind}/{asset.name if asset.unpack else asset.file}"
    return (
        f"\nFetch {asset.url} ({size}licence: {asset.licence})\nand put it at {where},"
        f"\nor set HUBBUB_HOME to a folder that has {inside}."
    )


def _partial_note(asset: Asset, part: Path) -> str:
    have, _ = _received(asset, part)
    return f"\nThe {have} bytes received so far are in {part}; the next call continues from there." if have else ""


def _unpack(asset: Asset, archive: Path, target: Path, quiet: bool) -> None:
    """Unpacks an archive to the folder `target`. Raises _BadArchive and leaves nothing behind if it is refused."""
    extract = {"zip": _unzip, "tar": _untar}[asset.unpack or ""]
    with whole_folder(target) as folder, _bar(f"unpacking {asset.file}", archive.stat().st_size, quiet) as bar:
        try:
            extract(asset, archive, folder, bar)
        except (*_BROKEN_ARCHIVE, OSError) as error:
            if isinstance(error, OSError) and error.errno not in _NOT_THE_DISKS:
                raise
            raise _BadArchive(f"{archive} cannot be unpacked: {error}. Nothing of it was kept.") from error
        if not any(folder.iterdir()):
            raise _BadArchive(f"{archive} has nothing under '{asset.strip}/': it is not {asset.name}.")
        for file, expected in asset.check:
            got = sha256(folder / file) if (folder / file).is_file() else "no such file"
            if got != expected:
                raise _BadArchive(f"{archive} is not {asset.name}: {file}: expected sha256 {expected}, got {got}.")


def _unzip(asset: Asset, archive: Path, folder: Path, bar: SetDone) -> None:
    done, unpacked, seen = 0, 0, dict[str, str]()
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            _refuse_bomb(archive, unpacked := unpacked + member.file_size)  # zipfile never reads more of it than that
            place = _place(asset, archive, member.filename, stat.S_ISLNK(member.external_attr >> 16), seen)
            if place is not None and not member.is_dir():
                file = folder / place
                file.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(member) as source, open(file, "wb") as sink:
                    shutil.copyfileobj(source, sink)
            done += member.compress_size
            bar(done)


def _untar(asset: Asset, archive: Path, folder: Path, bar: SetDone) -> None:
    unpacked, seen = 0, dict[str, str]()
    with open(archive, "rb") as raw, tarfile.open(fileobj=raw) as opened:
        for member in opened:
            _refuse_bomb(archive, unpacked := unpacked + member.size)
            place = _place(asset, archive, member.name, member.issym() or member.islnk(), seen)
            if place is not None:
                opened.extract(member.replace(name=str(place), deep=False), folder, filter="data")
            bar(raw.tell())


def _refuse_bomb(archive: Path, unpacked: int) -> None:
    most = max(BOMB_BYTES, BOMB_RATIO * archive.stat().st_size)
    if unpacked > most:
        raise _BadArchive(
            f"{archive} was refused: it unpacks to more than {most:,} bytes, far more than recordings do."
        )


def _place(asset: Asset, archive: Path, member: str, is_link: bool, seen: dict[str, str]) -> PurePosixPath | None:
    """The path of a member in the new folder; None if it lies outside `strip`. `seen` holds the names before it."""
    path = PureWindowsPath(member)  # it splits at both kinds of slash, and knows drives
    if is_link or path.anchor or ".." in path.parts:
        raise _BadArchive(f"{archive} was refused: its member '{member}' is a link or leads out of the folder.")
    top = PurePosixPath(asset.strip).parts
    rest = path.parts[len(top) :]
    if not rest or path.parts[: len(top)] != top:
        return None
    hidden = (part.lstrip(".-") or "hidden" for part in rest)  # files such as .DS_Store are common and harmless
    if problem := next((problem for part in hidden if (problem := name_problem(part))), ""):
        raise _BadArchive(f"{archive} was refused: its member {member!r} cannot be a file's name: {problem}.")
    place = PurePosixPath(*rest)
    other = seen.setdefault(unicodedata.normalize("NFKC", str(place)).casefold(), str(place))
    if other != str(place):
        raise _BadArchive(f"{archive} was refused: '{other}' and '{place}' are one name to some file systems.")
    return place


@contextmanager
def _bar(what: str, total: int | None, quiet: bool) -> Iterator[SetDone]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)
