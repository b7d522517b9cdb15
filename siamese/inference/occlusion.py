"""Occlusion maps: which ink made two pictures look alike or different."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from siamese.inference.encoder import Encoder

PATCH_PX, PATCH_STEP_PX = 17, 10  # side of a patch, about three pen widths, and distance between patches


def occlusion_maps(
    encoder: Encoder, pictures: Float[Tensor, "2 1 105 105"]
) -> tuple[Float[Tensor, "105 105"], Float[Tensor, "105 105"]]:
    """Computes how much each pixel of ink counts for sameness (above 0) or against it (below 0).

    This is the decrease of the logit when a patch of ink is erased, averaged over the patches that contain the pixel,
    times the ink there. The pictures are not cached.

    Args:
        encoder: Compares the two.
        pictures: Two prepared pictures, ink 1 on paper 0.

    Returns:
        A map for each picture; the largest magnitude over both is 1.

    Source:
        Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks" (2014), section 4.2.
    """
    patches = [ink_patches(picture) for picture in pictures]
    wiped = [picture * ~patch[:, None] for picture, patch in zip(pictures, patches, strict=True)]
    embeddings = encoder.embed(torch.cat([pictures, *wiped]), remember=False)
    whole, *parts = embeddings.split([2, *map(len, patches)])
    logit = encoder.compare(whole[:1], whole[1:])
    maps = []
    for picture, patch, part, other in zip(pictures, patches, parts, whole.flip(0), strict=True):
        loss = logit - encoder.compare(part, other.expand_as(part))
        mean = (patch * loss[:, None, None]).sum(0) / patch.sum(0).clamp(min=1)
        maps.append(mean * picture[0])
    largest = max(one.abs().max() for one in maps).clamp(min=1e-12)
    return maps[0] / largest, maps[1] / largest


def ink_patches(picture: Float[Tensor, "1 105 105"]) -> Bool[Tensor, "patches 105 105"]:
    """Returns masks of the patches that contain ink, about 50 of them."""
    size = picture.shape[-1]
    places = torch.arange(size)
    bands = (places - torch.arange(0, size + PATCH_STEP_PX, PATCH_STEP_PX)[:, None]).abs() <= PATCH_PX // 2
    patches = (bands[:, None, :, None] & bands[None, :, None, :]).flatten(0, 1)
    return patches[(patches * picture).sum((1, 2)) > 1]
