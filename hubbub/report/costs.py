"""The times of a run, from those of its cells."""

from collections.abc import Sequence

from hubbub.report.results import EmbedSeconds, Seconds

__all__ = ["run_seconds"]


def run_seconds(cells: Sequence[Seconds], test_folds: int) -> Seconds:
    """The times of a run with this number of test folds; each cell's are as if it had computed its embeddings alone.

    The cells share one computation of the embeddings: it counts once in `fit` and once in `total`. With several test
    folds every clip is in the training or validation part of one of them; with one, those of the test part are not.
    """
    embedded = [one.embed for one in cells if one.embed]
    predict = sum(one.predict for one in cells)
    after_fit = sum(one.fit - (one.embed.fit if one.embed else 0) for one in cells)
    after_predict = predict - sum(one.predict for one in embedded)
    if not embedded:
        return Seconds(fit=after_fit, predict=predict, total=after_fit + predict)
    every_clip = max(one.fit + one.predict for one in embedded)
    trained = every_clip if test_folds > 1 else max(one.fit for one in embedded)
    embed = EmbedSeconds(fit=trained, predict=predict - after_predict, computed=max(one.computed for one in embedded))
    return Seconds(fit=trained + after_fit, predict=predict, total=every_clip + after_fit + after_predict, embed=embed)
