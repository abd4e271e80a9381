"""A network of another team: an ONNX or LiteRT file from waves or spectrograms to embeddings, which stays as it is.

onnxruntime or LiteRT computes it on the CPU, without gradients. The file itself is a tensor of the network, so that a
saved classifier holds it among the weights, with their checksum.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hubbub.models.foreign_graph import ForeignGraph
from hubbub.models.litert_graph import is_litert
from hubbub.models.litert_trial import refuse_crashing
from hubbub.models.network import Network, NetworkError

__all__ = ["Foreign"]

#: The largest file [bytes], which is that of both formats.
LARGEST = 2**31 - 1


class Foreign(Network):
    """An ONNX or LiteRT file as a frozen network for segments of one size; `fc` takes its embeddings.

    `read` reads the file; a saved classifier holds it. The session is made when it is needed, and is not copied or
    sent to other processes.
    """

    graph: Tensor

    def __init__(
        self, num_classes: int, size: tuple[int, ...], rate_hz: int, output: str = "", dropout: float = 0.0
    ) -> None:
        super().__init__(dropout)
        self._size, self._rate_hz, self._output = size, rate_hz, output
        self._opened: ForeignGraph | None = None
        #: Draws the last layer, whose size the file says, as if it were drawn now.
        self._seed = int(torch.randint(2**31, ()))
        self.register_buffer("graph", torch.zeros(0, dtype=torch.uint8))
        self.fc = nn.Linear(1, num_classes)

    def read(self, file: Path) -> str:
        """Take the content of a file, checked, and a new last layer -> a report. Raises `NetworkError`."""
        try:
            if (size := file.stat().st_size) > LARGEST:
                raise NetworkError(
                    f"{file} has {size:,} bytes: ONNX and LiteRT files hold 2 GB. Give a smaller network."
                )
            content = file.read_bytes()
        except OSError as error:
            raise NetworkError(f"{file} cannot be read: {error.strerror}. Give a file that can be.") from error
        self._opened = opened = self._open(content, str(file))
        self.graph = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            self.fc = nn.Linear(opened.width, self.fc.out_features).to(self.fc.weight.device)
        return f"{file.name}: {opened.describe()}"

    @property
    def content(self) -> bytes:
        """The content of the file. Raises `NetworkError` where none was read."""
        if not len(self.graph):
            raise NetworkError("no ONNX or LiteRT file was read: network.weights names it, and load_weights reads it.")
        return self.graph.cpu().numpy().tobytes()

    @property
    def opened(self) -> ForeignGraph:
        """The graph, checked and ready to run."""
        if self._opened is None:
            self._opened = self._open(self.content, "the file in this classifier")
        return self._opened

    def _open(self, content: bytes, source: str) -> ForeignGraph:
        if is_litert(content):
            refuse_crashing(content, source, self._size, self._rate_hz, self._output)
        return ForeignGraph(content, source, self._size, self._rate_hz, self._output)

    @property
    def cam_layer(self) -> nn.Module:
        raise NetworkError("a file of another team has no gradients and no map.")

    def embed(self, x: Tensor) -> Tensor:
        return torch.from_numpy(self.opened.run(x.detach().float().cpu().numpy())).to(x.device)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": None}

    def _load_from_state_dict(self, state: dict[str, Tensor], prefix: str, *args: Any) -> None:
        """Takes a file and a last layer of other sizes than its own."""
        graph, weight = state.get(f"{prefix}graph"), state.get(f"{prefix}fc.weight")
        if graph is not None and graph.dim() == 1 and graph.shape != self.graph.shape:
            self.graph = torch.zeros_like(graph, device=self.graph.device)
        if weight is not None and weight.dim() == 2 and weight.shape[1] != self.fc.in_features:
            self.fc = nn.Linear(weight.shape[1], self.fc.out_features).to(self.fc.weight.device)
        self._opened = None
        super()._load_from_state_dict(state, prefix, *args)
