"""Nearest neighbours against scikit-learn, on ties, copies and in bounded memory."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from tune_diffreg.evaluation import Targets
from tune_diffreg.evaluation.manifold import NEIGHBORS, manifold_scores, radii


def images(count: int, seed: int, side: int = 12) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, side, side), generator=draw).to(torch.uint8)


@pytest.mark.parametrize(
    ("queries", "targets", "count"), [(50, 300, 2), (1100, 4200, 3), (3, 2, 2)]
)
def test_equals_scikit_learn(queries: int, targets: int, count: int) -> None:
    q, t = images(queries, 1), images(targets, 2)
    found = Targets(t).nearest(q, count)
    plain = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(t.flatten(1).double())
    distance, target = plain.kneighbors(q.flatten(1).double())
    torch.testing.assert_close(found.distance, torch.from_numpy(distance), rtol=1e-12, atol=1e-9)
    assert torch.equal(found.target, torch.from_numpy(target))


def test_copies_and_near_copies_among_bright_images_have_exact_distances() -> None:
    base = images(1, 1).int().clamp(min=200).expand(500, -1, -1, -1).clone()
    base[torch.arange(500), 0, 0, 0] = (
        torch.arange(500, dtype=torch.int32) % 256
    )  # images that differ in one pixel
    targets = base.to(torch.uint8)
    found = Targets(targets).nearest(targets[:250], 2)
    assert torch.equal(found.distance[:, 0], torch.zeros(250, dtype=torch.float64))
    assert found.distance[:, 1].max() <= 1


def test_what_is_excluded_is_not_found_and_too_many_are_not_asked_for() -> None:
    t = images(40, 3)
    itself = torch.arange(40)
    found = Targets(t).nearest(t, 100, exclude=itself)
    assert found.distance.shape == (40, 39)
    assert not (found.target == itself[:, None]).any()
    assert found.distance.min() > 0


def test_the_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    from tune_diffreg.evaluation import neighbors

    q, t = images(70, 1), images(90, 2)
    whole = Targets(t).nearest(q, 2)
    for queries, targets, size in ((7, 11, 2**26), (1024, 4096, 1), (1024, 4096, 5000)):
        monkeypatch.setattr(neighbors, "_QUERIES", queries)
        monkeypatch.setattr(neighbors, "_TARGETS", targets)
        monkeypatch.setattr(neighbors, "_BYTES", size)
        parts = Targets(t).nearest(q, 2)
        assert torch.equal(whole.distance, parts.distance)
        assert torch.equal(whole.target, parts.target)


@pytest.mark.slow
@pytest.mark.parametrize(("train", "side", "queries"), [(50_000, 32, 1000), (4200, 128, 64)])
def test_many_images_and_large_ones_take_little_memory(train: int, side: int, queries: int) -> None:
    program = f"""
import resource, torch
from tune_diffreg.evaluation import Targets
train = torch.randint(0, 256, ({train}, 3, {side}, {side}), dtype=torch.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
Targets(train).nearest(train[:{queries}], 2)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 0.8  # GiB beyond the images themselves


def test_radii_and_manifold_scores_are_those_of_their_definitions() -> None:
    draw = torch.Generator().manual_seed(0)
    real, generated = (torch.randn(n, 4, generator=draw, dtype=torch.float64) for n in (60, 45))
    generated *= 1.3
    apart = torch.cdist(real, real).sort(dim=1).values
    expected_radii = apart[:, NEIGHBORS]  # the first is itself
    torch.testing.assert_close(radii(real), expected_radii)
    inside = torch.cdist(real, generated) <= expected_radii[:, None]
    own = torch.cdist(generated, generated).sort(dim=1).values[:, NEIGHBORS]
    found = manifold_scores(real, radii(real), generated)
    assert found.precision == pytest.approx(inside.any(0).double().mean().item())
    assert found.coverage == pytest.approx(inside.any(1).double().mean().item())
    assert found.density == pytest.approx(inside.sum().item() / NEIGHBORS / 45)
    recalled = (torch.cdist(generated, real) <= own[:, None]).any(0)
    assert found.recall == pytest.approx(recalled.double().mean().item())


def test_a_distance_that_is_a_radius_counts_as_inside() -> None:
    """Generated images that are the real ones lie on the edges of balls, where products round."""
    draw = torch.Generator().manual_seed(0)
    real = torch.randn(200, 64, generator=draw, dtype=torch.float64) + 100
    order = torch.randperm(200, generator=draw)
    found = manifold_scores(real, radii(real), real[order])
    # Each ball holds itself and its 5 nearest.
    assert found.density == pytest.approx((NEIGHBORS + 1) / NEIGHBORS, rel=1e-12)


@pytest.mark.slow
def test_thousands_of_long_features_take_seconds() -> None:
    """Differences of all pairs took six; others work on the machine too, so the bound is loose."""
    draw = torch.Generator().manual_seed(0)
    real, generated = (torch.randn(n, 2048, generator=draw) for n in (2000, 1000))
    around = radii(real)
    start = time.process_time()
    manifold_scores(real, around, generated)
    assert time.process_time() - start < 3


def test_equal_sets_score_1() -> None:
    same = torch.randn(100, 8, dtype=torch.float64)
    found = manifold_scores(same, radii(same), same)
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)
    assert found.density > 1
