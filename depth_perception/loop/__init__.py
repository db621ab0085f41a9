"""From last night's drives to this morning's model, unattended: nothing is promoted that is not proven better.

found     which bags are new
store     a directory of models: versions, the current one, promotion, rollback, status
held      the end of every drive is kept apart, and scored for ever
parts     what can be made better, and what each is judged by
verdict   whether a candidate is better, and if not, why
plan      what a run is to do
runs      those that a kill cut off, then the new one
stages    inspect, hold out, train, score, prove, promote; each is done once, and a killed run goes on where it was
"""

from depth_perception.loop.plan import Plan
from depth_perception.loop.runs import run
from depth_perception.loop.store import Outcome, Store

__all__ = ["Outcome", "Plan", "Store", "run"]
