"""From the `data` section of a study file to its splits."""

from __future__ import annotations

from tune_diffreg.data.cifar10 import cifar10
from tune_diffreg.data.digits import digits_pool
from tune_diffreg.data.image_folder import Progress, image_folder
from tune_diffreg.data.splits import Splits, cut
from tune_diffreg.errors import InputError
from tune_diffreg.files import user_path
from tune_diffreg.images import Images
from tune_diffreg.study import Data, Model


def load_splits(data: Data, model: Model, progress: Progress | None = None) -> Splits:
    """The splits of a study, at the size and with the channels of its model.

    Raises:
        InputError: the source is absent, unreadable, of another size, or too small.
    """
    channels, size = model.in_channels, model.sample_size
    if data.source == "digits":
        images: Images = digits_pool()
    elif data.source == "cifar10":
        images = cifar10(user_path(data.path or ""))
    else:
        cache = user_path(data.cache) if data.cache else None
        images = image_folder(user_path(data.path or ""), channels, size, progress, cache)
    if tuple(images.shape[1:]) != (channels, size, size):
        found = "x".join(map(str, images.shape[1:]))
        raise InputError(
            f"data.source {data.source}: images are {found}, but the model takes "
            f"{channels}x{size}x{size} (model.in_channels, model.sample_size)"
        )
    return cut(images, data.train, data.validation, data.test, data.seed)
