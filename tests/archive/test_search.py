"""Searches: by examples, filters, scores; hits as files."""

from datetime import datetime, time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from hubbub.archive import search
from hubbub.archive.archive import Archive
from hubbub.archive.backbone import embed_texts, load_backbone
from hubbub.archive.index import index
from hubbub.archive.nearest import Nearest
from hubbub.archive.search import Filters
from hubbub.archive.write_hits import write_hits
from hubbub.data.archive_file import ArchiveError
from tests.helpers.archives import RATE, copy_of, label, recordings_of_tones, tones
from tests.helpers.dated_wav import guano, wav


def kinds(archive: Archive, hits: search.Hits) -> list[str]:
    return [Path(archive.place(int(one)).path).stem.split("-")[0] for one in hits.segments]


def find(archive: Archive, like: list[int], unlike: list[int], top: int) -> search.Hits:
    take = archive.vectors.take
    return search.like(Nearest(archive.folder, archive.vectors), take(like), take(unlike), archive.here, top)


def test_what_is_like_an_example_is_found_first(made: tuple[Path, Path], tmp_path: Path) -> None:
    archive, model = Archive(made[0]), load_backbone("small")
    soundfile.write(tmp_path / "x.wav", np.concatenate([tones("low", 5), tones("high", 5, seed=50)]), RATE)
    example = search.embed_examples(model, [(tmp_path / "x.wav", 5.0, 10.0)])
    hits = search.like(Nearest(archive.folder, archive.vectors), example, example[:0], archive.here, 4)
    assert kinds(archive, hits) == ["high"] * 4
    assert (np.diff(hits.scores) <= 0).all()


def test_an_example_finds_itself_and_unlike_leaves_out(made: tuple[Path, Path]) -> None:
    archive = Archive(made[0])
    low, high = (next(n for n in range(12) if name in archive.place(n).path) for name in ("low", "high"))
    hits = find(archive, [low], [], 12)
    assert hits.segments[0] == low
    assert hits.scores[0] == pytest.approx(1, abs=1e-5)
    both = find(archive, [low, high], [], 8)
    assert sorted(kinds(archive, both)) == ["high"] * 4 + ["low"] * 4
    assert kinds(archive, find(archive, [low, high], [high], 4)) == ["low"] * 4


def test_filters(tmp_path: Path) -> None:
    for site, hour in (("pond", "21"), ("wood", "23"), ("wood", "03")):
        folder = tmp_path / "in" / site
        folder.mkdir(parents=True, exist_ok=True)
        chunk = guano(f"GUANO|Version: 1.0\nTimestamp: 2024-05-14T{hour}:00:00+02:00\n")
        (folder / f"{hour}.wav").write_bytes(wav(chunk, wave=np.random.default_rng(int(hour)).normal(0, 0.1, 40_000)))
    soundfile.write(tmp_path / "in" / "undated.wav", tones("low", 5), RATE)
    index(tmp_path / "in", tmp_path / "archive", model="small")
    archive = Archive(tmp_path / "archive")

    def paths(filters: Filters) -> set[str]:
        return {archive.place(int(n)).path for n in np.flatnonzero(filters.mask(archive))}

    assert paths(Filters(sites=("wood",))) == {"wood/23.wav", "wood/03.wav"}
    assert paths(Filters(sites=("",))) == {"undated.wav"}
    assert paths(Filters(since=datetime(2024, 5, 14, 21), until=datetime(2024, 5, 14, 23))) == {"pond/21.wav"}
    assert paths(Filters(between=(time(22), time(4)))) == {"wood/23.wav", "wood/03.wav"}
    assert len(paths(Filters(exclude=np.arange(2)))) == 2
    with pytest.raises(ArchiveError, match=r"no site .wod. here. Did you mean 'wood'"):
        paths(Filters(sites=("wod",)))


def test_scores_around_a_value(made: tuple[Path, Path]) -> None:
    archive, scores = Archive(made[0]), np.linspace(0, 1, 12, dtype=np.float32)
    assert search.by_score(scores, archive.here, 3).segments.tolist() == [11, 10, 9]
    assert set(search.around(scores, 0.5, archive.here, 2).segments.tolist()) == {5, 6}


def test_a_class_is_found_by_the_labels_of_the_archive(made: tuple[Path, Path], tmp_path: Path) -> None:
    archive = Archive(copy_of(made[0], tmp_path))
    with pytest.raises(ArchiveError, match=r"has no classes yet\. Label some: hubbub explore"):
        search.class_scores(archive, "low")
    of = {name: [n for n in range(12) if name in archive.place(n).path] for name in ("low", "middle", "high")}
    label(archive, [(of[name][0], name, "yes") for name in of])
    scores = search.class_scores(archive, "low")
    with pytest.raises(ArchiveError, match=r"no class 'lo' .*Did you mean 'low'"):
        search.class_scores(archive, "lo")
    assert scores.shape == (12,)
    assert set(np.argsort(-scores)[:4].tolist()) == set(of["low"])


def test_words_need_a_network_of_words(made: tuple[Path, Path]) -> None:
    with pytest.raises(ArchiveError, match=r"understands no words.*--model clap"):
        embed_texts(Archive(made[0]).about.model, ["rain"])


@pytest.mark.slow
def test_words_find_what_the_network_of_an_archive_says(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    import hubbub
    from tests.helpers.spectrogram_checkpoints import saved

    checkpoint, _ = saved("clap")
    recipe = tmp_path / "clap.toml"
    text = (Path(hubbub.__file__).parent / "config" / "recipes" / "esc50-clap.toml").read_text(encoding="utf-8")
    recipe.write_text(text.replace('name = "clap"', f'name = "clap"\nweights = "{checkpoint}"'), encoding="utf-8")
    index(recordings_of_tones(tmp_path / "in", 1), tmp_path / "archive", model=str(recipe))
    archive = Archive(tmp_path / "archive")
    texts = embed_texts(archive.about.model, ["dog barking", "rain"])
    hits = search.like(Nearest(archive.folder, archive.vectors), texts[:1], texts[:0], archive.here, 3)
    classifier = hubbub.load(checkpoint, labels=["dog barking", "rain"], device="cpu")
    expected = classifier.embed(archive.place(int(hits.segments[0])).file).values.mean(axis=0)
    cosine = float(expected @ texts[0] / np.linalg.norm(expected) / np.linalg.norm(texts[0]))
    assert hits.scores[0] == pytest.approx(cosine, abs=2e-3)


def test_hits_are_written_as_sounds_and_a_table(made: tuple[Path, Path], tmp_path: Path) -> None:
    archive = Archive(made[0])
    hits = find(archive, [0], [], 3)
    assert write_hits(archive, hits, tmp_path / "hits") == []
    table = pd.read_csv(tmp_path / "hits" / "hits.csv")
    assert list(table.columns) == ["score", "file", "start", "end", "site", "time", "sound"]
    for row in table.itertuples():
        wave, rate = soundfile.read(tmp_path / "hits" / row.sound, dtype="float32")
        original, _ = soundfile.read(made[1] / row.file, dtype="float32")
        assert rate == RATE
        assert np.allclose(wave, original, atol=1e-4)
    write_hits(archive, hits, tmp_path / "hits")  # again, over its own
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "notes.txt").write_text("mine")
    with pytest.raises(ArchiveError, match="holds other files"):
        write_hits(archive, hits, tmp_path / "own")
