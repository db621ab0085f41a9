"""What a bag holds, and what it is fit for: findings as plain values, nothing of how they are shown."""

from depth_perception.inspection.findings import Config, inspect
from depth_perception.inspection.fitness import fitness
from depth_perception.inspection.problems import POISON, problems

__all__ = ["POISON", "Config", "fitness", "inspect", "problems"]
