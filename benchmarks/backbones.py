"""The published networks of the suite `frozen-backbones`, waves to embeddings, as many threads as cores.

    python -m benchmarks.backbones [--seconds 80] [--repeats 5] [--only NAME ...]

Each takes the segments of its recipe, side by side, with random weights, in single precision and in bf16. The figure is
times real time: seconds of sound in a second. The peer of all is YAMNet, in the same run.
"""

from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.measure import cores, emit, median_seconds, options, skip
from hubbub.errors import HubbubError
from hubbub.experiment import suite
from hubbub.models.network import Network
from hubbub.models.registry import build_network

BATCH, PEER = 8, "esc50-yamnet"


def embedding(network: Network, segments: torch.Tensor, precision: torch.dtype) -> Callable[[], object]:
    """A pass of all segments through a network, in batches."""

    def run() -> None:
        with torch.inference_mode(), torch.autocast("cpu", precision, enabled=precision != torch.float32):
            for batch in segments.split(BATCH):
                network.embed(batch)

    return run


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--seconds", type=float, default=80.0, help="sound in one pass")
    parser.add_argument("--only", nargs="+", default=[], help="recipes, instead of all of the suite")
    given = parser.parse_args()
    torch.set_num_threads(cores())
    names = [PEER, *given.only] if given.only else ["frozen-backbones"]
    works: dict[str, Callable[[], object]] = {}
    about = {}
    for planned in suite.runs_of(names, Path("runs"), settings=["network.weights=none"]):
        name, recipe = planned.folder.name, planned.recipe
        length = recipe.windows.length
        count = max(round(given.seconds * recipe.audio.rate_hz / length), 1)
        try:
            network = build_network(recipe, 10).eval()
        except HubbubError as error:
            skip(name, recipe.title, str(error).splitlines()[0])
            continue
        noise = torch.randn(count, length, generator=torch.Generator().manual_seed(0)) * 0.1
        for precision in (torch.float32, torch.bfloat16):
            works[f"{name} {precision}"] = embedding(network, noise, precision)
        about[name] = count * length / recipe.audio.rate_hz, sum(p.numel() for p in network.parameters())
    seconds = median_seconds(works, given.repeats)
    for name, (sound, parameters) in about.items():
        figures = {
            "hubbub": sound / seconds[f"{name} {torch.float32}"],
            "hubbub, bf16": sound / seconds[f"{name} {torch.bfloat16}"],
            "YAMNet": about[PEER][0] / seconds[f"{PEER} {torch.float32}"],
        }
        work = f"{name}: waves to embeddings, {parameters:,} parameters"
        emit(name, work, "x real time", figures, cores(), given.repeats)


if __name__ == "__main__":
    main()
