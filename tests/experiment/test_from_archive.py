"""A run on the labels of an archive: from segments to a classifier, and to figures that its predictions give."""

from pathlib import Path

import hubbub
from hubbub.archive.archive import Archive
from hubbub.report.verify import verify
from tests.helpers.archives import RATE, label, tone_archive, tones


def test_what_was_labelled_trains_a_classifier_whose_figures_hold(tmp_path: Path) -> None:
    place, _ = tone_archive(tmp_path, 4)
    archive = Archive(place)
    label(archive, [(n, Path(archive.place(n).path).stem.split("-")[0], "yes") for n in range(len(archive.here))])
    settings = {"head.c": [0.1], "data.group": "file"}
    run = hubbub.train(place, backbone="small", settings=settings, quick=True, out=tmp_path / "runs", quiet=True)
    assert run.summary.clips and verify(run.folder) == []
    assert run.classifier.classify(tones("high", 2.0, seed=9), RATE).label == "high"
