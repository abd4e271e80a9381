"""hubbub export: a trained classifier as a file for where torch is not installed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from hubbub.cli.options import Debug, out

__all__ = ["export"]


def export(
    model: Annotated[str, typer.Argument(help="A run folder, a saved classifier, or 'yamnet'.")],
    to: Annotated[Literal["onnx"], typer.Option("--to", help="The file's format.")] = "onnx",
    file: Annotated[
        Path | None, typer.Option("--out", help="The file. Default: the model's name, here, e.g. demo.onnx.")
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Round to 8 bits: a quarter of the size; what it costs is measured.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Write a classifier as one ONNX file that needs no torch, compared with it on real clips.

    Example: hubbub export runs/demo --to onnx --out demo.onnx
    """
    from hubbub.classifier import export as room
    from hubbub.classifier.load import load_torch

    classifier = load_torch(model)
    place = file or Path(f"{Path(model).resolve().name}{'-int8' if int8 else ''}.{to}")
    clips = room.sounds(classifier, room.INT8_CLIPS if int8 else room.CLIPS)
    found = room.export(classifier, place, clips, int8=int8).exported
    for line in _in_words(place, found):
        out.print(line, soft_wrap=True)


def _in_words(place: Path, found: dict[str, Any]) -> Iterator[str]:
    yield f"{place}: {place.stat().st_size / 1e6:.1f} MB, ONNX opset {found['opset']}"
    yield f"largest difference on {found['clips']} clips of {found['of']}: {found['difference']:.1g}"
    if cost := found.get("int8"):
        same = cost["same_decision"]
        yield f"int8: {cost['rounded']} rounded; {same:.1%} of decisions on {cost['clips']} other clips are the same"
        if "accuracy" in cost:
            before, after = cost["accuracy_exact"], cost["accuracy"]
            yield f"accuracy there: {before:.4f} before, {after:.4f} after; some may be clips that it was trained on"
