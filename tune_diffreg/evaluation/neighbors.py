"""Nearest neighbours by blocked matrix products, exact where it matters, in bounded memory.

Candidates are found in float32 by ‖q‖² + ‖t‖² − 2 q·t, which is fast and loses digits where two
vectors almost agree; so a few more are kept than asked for, and theirs are computed anew in float64
from differences. A copy is at distance 0 exactly.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from tune_diffreg.images import Images

_CPU = torch.device("cpu")
_QUERIES = 1024
_TARGETS = 4096
_BYTES = 2**26
"""That a block of vectors, or of exact differences, may take at a time: large images come in
smaller blocks."""
_SPARE = 6
"""Candidates beyond those asked for, for ties that float32 cannot order."""


class Neighbors(NamedTuple):
    """The nearest targets of each query, nearest first.

    Attributes:
        distance: Euclidean, `(N, K) float64` on the CPU.
        target: which one, `(N, K) int64`.
    """

    distance: torch.Tensor
    target: torch.Tensor


class Targets:
    """Vectors to be found, in blocks.

    Args:
        vectors: `(M, ...)` of any dtype; may be mapped from a file.
        device: where products are computed.
    """

    def __init__(self, vectors: Images, device: torch.device = _CPU) -> None:
        self._vectors = vectors
        self._device = device
        # Float32 loses fewer digits about the middle.
        self._center = _rows(vectors[: self._at_once(_TARGETS)]).mean(dim=0).to(device)

    def nearest(
        self, queries: torch.Tensor, count: int, exclude: torch.Tensor | None = None
    ) -> Neighbors:
        """The `count` nearest targets of each query, or as many as there are.

        Args:
            queries: `(N, ...)`.
            exclude: a target that is not a query's neighbour (itself, say), `(N,)`.
        """
        count = min(count, len(self._vectors) - (exclude is not None))
        if exclude is None:
            exclude = torch.full((len(queries),), -1)
        at_once = self._at_once(_QUERIES)
        found = [
            self._exact(block, self._candidates(block, count + _SPARE, left_out), count)
            for block, left_out in zip(queries.split(at_once), exclude.split(at_once), strict=True)
        ]
        return Neighbors(*(torch.cat(part) for part in zip(*found, strict=True)))

    def _candidates(self, queries: torch.Tensor, count: int, exclude: torch.Tensor) -> torch.Tensor:
        """Targets that are nearest as float32 sees it, `(N, count)`; -1 where there is none."""
        q = _rows(queries.to(self._device)) - self._center
        closest = torch.full((len(q), count), torch.inf, device=self._device)
        index = torch.full((len(q), count), -1, device=self._device)
        at_once = self._at_once(_TARGETS)
        for start in range(0, len(self._vectors), at_once):
            t = _rows(self._vectors[start : start + at_once].to(self._device)) - self._center
            # The query's own length shifts a whole row and orders nothing.
            squared = torch.addmm(t.square().sum(dim=1), q, t.T, alpha=-2)
            (inside,) = ((exclude >= start) & (exclude < start + len(t))).nonzero(as_tuple=True)
            squared[inside, exclude[inside] - start] = torch.inf
            best = squared.topk(min(count, len(t)), dim=1, largest=False)
            numbers = torch.where(best.values.isinf(), -1, best.indices + start)
            closest, chosen = torch.cat([closest, best.values], dim=1).topk(
                count, dim=1, largest=False
            )
            index = torch.cat([index, numbers], dim=1).gather(1, chosen)
        return index.cpu()

    def _at_once(self, most: int) -> int:
        """How many vectors a block has, in float32."""
        return min(most, fitting(self._vectors, 4, _BYTES))

    def _exact(self, queries: torch.Tensor, candidates: torch.Tensor, count: int) -> Neighbors:
        """The nearest of the candidates by their differences in float64."""
        candidates = candidates.sort(dim=1).values  # equal distances in the order of the targets
        exact = queries.flatten(1).double()
        at_once = max(1, _BYTES // (8 * exact.shape[1] * candidates.shape[1]))
        distances = []
        for q, index in zip(exact.split(at_once), candidates.split(at_once), strict=True):
            found = self._vectors[index.clamp(min=0).flatten()].flatten(1).double()
            apart = found.view(*index.shape, -1) - q[:, None]
            lengths = torch.linalg.vector_norm(apart, dim=2)
            distances.append(lengths.where(index >= 0, torch.inf))
        distance, order = torch.cat(distances).sort(dim=1, stable=True)
        return Neighbors(distance[:, :count], candidates.gather(1, order)[:, :count])


def fitting(vectors: Images, item: int, budget: int) -> int:
    """How many of the vectors fit `budget` bytes, with numbers of `item` bytes; at least one."""
    return max(1, budget // (item * vectors.shape[1:].numel()))


def _rows(vectors: torch.Tensor) -> torch.Tensor:
    return vectors.flatten(1).float()
