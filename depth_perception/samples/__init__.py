"""Frames -> training batches: an image, its neighbours and its sparse depth, augmented so that K stays exactly true.

`Drives` holds what training needs in memory: small uint8 images and the LiDAR points inside each view. `Batches` cuts random
views out of them. The same (seed, step) gives the same batch on any run, so a resumed training sees what it would have seen.
"""

from depth_perception.samples.ahead import ahead
from depth_perception.samples.batches import Batches, held_out, unpacked
from depth_perception.samples.colour import recolour
from depth_perception.samples.config import SampleConfig
from depth_perception.samples.drives import Drive, Drives, NothingToLearn
from depth_perception.samples.view import View, full_view, random_view

__all__ = [
    "Batches", "Drive", "Drives", "NothingToLearn", "SampleConfig", "View", "ahead", "full_view", "held_out", "random_view", "recolour",
    "unpacked",
]
