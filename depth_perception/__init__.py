"""A car records its drives, learns depth, ego-motion and bird's-eye view from them, and drives with the result."""

__version__ = "0.1.0"
