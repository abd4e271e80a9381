"""Downloads what the catalogue lists: found where a user put it, or fetched, verified and unpacked.

What a user put into a home is used as is; what is missing is downloaded (pooch), verified and only then given its
name. Downloads go on from where they stopped: HTTP range requests, RFC 9110 sections 13.1.5 and 14.
This room does not know what is inside a data set or a weights file. Two processes that download the same asset at once
are not kept apart.
"""

import gzip
import logging
import lzma
import os
import shutil
import stat
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
from hubbub.runtime.catalogue import ASSETS, Asset
from hubbub.runtime.files import flaw_of, sha256, whole_folder
from hubbub.runtime.homes import StoreError, absolute, find_in, homes, writable_home

__all__ = ["ASSETS", "Asset", "get"]

RETRIES = 5  # after the first try, in one call
RETRY_WAIT_S = 0.5  # before the first retry; doubles with each
TIMEOUT_S = 30.0  # without a byte from the server
BLOCK = 1 << 18  # bytes handed on at a time
SHA256_DIGITS = 64
#: An archive may unpack to so many times its size, or to so many bytes where that is more.
BOMB_RATIO, BOMB_BYTES = 100, 1_000_000_000

_BROKEN_ARCHIVE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RuntimeError,
)  # what zipfile says of passwords and methods that it does not know
_log = logging.getLogger("hubbub")

Bar = Callable[[int], None]  # takes the bytes done so far


class _BadArchive(StoreError):
    """An archive that must not be kept."""


def get(name_or_asset: str | Asset, home: Path | None = None, *, quiet: bool = False) -> Path:
    """Where an asset is: found in `home` or any other home and used as is, else downloaded to `home` (the first
    writable one without it), verified and unpacked. Raises StoreError saying what to fetch and where to put it.

    An archive that lies in a home under its own name is unpacked and left there. `quiet`: no progress bar, as when
    stderr is no terminal.
    """
    asset = name_or_asset if isinstance(name_or_asset, Asset) else _named(name_or_asset)
    chosen = [] if home is None else [absolute(home)]
    searched = [*chosen, *homes()]
    kept = asset.name if asset.unpack else asset.file
    present = find_in(searched, asset.kind, kept)
    if present is not None:
        return present
    quiet = quiet or not sys.stderr.isatty()
    target = (chosen[0] if chosen else writable_home()) / asset.kind / kept
    if not asset.unpack:
        return _download(asset, target, quiet)
    given = find_in(searched, asset.kind, asset.file)
    archive = given or _download(asset, target.with_name(asset.file), quiet)
    try:
        _unpack(asset, archive, target, quiet)
    except _BadArchive:
        if given is None:
            archive.unlink()
        raise
    if given is None:
        archive.unlink()
    return target


def _named(name: str) -> Asset:
    if name not in ASSETS:
        raise StoreError(f"Nothing named '{name}' can be downloaded. {did_you_mean(name, ASSETS)}")
    return ASSETS[name]


def _download(asset: Asset, target: Path, quiet: bool) -> Path:
    import pooch

    part = target.with_name(target.name + ".part")
    algorithm, _, digits = (asset.hash or "").partition(":")
    beginning = digits if algorithm == "sha256" and len(digits) < SHA256_DIGITS else ""

    def downloader(_url: str, output: str, _pooch: object) -> None:
        _fetch(asset, part, quiet)
        os.replace(part, output)
        _mark(part).unlink(missing_ok=True)
        # pooch compares whole checksums alone; as after those, it removes what is refused.
        if beginning and not (got := sha256(Path(output))).startswith(beginning):
            raise ValueError(f"its sha256 must begin with {beginning}, but it is {got}")

    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.WARNING)  # the bar and the errors below say it already
    try:
        known = None if beginning else asset.hash
        pooch.retrieve(asset.url, known, fname=target.name, path=target.parent, downloader=downloader)
    except ValueError as error:  # how pooch reports a wrong checksum; it has removed the file
        raise StoreError(f"{asset.name} from {asset.url} was refused: {error}") from error
    except OSError as error:
        why = error.strerror or error
        raise StoreError(
            f"{target} could not be written: {why}. Make room and call again.{_kept(asset, part)}"
        ) from error
    finally:
        logger.setLevel(level)
    if asset.hash is None:
        _log.warning("%s: no checksum is published; sha256 of what came is %s", target.name, sha256(target))
    return target


def _fetch(asset: Asset, part: Path, quiet: bool) -> None:
    """Fills `part`, over as many requests as it takes."""
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
                begun, cause, why = True, error, f"{host} broke off {attempt + 1} times"
            except requests.RequestException as error:
                cause, why = error, f"no connection to {host} ({type(error).__name__})"
                if error.response is not None:
                    why = f"{host} answered {error.response.status_code} {error.response.reason}"
                if not begun:  # offline, or nothing there: another try would only take time
                    break
    raise StoreError(
        f"{asset.name} could not be downloaded: {why}.{_by_hand(asset, part)}{_kept(asset, part)}"
    ) from cause


def _receive(asset: Asset, part: Path, bar: Bar) -> None:
    """One request: appends to `part` where the server agrees that it is the same file, else begins again.

    Raises urllib3's HTTPError where the body breaks off, requests' exceptions before that."""
    import requests

    have, mark = _received(asset, part)
    headers = {"Accept-Encoding": "identity"}  # a compressed reply could not be counted in the file's own bytes
    if have:
        headers |= {"Range": f"bytes={have}-"} | ({"If-Range": mark} if mark else {})
    with requests.get(asset.url, headers=headers, stream=True, timeout=TIMEOUT_S) as reply:
        span = reply.headers.get("Content-Range", "")
        if have and reply.status_code == 416 and span == f"bytes */{have}":
            return None  # nothing was missing
        if have and (reply.status_code == 416 or (reply.status_code == 206 and not span.startswith(f"bytes {have}-"))):
            part.unlink()
            return _receive(asset, part, bar)
        reply.raise_for_status()
        if reply.status_code != 206:
            _new_part(part, reply.headers)
        with open(part, "ab") as handle:
            # raw, because requests' own iterator loses the last bytes before a break
            for block in reply.raw.stream(BLOCK, decode_content=False):
                handle.write(block)
                bar(handle.tell())
            handle.flush()
            os.fsync(handle.fileno())


def _received(asset: Asset, part: Path) -> tuple[int, str]:
    """Bytes in hand and the mark of the version they belong to; (0, "") where nothing would notice a wrong join."""
    have = part.stat().st_size if part.exists() else 0
    mark = _mark(part).read_text(encoding="utf-8") if have and _mark(part).exists() else ""
    return (have, mark) if mark or asset.hash else (0, "")


def _new_part(part: Path, headers: Mapping[str, str]) -> None:
    """Empties `part` and notes which version begins: a strong ETag, else the date (If-Range takes no weak ETag)."""
    part.write_bytes(b"")
    etag = headers.get("ETag", "")
    version = etag if etag.startswith('"') else headers.get("Last-Modified", "")
    _mark(part).write_text(version, encoding="utf-8")


def _mark(part: Path) -> Path:
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


def _kept(asset: Asset, part: Path) -> str:
    have, _ = _received(asset, part)
    return f"\nThe {have} bytes received so far are in {part}; the next call goes on from there." if have else ""


def _unpack(asset: Asset, archive: Path, target: Path, quiet: bool) -> None:
    """Makes the folder `target` of an archive. Raises _BadArchive, then with nothing left behind."""
    extract = {"zip": _unzip, "tar": _untar}[asset.unpack or ""]
    with whole_folder(target) as folder, _bar(f"unpacking {asset.file}", archive.stat().st_size, quiet) as bar:
        try:
            extract(asset, archive, folder, bar)
        except _BROKEN_ARCHIVE as error:
            raise _BadArchive(f"{archive} cannot be unpacked: {error}. Nothing of it was kept.") from error
        if not any(folder.iterdir()):
            raise _BadArchive(f"{archive} has nothing under '{asset.strip}/': it is not {asset.name}.")
        for file, expected in asset.check:
            got = sha256(folder / file) if (folder / file).is_file() else "no such file"
            if got != expected:
                raise _BadArchive(f"{archive} is not {asset.name}: {file}: expected sha256 {expected}, got {got}.")


def _unzip(asset: Asset, archive: Path, folder: Path, bar: Bar) -> None:
    done, unpacked, seen = 0, 0, dict[str, str]()
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            _refuse_bomb(archive, unpacked := unpacked + member.file_size)  # no more than that is ever read of it
            place = _place(asset, archive, member.filename, stat.S_ISLNK(member.external_attr >> 16), seen)
            if place is not None and not member.is_dir():
                file = folder / place
                file.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(member) as source, open(file, "wb") as sink:
                    shutil.copyfileobj(source, sink)
            done += member.compress_size
            bar(done)


def _untar(asset: Asset, archive: Path, folder: Path, bar: Bar) -> None:
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
        raise _BadArchive(f"{archive} was refused: it unpacks to more than {most:,} bytes, which no recordings do.")


def _place(asset: Asset, archive: Path, member: str, is_link: bool, seen: dict[str, str]) -> PurePosixPath | None:
    """Where a member goes below the new folder; None for what lies outside `strip`. `seen` are the names before it."""
    path = PureWindowsPath(member)  # it knows both kinds of slash, and drives
    if is_link or path.anchor or ".." in path.parts:
        raise _BadArchive(f"{archive} was refused: its member '{member}' is a link or leads out of the folder.")
    top = PurePosixPath(asset.strip).parts
    rest = path.parts[len(top) :]
    if not rest or path.parts[: len(top)] != top:
        return None
    hidden = (part.lstrip(".-") or "hidden" for part in rest)  # .DS_Store and the like are common, and harmless
    if flaw := next((flaw for part in hidden if (flaw := flaw_of(part))), ""):
        raise _BadArchive(f"{archive} was refused: its member {member!r} cannot be a file's name: {flaw}.")
    place = PurePosixPath(*rest)
    other = seen.setdefault(unicodedata.normalize("NFKC", str(place)).casefold(), str(place))
    if other != str(place):
        raise _BadArchive(f"{archive} was refused: '{other}' and '{place}' are one name to some file systems.")
    return place


@contextmanager
def _bar(what: str, total: int | None, quiet: bool) -> Iterator[Bar]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)
