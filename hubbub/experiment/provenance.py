"""Provenance of a run's figures: versions, machine, data and protocol."""

import hashlib
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubbub.classifier import event_thresholds
from hubbub.classifier.calibration import Confidence
from hubbub.config.titles import NETWORKS
from hubbub.data import splits
from hubbub.data.clips import SET_COLUMNS, Clips, Corrected
from hubbub.experiment.prepare import Prepared
from hubbub.report.results import Corrections, DataFacts, Environment, Machine, NetworkSize
from hubbub.runtime import files
from hubbub.runtime.processes import processor_name

if TYPE_CHECKING:
    from hubbub.models.network import Network

__all__ = ["classifier_card", "data_facts", "data_manifest", "environment_of"]

_LIBRARIES = ("torch", "lightning", "numpy", "scipy", "scikit-learn", "lightgbm", "soundfile", "soxr", "pandas")


def data_manifest(prepared: Prepared) -> str:
    """A hash of the clip table and the decoded content of each clip: other data have another hash."""
    clips = prepared.clips
    of_sets = SET_COLUMNS if clips.multilabel else ()
    table = clips.table[["clip", "start", "end", "label", "fold", "group", *of_sets]]
    text = table.assign(content=prepared.sound.contents).to_csv(index=False)
    timed = "" if clips.timed is None else clips.timed.drop(columns="path").to_csv(index=False)
    return hashlib.sha256((text + timed).encode()).hexdigest()


def environment_of(prepared: Prepared) -> Environment:
    """Versions, machine, data and protocol of a run."""
    import torch

    from hubbub.models.custom import fingerprint

    clips = prepared.clips
    return Environment(
        hubbub=metadata.version("hubbub"),
        python=platform.python_version(),
        libraries={name: metadata.version(name) for name in _LIBRARIES},
        machine=Machine(
            system=platform.platform(),
            processor=processor_name(),
            threads=torch.get_num_threads(),
            accelerator=torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        ),
        data=data_facts(clips, data_manifest(prepared), prepared.audit.warnings),
        weights={path.name: files.sha256(path) for path in _weights(prepared)},
        network=fingerprint(prepared.network, prepared.base.network) if prepared.network else {},
        size=_size(prepared.base.network),
        protocol=_describe_protocol(prepared),
        test_folds=[split.name for split in prepared.splits],
        why_not_comparable=prepared.why_not_comparable,
    )


def _size(network: "Network") -> NetworkSize:
    last = sum(p.numel() for p in network.fc.parameters())
    parameters = sum(p.numel() for p in network.parameters()) - last
    return NetworkSize(parameters=parameters, embedding=getattr(network.fc, "in_features", None))


def _weights(prepared: Prepared) -> list[Path]:
    """The files of published weights that a run uses: the network's and the teacher's."""
    from hubbub.models.hub_models import INDEX

    teacher = prepared.teacher.weights if prepared.teacher else None
    found = [path for path in (prepared.weights, teacher) if path]
    return [
        *found,
        *(shard for path in found if path.name == INDEX for shard in path.parent.glob("model-*.safetensors")),
    ]


def data_facts(clips: Clips, manifest: str, warnings: Sequence[str] = ()) -> DataFacts:
    """What a run records of its data set."""
    corrected = clips.corrected
    changed = {} if corrected is None else {"corrections": _corrections(corrected)}
    return DataFacts(
        name=clips.name,
        licence=clips.licence,
        citation=clips.citation,
        clips=len(clips),
        listed=clips.listed,
        missing=list(clips.missing),
        notes=list(clips.notes),
        warnings=list(warnings),
        manifest=manifest,
        **changed,
    )


def _corrections(corrected: Corrected) -> Corrections:
    return Corrections(
        file=corrected.file,
        corrected=len(corrected.given),
        removed=len(corrected.removed),
        confirmed=corrected.confirmed,
        undecided=corrected.undecided,
        given=dict(corrected.given),
    )


def classifier_card(prepared: Prepared, trained_on: str, confidence: Confidence) -> dict[str, Any]:
    """What a saved classifier says about its training data and its thresholds of events."""
    clips = prepared.clips
    events = event_thresholds.describe(prepared.recipe.evaluate, clips.labels, confidence.events)
    return {
        "trained_on": f"{clips.name}: {trained_on}{_describe_teacher(prepared)}",
        "not_comparable": prepared.why_not_comparable,
        "licence": clips.licence,
        "citation": clips.citation,
        "hubbub": metadata.version("hubbub"),
        **({"events": events} if events else {}),
    }


def _describe_teacher(prepared: Prepared) -> str:
    """Who taught, and on which unlabelled clips; empty without a teacher."""
    teacher, outputs = prepared.recipe.teacher, prepared.teacher
    if teacher is None or outputs is None:
        return ""
    first = outputs.pretrained
    return f"; taught by {NETWORKS[teacher.network]}" + (
        f", first on sounds made of {first.clips:,} clips of {first.name} without labels" if first else ""
    )


def _describe_folds(prepared: Prepared) -> str:
    protocol, clips = prepared.recipe.protocol, prepared.clips
    if protocol.kind == "logo":
        return "groups"
    if protocol.kind == "time":
        return f"stretches of one recording, {protocol.gap_s:g} s apart"
    return {"official": "official folds", "folders": "folds from folders"}.get(clips.fold_source, "folds of the data")


def _describe_protocol(prepared: Prepared) -> str:
    protocol, count = prepared.recipe.protocol, len(prepared.splits)
    chosen = "nothing chosen" if protocol.validation == "none" else "choices on the validation part"
    if protocol.kind == "fixed":
        train, val, test = ("+".join(part) for part in (protocol.train, protocol.val, protocol.test))
        sampled = "validate on a part of it, " if protocol.validation != "none" else ""
        words = f"train on folds {train}, " + (f"validate on {val}, " if val else sampled) + f"test on {test}"
    elif protocol.kind == "grouped":
        recordings = prepared.clips.table["group"].nunique()
        words = f"{count}-fold cross-validation over {recordings:,} recordings, stratified by class"
    elif protocol.kind in splits.ROTATING:
        words = f"{count} {_describe_folds(prepared)}, each the test part once"
    else:
        words = {"holdout": "grouped hold-out", "csv": "given split files"}[protocol.kind]
    tested = "no test part" if any(split.without_test for split in prepared.splits) else "test opened once"
    return f"{words}; {chosen}; {tested}"
