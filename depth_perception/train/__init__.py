"""Training: one loop (`fit`), a recipe per method, and the metrics."""
