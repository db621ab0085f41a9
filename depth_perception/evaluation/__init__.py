"""Scores of what the systems say, against LiDAR, true depth and reference poses."""
