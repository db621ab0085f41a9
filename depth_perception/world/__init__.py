"""A simulated drive with exact truth: a street from a seed, its sensors by ray casting, shading in numpy."""
