"""audio.recorded: when a recording began, by the chunks of real headers and by names."""

import io
import os
import random
import struct
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubbub.audio.decode import decode
from hubbub.audio.recorded import Recorded, when_recorded
from tests.helpers.dated_wav import bext, chunk, comment, guano, wav

AT = datetime(2024, 5, 14, 10, 15)
HOUR = timedelta(hours=1)


def of(content: bytes, name: str = "night.wav") -> Recorded | None:
    return when_recorded(name, io.BytesIO(content))


def clock(content: bytes, name: str = "night.wav") -> str:
    found = of(content, name)
    return found.clock() if found else ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GUANO|Version:1.0\nTimestamp:2024-05-14T10:15:00+02:00\nMake:X", "2024-05-14T10:15:00.000+02:00"),
        ("GUANO|Version: 1.0\r\nTimestamp: 2024-05-14T10:15:00\r\n", "2024-05-14T10:15:00.000"),
        ("Timestamp: 2024-05-14T10:15:00.250Z\0\0", "2024-05-14T10:15:00.250+00:00"),
        ("\ufeffTimestamp: 20240514T101500-0330", "2024-05-14T10:15:00.000-03:30"),
        ("Note: Timestamp: 2020-01-01T00:00:00\nTimestamp : 2024-05-14 10:15", "2024-05-14T10:15:00.000"),
        ("Timestamp: 2024-05-14", ""),  # a day has no hour
        ("Timestamp: 2024-02-30T10:15:00", ""),
        ("Timestamp: 1970-01-01T00:03:00Z", ""),  # a clock that was never set
        ("Timestamp: 9999-12-31T23:59:59", ""),
        ("Timestamp: 2024-05-14T10:15:00+23:59", ""),
        ("Original Timestamp: 2024-05-14T10:15:00", ""),
        ("Timestamp:", ""),
    ],
)
def test_guano(text: str, expected: str) -> None:
    assert clock(wav(guano(text))) == expected
    assert clock(wav(after=(guano(text),))) == expected  # where most programs write it


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # The firmware's formats: 1.0, 1.0.1, 1.2.0, 1.2.2, and the later ones
        ("Recorded at 19:17:30 06/04/2019 by AudioMoth 0FE081F80FE081F0 at gain", "2019-04-06T19:17:30.000+00:00"),
        ("Recorded at 19:17:30 06/04/2019 (UTC) by AudioMoth 0FE081F80FE081F0", "2019-04-06T19:17:30.000+00:00"),
        ("Recorded at 19:17:30 06/04/2019 (UTC+1) by AudioMoth 0FE081F80FE081F0", "2019-04-06T19:17:30.000+01:00"),
        ("Recorded at 19:17:30 06/04/2019 (UTC-11) by AudioMoth 0FE081F80FE081F0", "2019-04-06T19:17:30.000-11:00"),
        ("Recorded at 19:17:30 06/04/2019 (UTC+5:30) by AudioMoth 0FE081F8", "2019-04-06T19:17:30.000+05:30"),
        ("Recorded at 19:17:30 06/04/2019 (UTC-0:30) by AudioMoth 0FE081F8", "2019-04-06T19:17:30.000-00:30"),
        ("Recorded at 19:17:30.020 06/04/2019 (UTC) during deployment 0FE081F8", "2019-04-06T19:17:30.020+00:00"),
        ("Recorded at 19:17:30 31/02/2019 (UTC) by AudioMoth 0FE081F8", ""),
        ("Recorded at 00:00:10 01/01/1970 (UTC) by AudioMoth 0FE081F8", ""),
        ("Recorded at 19:17:30 06/04/2019 (UTC+99) by AudioMoth 0FE081F8", ""),
        ("Recorded at 19:17:30 06/04/2019 with a phone", ""),
    ],
)
def test_the_comment_of_an_audiomoth(text: str, expected: str) -> None:
    assert clock(wav(comment(text))) == expected


@pytest.mark.parametrize("date", ["2024-05-14", "2024:05:14", "2024_05_14", "2024 05 14", "2024.05.14"])
def test_bwf_has_no_zone(date: str) -> None:
    assert of(wav(bext(date, "10:15:00"))) == Recorded(AT, None, "BWF")


@pytest.mark.parametrize("date, time", [("0000-00-00", "00:00:00"), ("2024-13-01", "10:15:00"), ("\0" * 10, "\0" * 8)])
def test_bwf_without_a_time(date: str, time: str) -> None:
    assert of(wav(bext(date, time))) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("2024-05-14T10:15:00Z.wav", "2024-05-14T10:15:00.000+00:00"),
        ("20240514T101500Z_site.flac", "2024-05-14T10:15:00.000+00:00"),
        ("20240514T101500+0200.wav", "2024-05-14T10:15:00.000+02:00"),
        ("20240514T101500+02.wav", "2024-05-14T10:15:00.000+02:00"),
        ("20240514T101500-0700_REC.wav", "2024-05-14T10:15:00.000-07:00"),
        ("2024-05-14T10_15_00.123+05-30.wav", "2024-05-14T10:15:00.000+05:30"),
        ("20240514_101500.WAV", "2024-05-14T10:15:00.000"),
        ("20240514_101500T.WAV", "2024-05-14T10:15:00.000"),  # AudioMoth's triggered recordings
        ("SMA01_20240514_101500-01.wav", "2024-05-14T10:15:00.000"),  # a running number
        ("SMA01_20240514_101500-0700.wav", "2024-05-14T10:15:00.000"),  # perhaps one too
        ("20240514T101500+1234.wav", "2024-05-14T10:15:00.000"),  # no zone on earth
        ("WhatsApp Audio 2024-05-14 at 10.15.00 PM.ogg", "2024-05-14T22:15:00.000"),
        ("14.05.2024 10-15.mp3", "2024-05-14T10:15:00.000"),
        ("20240514_101500_20240514_111500.wav", "2024-05-14T10:15:00.000"),
        ("made_20250101_120000_of_20240514_101500.wav", "2024-05-14T10:15:00.000"),
        ("240514_101500.wav", "2024-05-14T10:15:00.000"),
        ("5EB0C1A2.WAV", "2020-05-05T01:30:10.000+00:00"),
        ("5EB0C1A2.wav", "2020-05-05T01:30:10.000+00:00"),
        *((name, "") for name in ("5eb0c1a2.wav", "5EB0C1A2.flac", "5EB0C1A2_1.WAV", "05EB0C1A2.WAV", "DEADBEEF.WAV")),
        *((name, "") for name in ("58000000.WAV", "59000000.WAV", "5858467F.WAV", "7FFFFFFA.WAV", "-5EB0C1A.WAV")),
        *((name, "") for name in ("20240514.wav", "20240231_101500.wav", "120601-10-15-0.wav", "121212_101500.wav")),
        *((name, "") for name in ("1-100032-A-0.wav", "street.wav", "19700101_000010.WAV", "")),
    ],
)
def test_names(name: str, expected: str, tmp_path: Path) -> None:
    found = when_recorded(f"20110203_040506/{name}")  # a folder's name says nothing
    assert (found.clock() if found else "") == expected
    assert found is None or found.source == "name"


def test_the_limits_of_hexadecimal_names() -> None:
    seconds = [int(datetime.fromisoformat(f"{day}T00:00:10+00:00").timestamp()) for day in ("2017-01-01", "2036-01-01")]
    first, after = (next(s for s in range(at, at + 60) if set(f"{s:X}") & set("ABCDEF")) for at in seconds)
    assert (found := when_recorded(f"{first:08X}.WAV")) and found.at.date().isoformat() == "2017-01-01"
    assert when_recorded(f"{after:08X}.WAV") is None


def test_the_order_of_trust() -> None:
    chunks = {
        "GUANO": guano("Timestamp: 2024-05-14T10:15:01"),
        "AudioMoth": comment("Recorded at 10:15:02 14/05/2024 (UTC) by AudioMoth"),
        "BWF": bext("2024-05-14", "10:15:03"),
    }
    name = "20240514_101504.wav"
    for number, source in enumerate([*chunks, "name"]):
        left = list(chunks.values())[number:]
        random.Random(number).shuffle(left)
        found = of(wav(*left), name)
        assert found and (found.source, found.at.second, found.warning) == (source, number + 1, "")


def test_a_zone_comes_from_a_source_with_the_same_time_of_day() -> None:
    name = "20240514T101500+0200.wav"
    assert clock(wav(bext("2024-05-14", "10:15:20")), name) == "2024-05-14T10:15:20.000+02:00"
    assert clock(wav(bext("2024-05-14", "08:15:20")), name) == "2024-05-14T08:15:20.000"  # perhaps UTC


@pytest.mark.parametrize(
    ("chunks", "name", "contradicts"),
    [
        (bext("2024-05-14", "10:15:00"), "20240514_101559.wav", False),
        (bext("2024-05-14", "10:15:00"), "20240514_101600.wav", False),
        (bext("2024-05-14", "10:15:00"), "20240514_101601.wav", True),
        (bext("2024-05-14", "10:15:00"), "20240513_101500.wav", True),
        # The same instant in two zones; a name in UTC beside a comment in summer time; the same in local time
        (guano("Timestamp: 2024-05-14T10:15:00+02:00"), "20240514T081500Z.wav", False),
        (guano("Timestamp: 2024-05-14T10:15:00+02:00"), "20240514T101500Z.wav", True),
        (comment("Recorded at 10:15:00 14/05/2024 (UTC+2) by AudioMoth"), "20240514_081500.WAV", False),
        (comment("Recorded at 10:15:00 14/05/2024 (UTC+2) by AudioMoth"), "20240514_101500.WAV", False),
        (comment("Recorded at 10:15:00 14/05/2024 (UTC+2) by AudioMoth"), "20240514_091500.WAV", True),
        # Over midnight
        (comment("Recorded at 00:30:00 15/05/2024 (UTC+2) by AudioMoth"), "20240514_223000.WAV", False),
        # Old names are in UTC
        (comment("Recorded at 02:30:10 05/05/2020 (UTC+1) by AudioMoth"), "5EB0C1A2.WAV", False),
        (comment("Recorded at 01:30:10 05/05/2020 (UTC+1) by AudioMoth"), "5EB0C1A2.WAV", True),
    ],
)
def test_a_contradiction_is_a_warning_and_metadata_win(chunks: bytes, name: str, contradicts: bool) -> None:
    alone, found = of(wav(chunks)), of(wav(chunks), name)
    assert alone and found and (found.at, found.source) == (alone.at, alone.source)
    assert bool(found.warning) == contradicts


def test_the_warning_names_both_times() -> None:
    found = of(wav(guano("Timestamp: 2024-05-14T10:15:00+02:00")), "20200101_000000.wav")
    assert found and found.warning == (
        "Its GUANO metadata and its file name disagree about when it was recorded "
        "(2024-05-14 10:15:00+02:00 and 2020-01-01 00:00:00). The first is used."
    )


def test_a_clock_goes_on_over_midnight_and_the_change_to_summer_time() -> None:
    late = Recorded(datetime(2024, 12, 31, 23, 59, 59), None, "name")
    assert late.clock(1.25) == "2025-01-01T00:00:00.250"
    # A recorder's zone stays what it is; on 31 March 2024 clocks in Berlin went from 2:00 to 3:00.
    berlin = Recorded(datetime(2024, 3, 31, 1, 30), HOUR, "GUANO")
    assert berlin.clock(3600) == "2024-03-31T02:30:00.000+01:00"
    assert datetime.fromisoformat(berlin.clock(3600)) - datetime.fromisoformat(berlin.clock()) == HOUR


def test_the_time_of_the_last_change_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "street.wav").write_bytes(wav())
    os.utime(tmp_path / "street.wav", (1_700_000_000, 1_700_000_000))
    assert when_recorded(str(tmp_path / "street.wav")) is None
    (tmp_path / "20240514_101500.wav").write_bytes(wav(guano("Timestamp: 2024-05-14T10:15:30Z")))
    found = when_recorded(str(tmp_path / "20240514_101500.wav"))
    assert found == Recorded(AT + timedelta(seconds=30), timedelta(0), "GUANO")


def test_a_file_that_cannot_be_opened_still_has_its_name(tmp_path: Path) -> None:
    for path in (
        str(tmp_path / "20240514_101500.wav"),
        "a\0b/20240514_101500.wav",
        f"{tmp_path}/20240514_101500\udcff",
    ):
        found = when_recorded(path)
        assert found and found.at == AT


def test_other_kinds_of_wav() -> None:
    """Big-endian RIFX, and RF64 with 64-bit sizes."""
    text = b"Timestamp: 2024-05-14T10:15:00"
    big = b"WAVE" + chunk(b"fmt ", bytes(16), ">") + chunk(b"guan", text, ">")
    assert clock(b"RIFX" + struct.pack(">I", len(big)) + big) == "2024-05-14T10:15:00.000"
    for name in (b"RF64", b"BW64"):
        large = chunk(b"ds64", struct.pack("<QQQI", 0, 101, 50, 0)) + chunk(b"fmt ", bytes(16))
        samples = b"data" + b"\xff" * 4 + b"guan" * 25 + b"x\0"
        assert clock(name + b"\xff" * 4 + b"WAVE" + large + samples + chunk(b"guan", text)) == "2024-05-14T10:15:00.000"
    assert clock(b"OggS" + chunk(b"guan", text)) == ""


def test_metadata_change_nothing_of_the_sound() -> None:
    chunks = (guano("Timestamp: 2024-05-14T10:15:00"), bext("2024-05-14", "10:15:00"))
    plain, dated = (decode(io.BytesIO(content))[0] for content in (wav(), wav(*chunks, after=chunks)))
    assert (plain == dated).all()


class Counting(io.BytesIO):
    """Counts the bytes that are read."""

    count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        self.count += len(found)
        return found


@pytest.mark.parametrize(
    "content",
    [
        wav(seconds=60, after=(guano("Timestamp: 2024-05-14T10:15:00"),)),
        b"RIFF\xff\xff\xff\xffWAVE" + chunk(b"xxxx", b"") * 200_000,  # chunks without end
        b"RIFF\xff\xff\xff\xffWAVEguan\xff\xff\xff\xff" + b"Timestamp:" * 100_000,
        b"RIFF\xff\xff\xff\xffWAVELIST\xff\xff\xff\xffINFOICMT\xff\xff\xff\xff" + b"Recorded at " * 100_000,
    ],
)
def test_only_headers_are_read(content: bytes) -> None:
    stream = Counting(content)
    when_recorded("night.wav", stream)
    assert len(content) > 900_000 and stream.count < 70_000


GOOD = wav(
    guano("Timestamp: 2024-05-14T10:15:00+02:00"),
    comment("Recorded at 10:15:00 14/05/2024 (UTC+2) by AudioMoth"),
    bext("2024-05-14", "10:15:00"),
    seconds=0.02,
)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_hostile_bytes_give_a_time_or_none(data: st.DataObject) -> None:
    """Real headers with bytes overwritten, cut off or inserted, and chunks of anything."""
    content = bytearray(GOOD)
    for _ in range(data.draw(st.integers(0, 8))):
        at = data.draw(st.integers(0, len(content)))
        new = data.draw(
            st.binary(max_size=12) | st.sampled_from([b"\xff" * 4, bytes(4), b"9999", b"\xe2\x80\xa8", b"+"])
        )
        content[at : at + data.draw(st.integers(0, len(new)))] = new
    content = content[: data.draw(st.integers(0, len(content)))] + data.draw(st.binary(max_size=40))
    found = of(bytes(content), data.draw(st.text(max_size=30)))
    assert found is None or datetime.fromisoformat(found.clock(1e6)).year < 2102


@settings(max_examples=300, deadline=None)
@given(st.text("0123456789-_:. TZ+PM", max_size=40))
def test_hostile_names_and_timestamps_give_a_time_or_none(text: str) -> None:
    for found in (when_recorded(text), of(wav(guano(f"Timestamp:{text}"), seconds=0.01))):
        assert found is None or found.clock()
