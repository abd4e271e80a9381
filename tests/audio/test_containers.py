"""audio.containers: the sizes in a header are compared with the file, in every container that is read."""

import io
import os
import random
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hubbub.audio import containers, decode
from hubbub.audio.decode import AudioError
from tests.audio.test_decode import RATE_HZ, Wave, is_the_tone, sound_file, tone, write_media

CUT_OFF = r"^the stream is cut off"


def decoded(content: bytes) -> tuple[Wave, list[str]]:
    with decode.open_sound(io.BytesIO(content)) as sound:
        wave = np.concatenate(list(sound.blocks))
        return wave, sound.warnings


def written(
    container: str, coding: str, wave: Wave | None = None, endian: str = "FILE", rate_hz: int = RATE_HZ
) -> bytes:
    """A second of the tone as libsndfile writes it."""
    stream = io.BytesIO()
    soundfile.write(stream, tone() if wave is None else wave, rate_hz, coding, endian, container)
    return stream.getvalue()


#: They count nothing, or (XI) libsndfile counts wrongly.
UNCOUNTED = ("IRCAM", "PAF", "PVF", "XI")
COUNTED = [
    (container, coding)
    for container in soundfile.available_formats()
    for coding in soundfile.available_subtypes(container)
    if container not in (*UNCOUNTED, "RAW", "SD2", "WAVEX", "HTK", "WVE")
    and not coding.startswith("DWVW")  # libsndfile itself cannot read it from a stream
    and (container, coding) not in (("MP3", "MPEG_LAYER_I"), ("MP3", "MPEG_LAYER_II"), ("WAV", "MPEG_LAYER_III"))
]


@pytest.mark.parametrize("container, coding", COUNTED)
def test_what_libsndfile_writes_is_answered_whole_and_refused_cut_off(container: str, coding: str) -> None:
    content = written(container, coding)
    wave, warnings = decoded(content)
    assert (len(wave), warnings) == (len(soundfile.read(io.BytesIO(content))[0]), [])
    for length in (len(content) // 2, len(content) // 2 + 1, len(content) * 9 // 10):
        with pytest.raises(AudioError, match=CUT_OFF):
            decoded(content[:length])


@pytest.mark.parametrize(
    "container, coding, endian",
    [("WAV", "PCM_16", "BIG"), ("AU", "PCM_16", "LITTLE"), ("MAT4", "FLOAT", "BIG"), ("AIFF", "PCM_16", "LITTLE")],
)
def test_the_other_byte_order_is_judged_too(container: str, coding: str, endian: str) -> None:
    content = written(container, coding, endian=endian)
    assert content[:4] in (b"RIFX", b"dns.", b"\0\0\3\xe8", b"FORM")
    wave, warnings = decoded(content)
    assert is_the_tone(wave, RATE_HZ) and not warnings
    with pytest.raises(AudioError, match=CUT_OFF):
        decoded(content[: len(content) // 2])


MEDIA = [
    ("a.m4a", "aac", {}),
    ("a.mp4", "aac", {"movflags": "faststart"}),
    ("a.mp4", "aac", {"movflags": "frag_keyframe+empty_moov", "frag_duration": "100000"}),
    ("a.m4a", "alac", {}),
    ("a.mov", "pcm_s16le", {}),
    ("a.3gp", "aac", {}),
    ("a.mkv", "aac", {}),
    ("a.mkv", "aac", {"live": "1"}),
    ("a.webm", "libopus", {}),
    ("a.webm", "libopus", {"live": "1"}),
    ("a.avi", "libmp3lame", {}),
    ("a.avi", "pcm_s16le", {}),
    ("a.wma", "wmav2", {"b": "64000"}),
    ("a.flv", "aac", {}),
    ("a.ts", "aac", {}),
    ("a.aac", "aac", {}),
    ("a.mp3", "libmp3lame", {"write_xing": "0"}),
    ("a.ac3", "ac3", {}),
    ("a.eac3", "eac3", {}),
    ("a.wv", "wavpack", {}),
    ("a.tta", "tta", {}),
    ("a.rm", "ac3", {}),
    ("a.w64", "pcm_s16le", {}),
    ("a.wav", "adpcm_ima_wav", {}),
    ("a.wav", "pcm_s16le", {"rf64": "always"}),
    ("a.caf", "pcm_s16le", {}),
]


@pytest.mark.parametrize("name, codec, options", MEDIA, ids=[f"{n}-{c}-{'-'.join(o)}" for n, c, o in MEDIA])
def test_what_ffmpeg_writes_is_answered_whole_and_refused_cut_off(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
) -> None:
    content = write_media(tmp_path / name, codec, options=options).read_bytes()
    wave, warnings = decoded(content)
    assert is_the_tone(wave, RATE_HZ, 0.1) and not warnings
    for length in (len(content) // 2 - 1, len(content) // 2 - 50, len(content) * 7 // 10 + 1):
        with pytest.raises(AudioError, match=CUT_OFF):
            decoded(content[:length])


def test_a_movie_whose_sound_reaches_to_the_end_is_held_to_its_length(tmp_path: Path) -> None:
    """A box without a size goes to the end of the file, wherever that is."""
    content = write_media(tmp_path / "a.mp4", "aac", options={"movflags": "faststart"}).read_bytes()
    at = content.index(b"mdat") - 4
    content = content[:at] + bytes(4) + content[at + 4 :]
    assert is_the_tone(decoded(content)[0], RATE_HZ)
    with pytest.raises(AudioError, match=CUT_OFF):
        decoded(content[: at + (len(content) - at) // 3])


def test_a_movie_that_lacks_whole_boxes_is_cut_off_and_a_picture_is_no_sound(tmp_path: Path) -> None:
    content = write_media(tmp_path / "a.m4a", "aac").read_bytes()
    with pytest.raises(AudioError, match=CUT_OFF):
        decoded(content[: content.index(b"moov") - 4])
    picture = struct.pack(">I4s4sI4s", 20, b"ftyp", b"heic", 0, b"mif1") + struct.pack(">I4s", 8, b"mdat")
    with pytest.raises(AudioError, match="cannot be read as audio"):
        decoded(picture)


# WAV


def wav(
    samples: bytes,
    counted: int | None = None,
    riff: int | None = None,
    before: bytes = b"",
    after: bytes = b"",
    layout: bytes | None = None,
) -> bytes:
    """16 bits at `RATE_HZ`; `counted` and `riff` are the sizes of the data and of the whole, right where None."""
    layout = layout or struct.pack("<HHIIHH", 1, 1, RATE_HZ, 2 * RATE_HZ, 2, 16)
    counted = len(samples) if counted is None else counted
    body = b"WAVE" + before + b"fmt " + struct.pack("<I", len(layout)) + layout
    body += b"data" + struct.pack("<I", counted) + samples + after
    return b"RIFF" + struct.pack("<I", len(body) if riff is None else riff) + body


def pcm(wave: Wave) -> bytes:
    return (wave * 32767).round().astype("<i2").tobytes()


PCM = pcm(tone())
EXTENSIBLE = struct.pack("<HHIIHHHHI", 0xFFFE, 1, RATE_HZ, 2 * RATE_HZ, 2, 16, 22, 16, 4) + bytes.fromhex(
    "0100000000001000800000aa00389b71"
)
LIST = b"LIST" + struct.pack("<I", 12) + b"INFOISFT\0\0\0\0"


@pytest.mark.parametrize("riff", [0, 8, 36, 1000, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF])
def test_the_size_of_the_whole_is_not_believed(riff: int) -> None:
    wave, warnings = decoded(wav(PCM, riff=riff))
    assert len(wave) == RATE_HZ and is_the_tone(wave, RATE_HZ) and not warnings
    for cut in (wav(PCM[: RATE_HZ // 2], counted=len(PCM), riff=riff), wav(PCM, riff=riff)[:-1]):
        with pytest.raises(AudioError, match=CUT_OFF):
            decoded(cut)


@pytest.mark.parametrize(
    "content, samples",
    [
        (wav(PCM, after=LIST), RATE_HZ),
        (wav(PCM, after=LIST + b"bext" + struct.pack("<I", 602) + bytes(602)), RATE_HZ),
        (wav(PCM, after=b"id3 " + struct.pack("<I", 10) + b"ID3\x03\0\0\0\0\0\0"), RATE_HZ),
        (wav(PCM, after=b"TAG" + b"x" * 125), RATE_HZ),
        (wav(PCM, after=bytes(4096)), RATE_HZ),
        (wav(PCM, after=LIST + bytes(500)), RATE_HZ),
        (wav(PCM, before=b"JUNK" + struct.pack("<I", 28) + bytes(28)), RATE_HZ),
        (wav(PCM, layout=EXTENSIBLE), RATE_HZ),
        (wav(PCM + b"\0", after=b"\0" + LIST), RATE_HZ),
        (wav(PCM + b"\0", after=LIST), RATE_HZ),
        (wav(PCM + b"\0"), RATE_HZ),
        (wav(PCM + b"\0", after=b"\0"), RATE_HZ),
    ],
)
def test_odd_files_that_are_whole_are_answered(content: bytes, samples: int) -> None:
    wave, warnings = decoded(content)
    assert len(wave) == samples and is_the_tone(wave, RATE_HZ) and not warnings


@pytest.mark.parametrize(
    "channels, second, step, bits",
    [
        (2, 2 * RATE_HZ, 2, 16),
        (2, RATE_HZ, 1, 16),
        (1, 4 * RATE_HZ, 4, 16),
        (1, RATE_HZ, 2, 16),
        (1, 0, 0, 16),
        (1, 4 * RATE_HZ, 4, 24),
    ],
)
def test_a_wav_whose_header_contradicts_itself_is_answered_with_a_warning(
    channels: int, second: int, step: int, bits: int
) -> None:
    layout = struct.pack("<HHIIHH", 1, channels, RATE_HZ, second, step, bits)
    warnings = decoded(wav(PCM, layout=layout))[1]
    assert [said for said in warnings if said.startswith("Its header contradicts itself: it says ")]


@pytest.mark.parametrize("bits, second", [(12, 2 * RATE_HZ), (16, 0)])
def test_few_bits_in_two_bytes_and_a_byte_rate_left_out_are_no_contradiction(bits: int, second: int) -> None:
    wave, warnings = decoded(wav(PCM, layout=struct.pack("<HHIIHH", 1, 1, RATE_HZ, second, 2, bits)))
    assert len(wave) == RATE_HZ and not warnings


@pytest.mark.parametrize("counted", [0, 0xFFFFFFFF, 0x7FFFF000])
@pytest.mark.parametrize("layout", [None, EXTENSIBLE])
@pytest.mark.parametrize("riff", [None, 0, 0xFFFFFFFF])
def test_a_recorder_that_never_counted_is_read_to_the_end_and_said(
    counted: int, layout: bytes | None, riff: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    wave, warnings = decoded(wav(PCM, counted, riff, layout=layout))
    assert len(wave) == RATE_HZ and is_the_tone(wave, RATE_HZ)
    said = f"Its header says {counted:,} bytes of samples; read to the end of the file: 1.0 s."
    assert warnings == [said]


def test_what_holds_no_samples_is_not_read_as_any() -> None:
    for content in (wav(b""), wav(b"", after=LIST), wav(b"", 0xFFFFFFFF)):
        with pytest.raises(AudioError, match="holds no samples"):
            decoded(content)


def test_what_lies_behind_the_counted_samples_is_said() -> None:
    wave, warnings = decoded(wav(PCM + PCM, len(PCM)))
    assert len(wave) == RATE_HZ
    assert warnings == ["Its header says 96,000 bytes of samples; the 96,000 bytes after them (1.0 s) were not read."]


@pytest.mark.parametrize("whole", [0, 8])
def test_a_size_of_the_whole_file_is_not_that_of_its_samples(whole: int) -> None:
    wave, warnings = decoded(wav(PCM, 44 + len(PCM) - whole))
    assert len(wave) == RATE_HZ and is_the_tone(wave, RATE_HZ)
    assert len(warnings) == 1 and "the size of the whole file; read to its end: 1.0 s" in warnings[0]


@pytest.mark.parametrize("container", ["WAV", "RF64", "W64", "AIFF", "CAF", "AU"])
def test_of_joined_files_the_first_is_read_and_the_rest_is_said(container: str) -> None:
    content = written(container, "PCM_16", tone(500.0)) + written(container, "PCM_16", tone(2000.0))
    wave, warnings = decoded(content)
    assert len(wave) == RATE_HZ
    np.testing.assert_allclose(wave, tone(500.0), atol=1e-4)
    assert len(warnings) == 1 and "were not read" in warnings[0]


def test_a_second_chunk_of_samples_is_said_not_to_be_read() -> None:
    wave, warnings = decoded(wav(PCM, after=b"data" + struct.pack("<I", len(PCM)) + PCM))
    assert len(wave) == RATE_HZ and len(warnings) == 1 and "96,008 bytes after them" in warnings[0]


@pytest.mark.parametrize("coding", ["IMA_ADPCM", "MS_ADPCM", "GSM610", "ULAW", "PCM_24", "FLOAT"])
def test_every_coding_is_read_to_the_end_where_nothing_is_counted(coding: str) -> None:
    content = written("WAV", coding)
    whole, _ = decoded(content)
    at = content.index(b"data") + 4
    counted = int.from_bytes(content[at : at + 4], "little")
    wave, warnings = decoded(content[:at] + bytes(4) + content[at + 4 : at + 4 + counted])
    np.testing.assert_array_equal(wave[: len(whole)], whole)
    assert len(wave) - len(whole) < 512 and "Its header says 0 bytes of samples" in warnings[0]  # whole blocks


def sparse(path: Path, head: bytes, size: int, tail: bytes) -> Path:
    """A file of `size` bytes of which next to none lie on the disk."""
    with path.open("wb") as file:
        file.write(head)
        file.seek(size - len(tail))
        file.write(tail)
    if path.stat().st_blocks * 512 > 2**24:
        pytest.fail("this disk does not keep empty parts of a file empty: give pytest another --basetemp")
    return path


@pytest.mark.parametrize("after", [b"", LIST])
def test_a_wav_over_4_gib_is_read_to_its_end(tmp_path: Path, after: bytes) -> None:
    """Its sizes hold 32 bits, and what is left of a larger number is that of a few seconds."""
    samples = 2**32 + 3 * 2 * RATE_HZ
    head = wav(b"", counted=samples % 2**32)
    path = sparse(tmp_path / "long.wav", head, len(head) + samples + len(after), PCM + after)
    seconds = samples / 2 / RATE_HZ
    with decode.open_sound(path) as sound:
        assert sound.seconds == pytest.approx(seconds, abs=1e-3)
        assert sound.warnings == [
            f"Its header says 288,000 bytes of samples, which is what 32 bits hold of 4,295,255,296; all "
            f"were read: {seconds:.1f} s."
        ]
    wave, _ = decode.decode(path, start_s=seconds - 1)
    assert len(wave) == RATE_HZ and is_the_tone(wave, RATE_HZ)
    assert not decode.decode(path, 10, 11)[0].any()


def test_an_rf64_over_4_gib_is_read_and_its_half_is_refused(tmp_path: Path) -> None:
    samples = 2**32 + 2 * RATE_HZ
    ds64 = struct.pack("<4sIQQQI", b"ds64", 28, samples + 72, samples, samples // 2, 0)
    head = b"RF64" + wav(b"", 0xFFFFFFFF, 0xFFFFFFFF, before=ds64)[4:]
    path = sparse(tmp_path / "long.wav", head, len(head) + samples, PCM)
    with decode.open_sound(path) as sound:
        assert (sound.seconds, sound.warnings) == (samples / 2 / RATE_HZ, [])
    assert is_the_tone(decode.decode(path, start_s=samples / 2 / RATE_HZ - 1)[0], RATE_HZ)
    os.truncate(path, 2**31)
    with pytest.raises(AudioError, match="is cut off"):
        decode.decode(path, 0, 1)


# Other containers whose counts are wrong


def uncounted(container: str) -> bytes:
    """As a recorder leaves it that never came back to its header."""
    content = bytearray(written(container, "PCM_16"))
    if container == "AIFF":
        at = content.index(b"SSND")
        content[4:8] = content[22:26] = content[at + 4 : at + 8] = bytes(4)
    elif container == "CAF":
        at = content.index(b"data")
        content[at + 4 : at + 12] = b"\xff" * 8
        del content[at + 16 + 2 * RATE_HZ :]
    elif container == "AU":
        content[8:12] = bytes(4)
    elif container == "W64":
        at = content.index(b"data")
        content[at + 16 : at + 24] = (2**63 - 1).to_bytes(8, "little")
    else:
        at = content.index(b"ds64")
        content[at + 8 : at + 32] = bytes(24)
    return bytes(content)


@pytest.mark.parametrize("container", ["AIFF", "CAF", "AU", "W64", "RF64"])
def test_what_others_did_not_count_is_read_to_the_end_too(container: str) -> None:
    wave, warnings = decoded(uncounted(container))
    assert len(wave) == RATE_HZ and is_the_tone(wave, RATE_HZ)
    assert len(warnings) == 1 and warnings[0].endswith("bytes of samples; read to the end of the file: 1.0 s.")


# Files that were joined, and tags


@pytest.mark.parametrize(
    "container, coding",
    [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("FLAC", "PCM_16")],
    ids=["vorbis", "opus", "mp3", "flac"],
)
def test_joined_files_are_read_to_the_end(container: str, coding: str) -> None:
    """libsndfile reads the first alone, without a word."""
    parts = written(container, coding, tone(500.0)), written(container, coding, tone(2000.0))
    content = b"".join(parts)
    assert len(soundfile.read(io.BytesIO(content))[0]) == RATE_HZ
    wave, _ = decoded(content)
    assert len(wave) == pytest.approx(2 * RATE_HZ, abs=5 * 1152)
    middle = slice(RATE_HZ * 3 // 2, RATE_HZ * 3 // 2 + 4096)
    assert np.abs(np.fft.rfft(wave[middle])).argmax() * RATE_HZ / 4096 == pytest.approx(2000, abs=20)
    with pytest.raises(AudioError, match=CUT_OFF):
        decoded(content[: len(parts[0]) + len(parts[1]) // 2 + 1])


@pytest.mark.parametrize("container, coding", [("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")])
def test_joined_files_of_two_rates_are_refused(container: str, coding: str) -> None:
    """Played at one rate, the second would be another sound."""
    content = written(container, coding) + written(container, coding, tone(rate_hz=24_000), rate_hz=24_000)
    with pytest.raises(AudioError, match=r"parts of .*24000.* Hz|damaged"):
        decoded(content)


@pytest.mark.parametrize("name, codec", [("a.wav", "libmp3lame"), ("a.caf", "alac")])
def test_what_libsndfile_cannot_count_or_decode_is_ffmpegs(tmp_path: Path, name: str, codec: str) -> None:
    wave, _ = decoded(write_media(tmp_path / name, codec).read_bytes())
    assert len(wave) == pytest.approx(RATE_HZ, abs=3 * 1152) and is_the_tone(wave[: RATE_HZ * 9 // 10], RATE_HZ, 0.1)


APE_TAG = b"APETAGEX" + struct.pack("<IIII", 2000, 32, 0, 0) + bytes(8)


@pytest.mark.parametrize("tail", [b"TAG" + b"x" * 125, APE_TAG, APE_TAG + b"TAG" + bytes(125), bytes(3000)])
@pytest.mark.parametrize("options", [{}, {"write_xing": "0"}], ids=["xing", "no-xing"])
def test_tags_and_zeros_behind_an_mp3_are_no_frames(tmp_path: Path, tail: bytes, options: dict[str, str]) -> None:
    content = written("MP3", "MPEG_LAYER_III")
    if options:
        content = write_media(tmp_path / "a.mp3", "libmp3lame").read_bytes()
    id3 = b"ID3\x04\0\0\0\0\x02\0" + bytes(256)
    for head in (b"", id3):
        wave, warnings = decoded(head + content + tail)
        assert is_the_tone(wave[:RATE_HZ], RATE_HZ, 0.1) and not warnings


@pytest.mark.parametrize("container, coding", [("WAV", "PCM_16"), ("AIFF", "PCM_16"), ("FLAC", "PCM_16")])
def test_a_tag_before_a_container_changes_nothing(container: str, coding: str) -> None:
    content = written(container, coding)
    tagged = b"ID3\x04\0\0\0\0\x02\0" + bytes(256) + content
    np.testing.assert_array_equal(decoded(tagged)[0], decoded(content)[0])
    with pytest.raises(AudioError, match=CUT_OFF):
        decoded(tagged[: len(tagged) - 100])


def test_bw64_is_rf64_by_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    content = b"BW64" + written("RF64", "PCM_24")[4:]
    assert is_the_tone(decoded(content)[0], RATE_HZ)
    with pytest.raises(AudioError, match=CUT_OFF):
        decoded(content[: len(content) // 2])


# Cost


class Counted(io.BytesIO):
    """How often and how much was read."""

    reads = taken = 0

    def read(self, count: int | None = -1) -> bytes:
        got = super().read(count)
        self.reads, self.taken = self.reads + 1, self.taken + len(got)
        return got


@pytest.mark.parametrize(
    "container, coding",
    [
        ("WAV", "PCM_16"),
        ("RF64", "PCM_16"),
        ("W64", "PCM_16"),
        ("FLAC", "PCM_16"),
        ("AIFF", "PCM_16"),
        ("CAF", "FLOAT"),
    ],
)
def test_headers_take_a_few_small_reads(container: str, coding: str) -> None:
    content = written(container, coding, tone(seconds=20.0))
    stream = Counted(content)
    assert containers.check_integrity(stream, len(content)) == containers.Integrity()
    assert stream.reads <= 20 and stream.taken <= 5_000


# Hostile


def kinds(folder: Path) -> list[bytes]:
    """A short file of every container that has bookkeeping here."""
    short = tone(seconds=0.2)
    contents = [
        written(container, coding, short)
        for container, coding in dict(COUNTED).items()  # one coding each
    ]
    contents += [written("OGG", "OPUS", short), written("WAV", "IMA_ADPCM", short), wav(PCM, 0), wav(PCM, 1000)]
    for index, (name, codec, options) in enumerate(MEDIA):
        place = folder / str(index)
        place.mkdir()
        contents.append(write_media(place / name, codec, options=options).read_bytes())
    return contents


def ends_in_an_answer_or_our_error(content: bytes) -> bool:
    """Whether it was refused; anything else but an answer fails the test."""
    try:
        decoded(content)
    except AudioError as error:
        assert str(error).startswith("the stream ")
        return True
    return False


@pytest.mark.slow
def test_no_beginning_of_a_file_is_taken_for_sound(tmp_path: Path) -> None:
    for content in kinds(tmp_path):
        # A recorder that counted nothing may have been stopped anywhere.
        known = content[40:44] not in (bytes(4), struct.pack("<I", 1000)) or content[:4] != b"RIFF"
        for length in range(1, min(201, len(content))):
            assert ends_in_an_answer_or_our_error(content[:length]) or not known, (content[:16], length)


@pytest.mark.slow
def test_changed_headers_end_in_an_answer_or_an_error_of_ours(tmp_path: Path) -> None:
    rng = random.Random(15)
    refused = 0
    for content in kinds(tmp_path):
        for _ in range(12):
            changed = bytearray(content)
            for _ in range(rng.choice((1, 2, 8))):
                changed[rng.randrange(min(400, len(content)))] = rng.choice((0, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            refused += ends_in_an_answer_or_our_error(bytes(changed))
    assert refused > 100


@pytest.mark.parametrize("container", ["WAV", "AIFF", "CAF", "W64", "RF64", "AU", "MAT5", "VOC", "NIST"])
@pytest.mark.parametrize("value", [0x00, 0x7F, 0xFF])
def test_no_four_bytes_of_a_header_bring_another_error(container: str, value: int) -> None:
    content = written(container, "PCM_16", tone(seconds=0.05))
    places = range(0, 140, 2)
    refused = sum(
        ends_in_an_answer_or_our_error(content[:at] + bytes([value]) * 4 + content[at + 4 :]) for at in places
    )
    assert 0 < refused < len(places), "some of the header does not matter, some does"


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("container", ["CAF", "W64", "AIFF", "WAV", "VOC", "SVX"])
def test_a_header_that_leads_to_before_the_start_prints_nothing(
    container: str, capfd: pytest.CaptureFixture[str]
) -> None:
    content, rng, refused = written(container, "PCM_16", tone(seconds=0.05)), random.Random(3), 0
    for _ in range(600):
        changed = bytearray(content)
        for _ in range(rng.choice((1, 2, 8))):
            changed[rng.randrange(140)] = rng.choice((0, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        refused += ends_in_an_answer_or_our_error(bytes(changed))
    assert refused > 50 and capfd.readouterr() == ("", "")


# Places


def test_only_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "endless.wav").symlink_to("/dev/zero")
    (tmp_path / "dangling.wav").symlink_to("nowhere.wav")
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    for name in ("pipe.wav", "endless.wav", "dangling.wav", "loop.wav", "n" * 300 + ".wav"):
        with pytest.raises(AudioError, match=r"is not a file|cannot be read as audio") as caught:
            decode.decode(tmp_path / name)
        assert str(caught.value).startswith(str(tmp_path / name))
    (tmp_path / "link.wav").symlink_to(sound_file(tmp_path, "wav", "WAV", "PCM_16"))
    assert is_the_tone(*decode.decode(tmp_path / "link.wav"))
