"""The ordinary training loop that hubbub is compared with: features computed once, DataLoader, single precision.

    python -m benchmarks.peers.plain_training FEATURES.npy TARGETS.npy THREADS EPOCHS

The network, batch size, loss and optimizer are those of `esc50-compact`; there is no augmentation. Prints the seconds
of each epoch.
"""

import sys
import time
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from hubbub.config.recipe import Recipe
from hubbub.config.train import Train
from hubbub.models.registry import build_network


def train(
    network: nn.Module, x: Tensor, y: Tensor, settings: Train, epochs: int, device: str = "cpu"
) -> Iterator[float]:
    """Trains a network on features `[S, ...]` and targets `[S]`: the seconds of each epoch."""
    loader = DataLoader(TensorDataset(x, y), batch_size=settings.batch_size, shuffle=True, pin_memory=device == "cuda")
    network = network.to(device).train()
    kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[settings.optimizer]
    optimizer = kind(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    loss_of = nn.CrossEntropyLoss(label_smoothing=settings.label_smoothing)
    for _ in range(epochs):
        began = time.perf_counter()
        for batch, labels in loader:
            optimizer.zero_grad()
            loss = loss_of(network(batch.to(device)), labels.to(device))
            loss.backward()
            optimizer.step()
        loss.item()  # waits for an accelerator
        yield time.perf_counter() - began


def main() -> None:
    features, targets, threads, epochs = sys.argv[1:]
    torch.set_num_threads(int(threads))
    recipe = Recipe.load("esc50-compact")
    x, y = torch.from_numpy(np.load(features)), torch.from_numpy(np.load(targets))
    network = build_network(recipe, int(y.max()) + 1)
    for seconds in train(network, x, y, recipe.train, int(epochs)):
        print(seconds, flush=True)


if __name__ == "__main__":
    main()
