"""The ordinary training loop that hubbub is compared with: features computed once, DataLoader, single precision.

    python -m benchmarks.peers.plain_training FEATURES.npy TARGETS.npy THREADS EPOCHS

The network, batch size, loss and optimizer are those of `esc50-compact`; there is no augmentation. Prints the seconds
of each epoch.
"""

import sys
import time

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

from hubbub.config.recipe import Recipe
from hubbub.models.registry import build_network


def main() -> None:
    features, targets, threads, epochs = sys.argv[1:]
    torch.set_num_threads(int(threads))
    recipe = Recipe.load("esc50-compact")
    settings = recipe.train
    x, y = torch.from_numpy(np.load(features)), torch.from_numpy(np.load(targets))
    loader = DataLoader(TensorDataset(x, y), batch_size=settings.batch_size, shuffle=True)
    network = build_network(recipe, int(y.max()) + 1).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    loss_of = torch.nn.CrossEntropyLoss(label_smoothing=settings.label_smoothing)
    for _ in range(int(epochs)):
        began = time.perf_counter()
        for batch, labels in loader:
            optimizer.zero_grad()
            loss_of(network(batch), labels).backward()
            optimizer.step()
        print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()
