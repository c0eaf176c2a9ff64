"""Image sources, cut into three disjoint, hashed splits of uint8 tensors."""

from tune_diffreg.data.load import load_splits
from tune_diffreg.data.mapped import MappedImages
from tune_diffreg.data.splits import Splits, cut

__all__ = ["MappedImages", "Splits", "cut", "load_splits"]
