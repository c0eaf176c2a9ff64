"""What has to be there before a study can start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tune_diffreg.data import Splits
from tune_diffreg.data.image_folder import Progress
from tune_diffreg.diffusion import check_models
from tune_diffreg.errors import InputError
from tune_diffreg.evaluation import LEAST_IMAGES, near_copies
from tune_diffreg.results import versions
from tune_diffreg.results.provenance import study_sha256
from tune_diffreg.search.trial import Materials, load_materials
from tune_diffreg.study import Study


@dataclass(frozen=True)
class Preparation:
    """What has to be there before a search can start; making it finds most mistakes."""

    splits: Splits
    materials: Materials
    provenance: dict[str, str]
    duplicates: dict[str, int]
    near_copies: dict[str, int]
    """Held-out images, by split, that would count as copies of a training image."""


def prepare(
    study: Study,
    progress: Progress | None = None,
    references: Path | None = None,
    measuring: Progress | None = None,
) -> Preparation:
    """Loads the data and the reference; starts nothing.

    Args:
        progress: called with (images read, images in all).
        references: folder in which references are kept; None keeps none.
        measuring: called with (images that the reference knows of, images in all).

    Raises:
        InputError: the data or the extractor's weights cannot be used, or a split is too small.
    """
    resources = study.resources
    check_models(study.networks(), resources.memory if resources.gpu == 0 else None)
    splits, materials = load_materials(study, study.resources.cpu, progress, references, measuring)
    if study.confirmation is not None and len(splits.test) < LEAST_IMAGES:
        raise InputError(
            f"data.test: confirmation needs {LEAST_IMAGES} test images; there are "
            f"{len(splits.test)} (or leave it out with confirmation: null)"
        )
    extractor = materials.reference.extractor
    provenance = {
        "data_sha256": splits.digest,
        "features": extractor.name,
        "features_sha256": extractor.digest,
        "study_sha256": study_sha256(study),
        **versions(),
    }
    near = {"validation": materials.copies.near_copies}
    if study.confirmation is not None:
        near["test"] = near_copies(splits.train, splits.test[:])
    return Preparation(splits, materials, provenance, splits.duplicates(), near)
