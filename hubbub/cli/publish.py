"""`hubbub publish`: a trained classifier on the Hugging Face hub."""

from pathlib import Path
from typing import Annotated

import typer

from hubbub.cli.options import Debug, out

__all__ = ["publish"]


def publish(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    name: Annotated[str, typer.Argument(help="ORG/NAME on the hub.")],
    private: Annotated[bool, typer.Option("--private/--public", help="Who may see it.")] = True,
    debug: Debug = False,
) -> None:
    """Publish a run's classifier on the Hugging Face hub, with a card that has its figures and caveats.

    The token is HF_TOKEN, from the environment or from a file .env. The name that is printed loads the classifier
    anywhere: hubbub classify street.wav --model hf:ORG/NAME@COMMIT

    Example: hubbub publish runs/mine me/birds --private
    """
    from hubbub.experiment.publish import publish as publish_run

    out.print(publish_run(run, name, private=private), soft_wrap=True)
