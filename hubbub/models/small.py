"""The network of the classifier that comes with the package, with its front end inside: the backbone `small`.

Its weights are the shipped file's, which depend on the front end of the recipe `esc50-small`.
"""

from torch import Tensor, nn

from hubbub.audio.logmel import LogMel, log_mel
from hubbub.models.cnn import Compact

__all__ = ["CLASSES", "RATE_HZ", "Small"]

RATE_HZ = 22_050
#: ESC-50's, which the shipped weights are for.
CLASSES = 50
HOP, N_MELS = 448, 64


class Small(Compact):
    """Waves `[B, T]` at 22,050 Hz in [-1, 1] -> embeddings `[B, 256]`, logits `[B, num_classes]`; `Compact` behind its
    log-mel spectrogram. Waves that are too short are padded with zeros."""

    def __init__(self, num_classes: int = CLASSES, dropout: float = 0.0) -> None:
        super().__init__(num_classes, N_MELS, dropout=dropout)
        self.frontend = LogMel(RATE_HZ, 1024, hop=HOP, n_mels=N_MELS, f_min_hz=50.0)

    def positions(self, seconds: Tensor, hz: Tensor, samples: int) -> tuple[Tensor, Tensor]:
        frames = self.frontend.frames(max(samples, self._shortest))
        return self.frontend.columns(seconds, frames) / frames, self.frontend.rows(hz) / N_MELS

    def embed(self, x: Tensor) -> Tensor:
        """Waves `[B, T]` -> embeddings `[B, 256]`."""
        if x.shape[-1] < self._shortest:
            x = nn.functional.pad(x, (0, self._shortest - x.shape[-1]))
        return super().embed(log_mel(self.frontend, x))

    @property
    def _shortest(self) -> int:
        """The samples of the fewest frames that the blocks take."""
        return (self.SMALLEST - 1) * HOP
