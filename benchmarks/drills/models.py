"""A model of one's own that takes more memory at every step, as one with a leak does."""

from __future__ import annotations

from typing import Any

from diffusers import UNet2DModel


def unet(in_channels: int, sample_size: int, mib_a_step: int = 0) -> UNet2DModel:
    """A small U-Net; it keeps `mib_a_step` MiB more at each call."""
    model = UNet2DModel(
        sample_size=sample_size,
        in_channels=in_channels,
        out_channels=in_channels,
        block_out_channels=(16, 32),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=8,
    )
    if mib_a_step:
        kept: list[bytes] = []

        def leak(*_: Any) -> None:
            kept.append(b"\1" * (mib_a_step << 20))

        model.register_forward_pre_hook(leak)
    return model
