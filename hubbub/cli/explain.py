"""`hubbub explain`: which parts of a recording make a class's score, as images and sounds."""

from pathlib import Path
from typing import Annotated

import typer

from hubbub.cli.options import Debug, Device, log_warnings, out

__all__ = ["explain"]

WORDS = {"original": "the recording", "listened": "the part that the model used", "rest": "the rest"}


def explain(
    model: Annotated[
        str, typer.Argument(help="A run folder, a saved or exported classifier, 'small', 'yamnet' or hf:ORG/NAME.")
    ],
    file: Annotated[Path, typer.Argument(help="A sound file; or an image or .npy file, if the model takes those.")],
    label: Annotated[
        str | None, typer.Option("--label", help="The class to explain. Default: the predicted one.")
    ] = None,
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Folder for images and sounds. Default: explanations/FILE.")
    ] = None,
    occlusion: Annotated[
        bool,
        typer.Option(
            "--occlusion", help="Remove patches of the sound, also where Grad-CAM is possible. Exported files: always."
        ),
    ] = False,
    device: Device = None,
    debug: Debug = False,
) -> None:
    """Explain which parts of a recording make a class's score, as images and sounds.

    Of a recording longer than 20 seconds, the three stretches in which the class is strongest are explained.

    Example: hubbub explain runs/demo street.wav
    """
    from hubbub.classifier.base import PRECOMPUTED
    from hubbub.classifier.load import is_exported, load, load_torch
    from hubbub.inference.formats import name_of
    from hubbub.inference.stretches import explain_strongest
    from hubbub.report.explanation import write_spectrogram_explanation, write_strongest

    device = device or "auto"
    scores_suffice = occlusion or is_exported(model)  # then nothing needs torch
    classifier = load(model, device=device) if scores_suffice else load_torch(model).to(device)
    folder = out_dir or Path("explanations") / file.stem
    if file.suffix.lower() in PRECOMPUTED:
        card = write_spectrogram_explanation(classifier, file, folder, label)
    else:
        card = write_strongest(classifier, explain_strongest(classifier, file, label, occlusion=occlusion), folder)
    out.print(f"{name_of(card['label'])}, by {card['method']}")
    for remark in card["remarks"]:
        out.print(remark, style="yellow", soft_wrap=True)
    log_warnings(file, card.get("warnings", ()))
    for name, scores in card["scores"].items():
        out.print(f"{scores[card['label']]:.3f}  {WORDS[name]}")
    for stretch in card.get("stretches", ()):
        out.print(f"{stretch['start']:.2f} to {stretch['end']:.2f} s, in {stretch['folder']}:")
        for name, scores in stretch["scores"].items():
            out.print(f"  {scores[card['label']]:.3f}  {WORDS[name].replace('recording', 'stretch')}")
    out.print(f"images and sounds: {folder}", soft_wrap=True)
