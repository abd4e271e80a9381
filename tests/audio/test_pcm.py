"""audio.pcm: raw samples of every encoding, as libsndfile reads them, however their bytes are split."""

import io

import numpy as np
import pytest
import soundfile

from hubbub.audio import pcm

WAVE = np.random.default_rng(0).uniform(-1, 1, (200, 2))
SUBTYPES = {
    "u8": "PCM_U8",
    "s16le": "PCM_16",
    "s24le": "PCM_24",
    "s32le": "PCM_32",
    "f32le": "FLOAT",
    "f64le": "DOUBLE",
}


def raw(encoding: str) -> tuple[bytes, np.ndarray]:
    """Raw bytes as libsndfile writes them, and the samples as it reads them."""
    written = {"format": "RAW", "subtype": SUBTYPES[encoding], "endian": "LITTLE"}
    file = io.BytesIO()
    soundfile.write(file, WAVE, 8_000, **written)
    samples, _ = soundfile.read(io.BytesIO(file.getvalue()), samplerate=8_000, channels=2, **written)
    return file.getvalue(), samples


@pytest.mark.parametrize("encoding", pcm.ENCODINGS)
def test_raw_samples_are_decoded_as_libsndfile_does(encoding: str) -> None:
    content, samples = raw(encoding)
    assert len(content) == len(samples) * pcm.frame_bytes(encoding, 2)
    np.testing.assert_array_equal(
        pcm.decode(content, encoding, 2), samples.astype(np.float32 if encoding != "f64le" else float)
    )


@pytest.mark.parametrize("size", [1, 5, 1_000])
@pytest.mark.parametrize("encoding", pcm.ENCODINGS)
def test_the_split_into_pieces_does_not_matter(encoding: str, size: int) -> None:
    content, _ = raw(encoding)
    decoder, content = pcm.PcmDecoder(encoding, 2), content[:-1]
    blocks = [decoder.feed(content[at : at + size]) for at in range(0, len(content), size)]
    assert all(block.shape[1] == 2 for block in blocks)
    np.testing.assert_array_equal(np.concatenate(blocks), pcm.decode(content, encoding, 2))
    assert decoder.incomplete == content[-(pcm.frame_bytes(encoding, 2) - 1) :]
