"""The texts of CLAP: its tower of texts, of the library transformers, and the tokenizer beside the checkpoint, which
the library `tokenizers` reads.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hubbub.models import checkpoint
from hubbub.models.checkpoint import CheckpointError
from hubbub.models.head import Array
from hubbub.models.hub_models import library_config, read_architecture, read_state

__all__ = ["embed_texts"]

TOKENIZER = "tokenizer.json"
#: The towers of texts in a checkpoint, and how far CLAP spreads the cosines of a sound with texts, as a logarithm.
_OF_TEXTS, _SCALE = ("text_model.", "text_projection."), "logit_scale_a"
#: Numbers of positions and types, which the network has anyway.
_OPTIONAL = ("text_model.embeddings.position_ids", "text_model.embeddings.token_type_ids")


def embed_texts(texts: Sequence[str], weights: Path) -> tuple[Array, float]:
    """The embeddings of texts `[K, 512]` by the checkpoint of a file of weights, and the scale of their cosines with
    sounds. Raises `CheckpointError` where it has no tower of texts, or no tokenizer."""
    folder = weights.parent
    config: Any = library_config(read_architecture(folder)["config"]).text_config
    from transformers import ClapTextModelWithProjection

    tower: Any = ClapTextModelWithProjection._from_config(config, dtype=torch.float32).eval()
    state = read_state(weights)
    own = {name: tensor for name, tensor in state.items() if name.startswith(_OF_TEXTS)}
    if not own or _SCALE not in state:
        raise CheckpointError(f"{folder} has no tower of texts, which labels need. Give a whole checkpoint of CLAP.")
    checkpoint.load(tower, own, source=weights.name, head=(), optional=_OPTIONAL)
    numbers, attended = _tokens(texts, folder, config)
    with torch.inference_mode():
        found = tower(input_ids=numbers, attention_mask=attended).text_embeds
    return found.numpy(), float(state[_SCALE].exp())


def _tokens(texts: Sequence[str], folder: Path, config: Any) -> tuple[Tensor, Tensor]:
    """The numbers of the tokens of each text `[K, N]`, and which of them are not padding."""
    from tokenizers import Tokenizer

    file = folder / TOKENIZER
    if not file.is_file():
        raise CheckpointError(f"{folder} has no {TOKENIZER}, which labels need. Fetch the whole checkpoint.")
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # it has no exceptions of its own
        raise CheckpointError(f"{file} is not a tokenizer ({error}). Fetch it again.") from error
    # Positions are counted from behind the padding's number.
    tokenizer.enable_truncation(config.max_position_embeddings - config.pad_token_id - 1)
    tokenizer.enable_padding(pad_id=config.pad_token_id)
    found = tokenizer.encode_batch(list(texts))
    return torch.tensor([one.ids for one in found]), torch.tensor([one.attention_mask for one in found])
