"""Makes the classifier that comes with hubbub from a finished run: `python -m benchmarks.ship runs/esc50-small`.

The folder `hubbub/models/shipped/small` gets the run's final classifier with its weights in half precision, the same
as an exported file, which takes its weights from there, and the text of docs/model-card.md.
"""

import argparse
import tempfile
from pathlib import Path

import torch

from hubbub.classifier.export import exported, sounds
from hubbub.classifier.load import load_torch
from hubbub.classifier.saved import NETWORK
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.errors import HubbubError
from hubbub.models.small import RATE_HZ, Small
from hubbub.runtime.shipped import FOLDER, LARGEST

MODEL_CARD = Path(__file__).parents[1] / "docs" / "model-card.md"


def ship(run: str | Path, folder: Path = FOLDER) -> dict[str, int]:
    """Writes the folder, whole or not at all -> the bytes of each of its files. Raises `HubbubError` where the run's
    classifier is not the backbone's network, or the files are too large."""
    model = load_torch(run)
    model.network.half().float()  # as it will be read again
    _refuse_other_network(model)
    model.card["model_card"] = MODEL_CARD.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as temporary:
        tried = model.save(Path(temporary) / "small", half=True)
        content = exported(model, sounds(model), beside=tried / NETWORK)
        model.save(tried, content, half=True)
        sizes = {file.name: file.stat().st_size for file in sorted(tried.iterdir())}
    if sum(sizes.values()) > LARGEST:
        raise HubbubError(f"the files have {sum(sizes.values()):,} bytes ({sizes}), and {LARGEST:,} are allowed.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    model.save(folder, content, half=True)
    return sizes


def _refuse_other_network(model: TorchClassifier) -> None:
    """Refuses a classifier whose embeddings the network `small` would not give."""
    noise = 0.1 * torch.randn(2, RATE_HZ, generator=torch.Generator().manual_seed(0))
    small = Small(len(model.labels)).eval()
    try:
        small.load_state_dict(model.network.state_dict())
        with torch.inference_mode():
            same = model.rate_hz == RATE_HZ and torch.equal(small.embed(noise), model.embeddings(noise))
    except RuntimeError:  # other tensors
        same = False
    if not same:
        raise HubbubError("hubbub/models/small.py has another network or front end than this run. Make them one.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder of a finished run of esc50-small")
    for name, size in ship(parser.parse_args().run).items():
        print(f"{FOLDER / name}: {size:,} bytes")


if __name__ == "__main__":
    main()
