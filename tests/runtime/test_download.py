"""Downloads, against a real server on the loopback and with writes that really fail."""

import bz2
import hashlib
import io
import json
import os
import random
import socket
import stat
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pooch
import pytest

from hubbub.runtime import download, files, homes
from hubbub.runtime.download import ASSETS, Asset
from hubbub.runtime.homes import StoreError

BODY = random.Random(0).randbytes(1_000_000)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        site: Site = self.server  # type: ignore[assignment]
        site.asked.append(dict(self.headers))
        if site.status != 200:
            self.send_error(site.status)
            return
        start, wanted = 0, self.headers.get("Range")
        if site.ranges and wanted and self.headers.get("If-Range") in (None, site.etag):
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(site.body):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(site.body)}")
            self.end_headers()
            return
        rest = site.body[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(site.body) - 1}/{len(site.body)}")
        if site.etag:
            self.send_header("ETag", site.etag)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        sent = rest[: site.breaks.pop(0)] if site.breaks else rest
        site.sent += len(sent)  # first, because the client may be done before this thread is
        self.wfile.write(sent)

    def log_message(self, *_: object) -> None:
        pass


class Site(ThreadingHTTPServer):
    """One file at every address. `breaks`: how many bytes each of the next replies sends before it is cut off."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.etag, self.status, self.ranges = BODY, '"one"', 200, True
        self.breaks: list[int] = []
        self.asked: list[dict[str, str]] = []
        self.sent = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/thing"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of this test's own, and nothing of the person's who runs it."""
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "user"))
    monkeypatch.setenv("HUBBUB_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HUBBUB_CACHE", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "RETRY_WAIT_S", 0.0)
    return tmp_path / "home"


@pytest.fixture
def site() -> Iterator[Site]:
    server = Site()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def asset_at(url: str, body: bytes | None = BODY, **changes: object) -> Asset:
    digest = None if body is None else "sha256:" + hashlib.sha256(body).hexdigest()
    thing = Asset("thing", "weights", url, "thing.bin", digest, len(BODY), "CC BY 4.0", "Nobody: Nothing, 2020")
    return replace(thing, **changes)  # type: ignore[arg-type]


def files_under(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir() or p.is_symlink())


# A full disk


FULL = """
import os, resource, signal, sys
from pathlib import Path
from hubbub.runtime import files, homes, download as store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
folder = Path(sys.argv[1])
def folder_write():
    with files.whole_folder(folder / "model", "small") as temporary:
        (temporary / "big").write_bytes(bytes(100_000))
def download():
    store.get(store.Asset("thing", "weights", sys.argv[2], "thing.bin", sys.argv[3], None, "", ""), folder)
for write in (lambda: files.write_text(folder / "scores", "x" * 100_000), folder_write, download):
    try:
        write()
    except homes.StoreError as error:
        print(str(error).splitlines()[0])
"""


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, site: Site) -> None:
    files.write_text(tmp_path / "scores", "old")
    with files.whole_folder(tmp_path / "model") as temporary:
        (temporary / "small").write_text("old")
    thing = asset_at(site.url)
    # -B: under the limit, Python itself would leave cut-off .pyc files behind
    command = [sys.executable, "-B", "-c", FULL, str(tmp_path), thing.url, str(thing.hash)]
    said = subprocess.check_output(command, text=True).splitlines()
    assert [line.split(" could not be written: File too large.")[0] for line in said] == [
        str(tmp_path / "scores"),
        str(tmp_path / "model"),
        str(tmp_path / "weights" / "thing.bin"),
    ]
    assert all("Nothing was changed" in line for line in said[:2])
    kept = ["weights/thing.bin.part", "weights/thing.bin.part.version"]
    assert files_under(tmp_path) == ["model/small", "scores", *kept]
    assert (tmp_path / "scores").read_text() == (tmp_path / "model" / "small").read_text() == "old"
    # With room again, the download goes on behind the last byte that fitted.
    assert download.get(thing, tmp_path).read_bytes() == BODY
    assert site.asked[-1]["Range"] == "bytes=4096-"


# Downloads


def test_a_download_is_verified_named_and_quiet(
    site: Site,
    home: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pooch.get_logger(), "handlers", [caplog.handler])  # its logger stands outside the tree
    path = download.get(asset_at(site.url))
    assert path == home / "weights" / "thing.bin" and path.read_bytes() == BODY
    assert files.sha256(path) == hashlib.sha256(BODY).hexdigest()
    assert files_under(home) == ["weights/thing.bin"]
    assert download.get(asset_at(site.url)) == path and len(site.asked) == 1
    assert capfd.readouterr() == ("", "") and caplog.records == []


def test_what_the_user_put_there_is_used_as_is(
    site: Site, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ASSETS, "thing", asset_at(site.url))
    own = home / "weights" / "thing.bin"
    own.parent.mkdir(parents=True)
    own.write_text("my own")
    assert download.get("thing") == own and download.get("thing", tmp_path / "other") == own
    assert own.read_text() == "my own" and site.asked == []


def test_a_download_goes_on_where_it_broke_off(site: Site, home: Path) -> None:
    site.breaks = [300_001, 123, 400_000]
    assert download.get(asset_at(site.url)).read_bytes() == BODY
    assert [asked.get("Range") for asked in site.asked] == [None, "bytes=300001-", "bytes=300124-", "bytes=700124-"]
    assert site.asked[1]["If-Range"] == '"one"'
    assert site.sent == len(BODY)
    assert files_under(home) == ["weights/thing.bin"]


def test_a_later_call_goes_on_too(site: Site, home: Path) -> None:
    site.breaks = [1000] * (1 + download.RETRIES)
    with pytest.raises(StoreError, match=r"broke off 6 times") as caught:
        download.get(asset_at(site.url))
    part = home / "weights" / "thing.bin.part"
    assert f"The 6000 bytes received so far are in {part}" in str(caught.value)
    assert part.read_bytes() == BODY[:6000] and not (home / "weights" / "thing.bin").exists()
    assert download.get(asset_at(site.url)).read_bytes() == BODY
    assert site.sent == len(BODY) and files_under(home) == ["weights/thing.bin"]


def test_a_download_that_only_lacked_its_name_is_not_fetched_again(site: Site, home: Path) -> None:
    part = home / "weights" / "thing.bin.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(BODY)
    assert download.get(asset_at(site.url)).read_bytes() == BODY and site.sent == 0
    # One that is too long cannot be a beginning of it.
    (home / "weights" / "thing.bin").unlink()
    part.write_bytes(BODY + b"more")
    assert download.get(asset_at(site.url)).read_bytes() == BODY and site.sent == len(BODY)


def test_a_file_that_changed_meanwhile_is_begun_again(site: Site) -> None:
    site.breaks = [1000] * (1 + download.RETRIES)
    with pytest.raises(StoreError):
        download.get(asset_at(site.url))
    site.body, site.etag = BODY[::-1], '"two"'
    assert download.get(asset_at(site.url, BODY[::-1])).read_bytes() == BODY[::-1]
    assert site.asked[-1]["If-Range"] == '"one"'


@pytest.mark.parametrize("etag, digest_of", [('"one"', BODY), ("", None), ('W/"weak"', None)])
def test_begun_again_where_a_range_is_ignored_or_could_be_of_another_file(
    site: Site, etag: str, digest_of: bytes | None
) -> None:
    site.breaks, site.ranges, site.etag = [1000], False, etag
    assert download.get(asset_at(site.url, digest_of)).read_bytes() == BODY
    assert ("Range" in site.asked[1]) == (digest_of is not None)
    assert site.sent == 1000 + len(BODY)


TWO = """
import sys
from pathlib import Path
from hubbub.runtime import download
from tests.runtime.test_download import asset_at
print(download.get(asset_at(sys.argv[1], None, unpack=sys.argv[2] or None), Path(sys.argv[3])))
"""


@pytest.mark.parametrize("unpack", ["", "zip"])
def test_of_two_processes_that_want_the_same_one_downloads_it(site: Site, home: Path, unpack: str) -> None:
    """Without a checksum nothing would show that both had written to one file."""
    if unpack:
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr("file", BODY)
        site.body = content.getvalue()
    words = [sys.executable, "-c", TWO, site.url, unpack, str(home)]
    started = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate()[0].strip() for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert told[0] == told[1] and site.sent == len(site.body)
    place = Path(told[0])
    assert (place / "file" if unpack else place).read_bytes() == BODY
    assert not [name for name in files_under(home) if ".lock" in name or ".part" in name]


def test_what_a_killed_process_had_unpacked_goes_when_it_is_unpacked_again(site: Site, home: Path) -> None:
    """And nothing else does that lies beside it."""
    others = [".thing2.123-0123abcd", ".thing.notes", "thing2"]
    for name in [".thing.123-0123abcd", *others]:
        (home / "data" / name).mkdir(parents=True)
        (home / "data" / name / "half").touch()
    with zipfile.ZipFile(home / "data" / "thing.zip", "w") as archive:
        archive.writestr("file", "content")
    download.get(asset_at(site.url, kind="data", file="thing.zip", unpack="zip"), home)
    assert sorted(os.listdir(home / "data")) == sorted([*others, "thing", "thing.zip"])


def test_a_wrong_checksum_is_refused_and_removed(site: Site, home: Path) -> None:
    wanted, got = hashlib.sha256(b"another").hexdigest(), hashlib.sha256(BODY).hexdigest()
    with pytest.raises(StoreError, match=f"expected sha256:{wanted} but got {got}"):
        download.get(asset_at(site.url, b"another"))
    assert files_under(home) == []


@pytest.mark.parametrize("digits", [8, 1, 63])
def test_the_beginning_of_a_checksum_verifies_too(
    site: Site, home: Path, caplog: pytest.LogCaptureFixture, digits: int
) -> None:
    got = hashlib.sha256(BODY).hexdigest()
    assert download.get(asset_at(site.url, hash=f"sha256:{got[:digits]}")).read_bytes() == BODY
    assert files_under(home) == ["weights/thing.bin"] and caplog.records == []
    (home / "weights" / "thing.bin").unlink()
    wrong = got[: digits - 1] + ("0" if got[digits - 1] != "0" else "1")
    with pytest.raises(
        StoreError, match=f"thing from .* was refused: its sha256 must begin with {wrong}, but it is {got}"
    ):
        download.get(asset_at(site.url, hash=f"sha256:{wrong}"))
    assert files_under(home) == []


def test_a_download_with_the_beginning_of_a_checksum_goes_on_where_it_broke_off(site: Site, home: Path) -> None:
    site.breaks = [300_000]
    download.get(asset_at(site.url, hash="sha256:" + hashlib.sha256(BODY).hexdigest()[:8]))
    assert site.asked[1]["Range"] == "bytes=300000-" and site.sent == len(BODY)


def test_without_a_checksum_the_one_of_the_first_download_holds(site: Site, home: Path) -> None:
    place, first = download.get(asset_at(site.url, None)), hashlib.sha256(BODY).hexdigest()
    record = home / "weights" / "thing.bin.first.json"
    held = json.loads(record.read_text())
    assert (held["sha256"], held["bytes"], held["url"]) == (first, len(BODY), site.url)
    place.unlink()
    assert download.get(asset_at(site.url, None)).read_bytes() == BODY
    assert json.loads(record.read_text()) == held
    place.unlink()
    site.body = BODY[::-1]
    with pytest.raises(StoreError, match="was refused: its sha256 is") as caught:
        download.get(asset_at(site.url, None))
    other = hashlib.sha256(site.body).hexdigest()
    assert all(part in str(caught.value) for part in (first, other, str(record), "delete this record"))
    assert files_under(home) == ["weights/thing.bin.first.json"]
    record.unlink()  # as the message says
    assert download.get(asset_at(site.url, None)).read_bytes() == site.body
    assert json.loads(record.read_text())["sha256"] == other


def test_the_first_download_is_remembered_in_every_home(
    site: Site, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    download.get(asset_at(site.url, None)).unlink()
    monkeypatch.setenv("HUBBUB_HOME", os.pathsep.join([str(tmp_path / "other"), str(home)]))
    site.body = BODY[::-1]
    with pytest.raises(StoreError, match="that of the first download was"):
        download.get(asset_at(site.url, None))


def test_nothing_is_recorded_of_files_with_a_checksum_or_that_the_user_put_there(site: Site, home: Path) -> None:
    download.get(asset_at(site.url))
    assert files_under(home) == ["weights/thing.bin"]
    (home / "weights" / "thing.bin").write_text("mine")
    assert download.get(asset_at(site.url, None)).read_text() == "mine"
    assert files_under(home) == ["weights/thing.bin"]


def test_a_damaged_record_of_a_first_download_is_named(site: Site, home: Path) -> None:
    (home / "weights").mkdir(parents=True)
    record = home / "weights" / "thing.bin.first.json"
    record.write_text('{"sha256": "12"}')
    with pytest.raises(StoreError, match=r"is damaged\. Delete it") as caught:
        download.get(asset_at(site.url, None))
    assert str(record) in str(caught.value) and not site.asked


def test_an_error_status_says_what_to_fetch_and_where_to_put_it(site: Site, home: Path) -> None:
    site.status = 404
    with pytest.raises(StoreError) as caught:
        download.get(asset_at(site.url))
    said = str(caught.value)
    assert "127.0.0.1 answered 404 Not Found" in said and len(site.asked) == 1
    for part in (site.url, "1.0 MB", "CC BY 4.0", str(home / "weights" / "thing.bin"), "HUBBUB_HOME"):
        assert part in said
    assert files_under(home) == []


def test_offline_says_what_to_fetch_and_where_to_put_it(home: Path) -> None:
    with socket.socket() as unheard:  # bound but not listening: every connection is refused
        unheard.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unheard.getsockname()[1]}/thing.zip"
        with pytest.raises(StoreError) as caught:
            download.get(asset_at(url, kind="data", file="thing.zip", unpack="zip"))
    said = str(caught.value)
    assert "no connection to 127.0.0.1" in said and url in said
    assert str(home / "data" / "thing.zip") in said and str(home / "data" / "thing") in said
    assert "a folder that has data/thing" in said
    assert files_under(home) == []


def test_an_unknown_name_names_the_near_one() -> None:
    with pytest.raises(StoreError, match=r"'yamnett'.*Did you mean 'yamnet'"):
        download.get("yamnett")


def test_the_catalogue_is_complete() -> None:
    weights = ["yamnet", "yamnet_class_map", "esresnext_audioset", "audioclip_full", "audioclip_partial"]
    weights += ["mn04_as", "mn10_as", "cnn14_audioset", "beats_audioset", "beats_unlabelled"]
    networks = ["alexnet", "vgg16", "resnet18", "resnet50"]
    networks += ["mobilenet_v2", "inception_v3", "efficientnet_b0", "convnext_tiny"]
    imagenet = [f"{network}_imagenet" for network in networks]
    assert list(ASSETS) == [*weights, *imagenet, "esc50", "urbansound8k", "emodb"]
    for name, asset in ASSETS.items():
        assert name == asset.name and asset.kind == ("data" if asset.unpack else "weights")
        assert asset.url.startswith("http") and asset.licence and asset.citation and asset.size
        algorithm, _, digits = (asset.hash or "none:").partition(":")
        lengths = {"sha256": 8 if name in imagenet else 64, "md5": 32, "none": 0}
        assert len(digits) == lengths[algorithm]


# Published checkpoints


PUBLISHED = {
    "esresnext_audioset": "ESResNeXtFBSP_AudioSet.pt",
    "audioclip_full": "AudioCLIP-Full-Training.pt",
    "audioclip_partial": "AudioCLIP-Partial-Training.pt",
    "resnet18_imagenet": "resnet18-f37072fd.pth",
    "mn10_as": "mn10_as_mAP_471.pt",
}
SIZES = {"esresnext_audioset": "124.8 MB", "resnet18_imagenet": "46.8 MB", "mn10_as": "19.7 MB"}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_checkpoint_is_fetched_in_parts_and_can_be_read(
    site: Site, home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    import torch

    from hubbub.models import checkpoint

    stream = io.BytesIO()
    torch.save({"conv1.weight": torch.ones(100, 100)}, stream)
    site.body, site.breaks = stream.getvalue(), [10_000, 10_000]
    digest = "sha256:" + hashlib.sha256(site.body).hexdigest()
    monkeypatch.setitem(ASSETS, name, replace(ASSETS[name], url=site.url, hash=digest))
    path = download.get(name)
    assert path == home / "weights" / PUBLISHED[name] and files_under(home) == [f"weights/{path.name}"]
    assert [asked.get("Range") for asked in site.asked] == [None, "bytes=10000-", "bytes=20000-"]
    assert checkpoint.read(path)["conv1.weight"].sum() == 10_000
    assert download.get(name) == homes.find("weights", path.name) == path and len(site.asked) == 3


@pytest.mark.parametrize("name", PUBLISHED)
def test_another_file_in_place_of_a_published_checkpoint_is_refused(
    site: Site, home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(ASSETS, name, replace(ASSETS[name], url=site.url))
    wanted = f"expected {ASSETS[name].hash} but got "
    if name == "resnet18_imagenet":
        wanted = "its sha256 must begin with f37072fd, but it is "
    with pytest.raises(StoreError, match=f"{name} from .* was refused: .*{wanted}"):
        download.get(name)
    assert files_under(home) == []


@pytest.mark.parametrize("name", PUBLISHED)
def test_offline_a_published_checkpoint_can_be_put_there_by_hand(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with socket.socket() as unheard:  # a proxy that refuses every connection, so that nothing leaves this machine
        unheard.bind(("127.0.0.1", 0))
        for variable in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(variable, f"http://127.0.0.1:{unheard.getsockname()[1]}")
        for variable in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(variable, "127.0.0.1")
        with pytest.raises(StoreError) as caught:
            download.get(name)
    said, asset, place = str(caught.value), ASSETS[name], home / "weights" / PUBLISHED[name]
    host = "download.pytorch.org" if name == "resnet18_imagenet" else "github.com"
    assert f"{name} could not be downloaded: no connection to {host}" in said
    assert (
        f"Fetch {asset.url} ({SIZES.get(name, '537.3 MB')}, licence: {asset.licence})" in said
        and asset.url.endswith(f"/{place.name}")
    )
    assert f"put it at {place}," in said and f"a folder that has weights/{place.name}" in said
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("by hand")
    assert download.get(name) == place


def test_a_checkpoint_without_a_licence_says_so() -> None:
    assert ASSETS["esresnext_audioset"].licence == "none stated, its repository has no licence file"
    assert ASSETS["audioclip_full"].licence == ASSETS["audioclip_partial"].licence == "MIT"


def test_copies_of_dead_addresses_say_so() -> None:
    for name in ("beats_audioset", "beats_unlabelled"):
        assert ASSETS[name].hash is None and ASSETS[name].note.startswith("a copy, since the authors' addresses")


# Archives


def zipped(members: dict[str, bytes], link: str = "") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        if link:
            entry = zipfile.ZipInfo(link)
            entry.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(entry, "/etc/passwd")
    return stream.getvalue()


def tarred(members: dict[str, bytes], link: str = "", kind: bytes = tarfile.SYMTYPE) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.type = len(content), tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            archive.addfile(entry, io.BytesIO(content))
        if link:
            entry = tarfile.TarInfo(link)
            entry.type, entry.linkname = kind, "top/meta/a.csv"
            archive.addfile(entry)
    return stream.getvalue()


GOOD = {
    "top/": b"",
    "top/meta/": b"",
    "top/meta/a.csv": b"clip,label\n",
    "top/audio/1.wav": BODY[:5000],
    "beside.txt": b"not part of it",
}
CHECK = (("meta/a.csv", hashlib.sha256(GOOD["top/meta/a.csv"]).hexdigest()),)


def archive_at(site: Site, unpack: str, body: bytes, **changes: object) -> Asset:
    site.body = body
    return asset_at(
        site.url, body, kind="data", file=f"thing.{unpack}", unpack=unpack, strip="top", check=CHECK, **changes
    )


@pytest.mark.parametrize("unpack, body", [("zip", zipped(GOOD)), ("tar", tarred(GOOD))])
def test_an_archive_becomes_a_folder(site: Site, home: Path, unpack: str, body: bytes) -> None:
    site.breaks = [len(body) // 2]
    folder = download.get(archive_at(site, unpack, body))
    assert folder == home / "data" / "thing"
    assert files_under(home) == ["data/thing/audio/1.wav", "data/thing/meta/a.csv"]
    assert (folder / "audio" / "1.wav").read_bytes() == BODY[:5000]


def test_an_archive_whose_list_is_verified_may_be_packed_anew(site: Site, home: Path, tmp_path: Path) -> None:
    """As GitHub packs one for each request: the list of clips is the checksum."""
    download.get(replace(archive_at(site, "zip", zipped(GOOD)), hash=None))
    (home / "data" / "thing").rename(tmp_path / "moved")
    again = zipped(GOOD | {"top/more.txt": b"new"})
    folder = download.get(replace(archive_at(site, "zip", again), hash=None))
    assert (folder / "more.txt").is_file() and not list((home / "data").glob("*.first.json"))


#: A device of Windows, what cannot be seen, and names that some file systems take for one that is there.
NO_NAMES = ["top/nul.txt", "top/a\nb", "top/a\u202eb", "top/x. /y", "top/Meta/A.csv", "top/meta/\uff41.csv", "top/a|b"]
LEAVING = ["../evil", "top/../../evil", "/tmp/hubbub-evil", "..\\evil", "C:/evil"]


@pytest.mark.parametrize(
    "unpack, body",
    [
        *(("zip", zipped({**GOOD, name: b"evil"})) for name in LEAVING),
        *(("tar", tarred({**GOOD, name: b"evil"})) for name in LEAVING),
        *(("zip", zipped({**GOOD, name: b"evil"})) for name in NO_NAMES),
        *(("tar", tarred({**GOOD, name: b"evil"})) for name in NO_NAMES),
        ("zip", zipped(GOOD).replace(b"PK\x01\x02\x14\x03\x14\0\0\0", b"PK\x01\x02\x14\x03\x14\0\x01\0")),  # a password
        ("zip", zipped(GOOD)[80:]),  # the list of its members leads to before its start
        ("tar", bz2.compress(tarred(GOOD))[:-40] + bytes(40)),
        ("zip", zipped(GOOD, "top/link")),
        ("tar", tarred(GOOD, "top/link")),
        ("tar", tarred(GOOD, "top/link", tarfile.LNKTYPE)),
        ("tar", tarred(GOOD, "top/pipe", tarfile.FIFOTYPE)),
        ("zip", zipped({"other/a": b"1"})),
        ("zip", zipped({"top/meta/a.csv": b"another list\n"})),
        ("zip", zipped({"top/audio/1.wav": b"no list\n"})),
        ("zip", b"<html>Sign in to this network</html>"),
        ("tar", b"<html>Sign in to this network</html>"),
        ("tar", tarred(GOOD)[:-2000]),
    ],
)
def test_a_bad_archive_is_refused_with_nothing_left(
    site: Site, home: Path, tmp_path: Path, unpack: str, body: bytes
) -> None:
    with pytest.raises(StoreError, match=rf"thing\.{unpack} "):
        download.get(replace(archive_at(site, unpack, body), hash=None))  # nor is its checksum recorded
    assert files_under(tmp_path) == [] and os.listdir(home / "data") == []
    assert not Path("/tmp/hubbub-evil").exists()


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_hidden_files_in_an_archive_are_harmless(site: Site, home: Path, kind: str) -> None:
    members = {**GOOD, "top/.DS_Store": b"", "top/audio/._1.wav": b"", "CON": b"outside of what is unpacked"}
    folder = download.get(archive_at(site, kind, {"zip": zipped, "tar": tarred}[kind](members)))
    assert files_under(folder) == [".DS_Store", "audio/._1.wav", "audio/1.wav", "meta/a.csv"]


def test_an_archive_the_user_put_there_is_unpacked_and_left(site: Site, home: Path) -> None:
    asset = archive_at(site, "zip", zipped(GOOD))
    own = home / "data" / "thing.zip"
    own.parent.mkdir(parents=True)
    own.write_bytes(zipped({"other/a": b"1"}))
    with pytest.raises(StoreError, match="has nothing under 'top/'"):
        download.get(asset)
    assert files_under(home) == ["data/thing.zip"]
    own.write_bytes(site.body)
    assert files_under(download.get(asset)) == ["audio/1.wav", "meta/a.csv"]
    assert own.exists() and site.asked == []


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_that_unpacks_to_more_than_recordings_do_is_refused(
    site: Site, home: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "BOMB_BYTES", 1_000_000)
    body = {"zip": zipped, "tar": tarred}[kind]({**GOOD, "top/zeros.wav": bytes(3_000_000)})
    with pytest.raises(StoreError, match=rf"thing\.{kind} was refused: it unpacks to more than 1,"):
        download.get(archive_at(site, kind, body))
    assert files_under(tmp_path) == [] and os.listdir(home / "data") == []
