"""Publish the classifier of a run on the Hugging Face hub: its saved folder and a card, in one commit."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.filesize import decimal

from hubbub.classifier.load import HUB, folder_of
from hubbub.classifier.publishable import publishable
from hubbub.classifier.saved import CARD, is_part
from hubbub.data.hub.build import non_commercial
from hubbub.experiment.bench import print_line
from hubbub.report import run_folder
from hubbub.report.caveats import read_first, tags
from hubbub.report.model_card import PAGE, model_card
from hubbub.report.reading import ReportError
from hubbub.report.run import Run
from hubbub.runtime import hub
from hubbub.runtime.hub import Repository

__all__ = ["publish"]


def publish(run: Run | str | Path, name: str, *, private: bool = True, quiet: bool = False) -> str:
    """Publishes the final classifier of a finished run as the model ORG/NAME on the Hugging Face hub; returns the name
    by which `hubbub.load` fetches it, `hf:ORG/NAME@COMMIT`.

    Its saved folder and a card are uploaded in one commit, which replaces an earlier publication; folders of this
    machine are left out of the recipe. What will be uploaded is said before, on standard error, unless `quiet`. Only
    the owners of ORG see a `private` model. The token is `HF_TOKEN`, of the environment or a file `.env`. Raises
    `HubbubError`.
    """
    folder = (run if isinstance(run, Run) else Run(run)).folder
    hub.check_name(name)
    if run_folder.read_environment(folder).scored:
        raise ReportError(f"{folder} holds scored predictions: hubbub trained no classifier that could be published.")
    repository = Repository("model", name)
    with publishable(folder_of(folder)) as saved:
        contents: dict[str, Path | bytes] = {one.name: one for one in sorted(saved.iterdir()) if is_part(one.name)}
        contents[PAGE] = model_card(folder, name).encode()
        if not quiet:
            for line in _describe(folder, repository, contents, private):
                print_line(line)
        commit = hub.publish(repository, contents, private=private, mark=CARD, replaced=is_part)
    return f"{HUB}{name}@{commit}"


def _describe(
    folder: Path, repository: Repository, contents: Mapping[str, Path | bytes], private: bool
) -> Iterator[str]:
    """What will be uploaded, its licence, and what belongs beside its figures."""
    yield f"{folder} is published as {repository.address}, {'private' if private else 'public'}:"
    for name, content in contents.items():
        yield f"  {name}, {decimal(len(content) if isinstance(content, bytes) else content.stat().st_size)}"
    summary, environment = run_folder.read_summary(folder), run_folder.read_environment(folder)
    licence = environment.data.licence or "not stated"
    yield f"licence of the recordings: {licence}{'; not for commercial use' if non_commercial(licence) else ''}"
    if lines := read_first(summary, environment):
        yield f"its card begins with: {tags(lines)}"
