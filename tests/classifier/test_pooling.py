"""pooling: rows that come a few at a time are pooled as exactly as all at once."""

import numpy as np

from hubbub.classifier import pooling


def test_a_day_of_segments_is_pooled_as_exactly_as_a_minute() -> None:
    """Sums in single precision would drift: 180,000 segments of a probability near .1."""
    rows = np.random.default_rng(0).uniform(0.0999, 0.1001, (180_000, 3)).astype(np.float32)
    pool = pooling.RunningPool("mean+max")
    for part in np.array_split(rows, 1000):
        pool.add(part)
    exact = np.concatenate([rows.mean(axis=0, dtype=np.float64), rows.max(axis=0)])
    np.testing.assert_allclose(pool.pooled()[0], exact, rtol=1e-7)
    np.testing.assert_allclose(pooling.pool_embeddings(rows, [0], "mean+max")[0], exact, rtol=1e-7)
