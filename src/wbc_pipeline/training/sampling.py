"""Which rows make up each batch of an epoch."""

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler


def derive_seed(*numbers: int) -> int:
    """Mix numbers, such as seed, stage and epoch, into one seed of 32 bits."""
    # with their count, as SeedSequence takes (1, 2) and (1, 2, 0) for one
    return int(np.random.SeedSequence((len(numbers), *numbers)).generate_state(1)[0])


class RowBatches(Sampler[Tensor]):
    """Batches of row numbers: in order, shuffled, or drawn with replacement by weight.

    The order depends only on `seed` and the epoch, so that a resumed training sees what an
    uninterrupted one would have. Each of several processes gets an equal share; a few rows repeat
    where they do not divide evenly. Unless in order, a last batch that is not full is dropped if it
    is not the only one: a single image has no batch statistics.

    Parameters
    ----------
    rows
        Row numbers, int64 [M].
    batch_size
        Rows per batch in one process.
    seed
        Numbers to derive the order from; None for the given order.
    weights
        Draws rows with replacement in proportion to these, float64 [M]; None for each row once.
    rank, processes
        This process's number among all.
    """

    def __init__(
        self,
        rows: Tensor,
        *,
        batch_size: int,
        seed: tuple[int, ...] | None = None,
        weights: Tensor | None = None,
        rank: int = 0,
        processes: int = 1,
    ):
        self.rows = rows
        self.batch_size = batch_size
        self.seed = seed
        self.weights = weights
        self.rank = rank
        self.processes = processes
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls it before each."""
        self.epoch = epoch

    def __len__(self) -> int:
        share = -(-len(self.rows) // self.processes)
        full, rest = divmod(share, self.batch_size)
        return full if full and self.seed is not None else full + bool(rest)

    def __iter__(self) -> Iterator[Tensor]:
        order = self.rows[self._order()]
        missing = -len(order) % self.processes
        share = torch.cat([order, order[:missing]])[self.rank :: self.processes]
        yield from share.split(self.batch_size)[: len(self)]

    def _order(self) -> Tensor:
        if self.seed is None:
            return torch.arange(len(self.rows))
        generator = torch.Generator().manual_seed(derive_seed(*self.seed, self.epoch))
        if self.weights is None:
            return torch.randperm(len(self.rows), generator=generator)
        return torch.multinomial(self.weights, len(self.rows), True, generator=generator)

    def loader(self) -> DataLoader:
        """Wrap the batches as Lightning wants them, without touching the global random state."""
        return DataLoader(_Same(), sampler=self, batch_size=None, generator=torch.Generator())


class _Same(Dataset):
    def __getitem__(self, rows: Tensor) -> Tensor:
        return rows


def balancing_weights(*levels: np.ndarray) -> Tensor:
    """Weight rows such that each group is equally likely, and in it each group of the next level.

    Parameters
    ----------
    levels
        Group of each row, [M], from the outermost level to the innermost.

    Returns
    -------
    Tensor
        Weights of the rows, float64 [M]; of one level, the inverse of the group's size.

    Examples
    --------
    >>> balancing_weights(np.array(["a", "a", "b"])).tolist()
    [0.5, 0.5, 1.0]
    >>> classes, sources = np.array(["a", "a", "a", "b"]), np.array([1, 1, 2, 3])
    >>> balancing_weights(classes, sources).tolist()
    [0.25, 0.25, 0.5, 1.0]
    """
    rows = np.arange(len(levels[0]))
    table = pd.DataFrame(dict(enumerate([*levels, rows])))
    shares = (
        table.groupby([*range(depth)])[depth].transform("nunique")
        for depth in range(1, len(levels) + 1)
    )
    return torch.from_numpy(1 / math.prod(shares).to_numpy(float))
