"""`hubbub export`: write a trained classifier to a file that needs no torch."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from hubbub.cli.options import Debug, out

__all__ = ["export"]


def export(
    model: Annotated[str, typer.Argument(help="A run folder, a saved classifier, 'small', 'yamnet' or hf:ORG/NAME.")],
    to: Annotated[Literal["onnx"], typer.Option("--to", help="The format.")] = "onnx",
    file: Annotated[
        Path | None, typer.Option("--out", help="The file. Default: the model's name in this folder, e.g. demo.onnx.")
    ] = None,
    int8: Annotated[
        bool,
        typer.Option("--int8", help="Quantise to 8 bits: a quarter of the size. The loss of accuracy is measured."),
    ] = False,
    debug: Debug = False,
) -> None:
    """Write a classifier to an ONNX file that needs no torch, and compare both on real clips.

    Example: hubbub export runs/demo --to onnx --out demo.onnx
    """
    from hubbub.classifier.export import CLIPS, INT8_CLIPS, sounds
    from hubbub.classifier.export import export as export_onnx
    from hubbub.classifier.load import is_on_hub, load_torch

    classifier = load_torch(model)
    stem = model.rpartition("/")[2].partition("@")[0] if is_on_hub(model) else Path(model).resolve().name
    target = file or Path(f"{stem}{'-int8' if int8 else ''}.{to}")
    clips = sounds(classifier, INT8_CLIPS if int8 else CLIPS)
    found = export_onnx(classifier, target, clips, int8=int8).exported
    for line in _describe(target, found):
        out.print(line, soft_wrap=True)


def _describe(file: Path, found: dict[str, Any]) -> Iterator[str]:
    yield f"{file}: {file.stat().st_size / 1e6:.1f} MB, ONNX opset {found['opset']}"
    yield f"largest difference on {found['clips']} clips of {found['of']}: {found['difference']:.1g}"
    if cost := found.get("int8"):
        same = cost["same_decision"]
        yield (
            f"int8: {cost['rounded']} of {cost['layers']} layers rounded; cosine of embeddings {cost['cosine']:.4f}; "
            f"{same:.1%} of predictions on {cost['clips']} other clips are the same"
        )
        if "accuracy" in cost:
            before, after = cost["accuracy_exact"], cost["accuracy"]
            yield f"accuracy there: {before:.4f} before, {after:.4f} after; it may have been trained on some of them"
