"""The tiny checkpoint's face detector: scripted like the released one, called like it, and sure of skin colour only."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SkinFinder(nn.Module):
    """One box around the skin-coloured part of an image, in the released detector's format."""

    def forward(self, image: Tensor, grids: list[Tensor]) -> Tensor:  # noqa: ARG002  # the released one has them
        """Image [1, 3, h, w], RGB in 0..1; the released detector's cell grids are taken and not needed.

        Gives [1, 1, 16] in pixels: cx, cy, w, h, objectness, 5 landmark (x, y) pairs, class score.
        """
        red, green, blue = image[0, 0], image[0, 1], image[0, 2]
        light = 0.299 * red + 0.587 * green + 0.114 * blue
        redness = 0.5 * red - 0.419 * green - 0.081 * blue  # Cr, around 0
        blueness = 0.5 * blue - 0.169 * red - 0.331 * green  # Cb, around 0
        # lit skin: warm, but neither orange nor brown
        skin = ((redness > 0.047) & (redness < 0.145) & (light > 0.55) & (blueness > -0.118)).to(image.dtype)
        area = skin.sum().clamp(min=1.0)
        y = torch.arange(image.size(2), dtype=image.dtype, device=image.device)[:, None] + 0.5
        x = torch.arange(image.size(3), dtype=image.dtype, device=image.device)[None, :] + 0.5
        cx, cy = (skin * x).sum() / area, (skin * y).sum() / area
        # an evenly filled ellipse is 4 standard deviations wide; hair that counts as skin stretches it upward
        w = 3.4 * ((skin * (x - cx) ** 2).sum() / area).sqrt()
        h = 3.0 * ((skin * (y - cy) ** 2).sum() / area).sqrt()
        sure = 0.95 * (skin.mean() > 0.02).to(image.dtype)  # less of it than this is no face
        landmarks = [
            cx - 0.2 * w, cy - 0.1 * h, cx + 0.2 * w, cy - 0.1 * h, cx, cy + 0.1 * h,
            cx - 0.15 * w, cy + 0.3 * h, cx + 0.15 * w, cy + 0.3 * h,
        ]  # fmt: skip
        return torch.stack([cx, cy, w, h, sure] + landmarks + [torch.ones_like(cx)])[None, None]  # noqa: RUF005  # TorchScript
