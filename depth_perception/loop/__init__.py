"""From last night's drives to this morning's model, unattended: nothing is promoted that is not proven better.

found     which bags are new
store     a directory of models: versions, the current one, promotion, rollback, status
held      the end of every drive is kept apart, and scored for ever
parts     what can be made better, and what each is judged by
verdict   whether a candidate is better, and if not, why
stages    inspect, hold out, train, score, prove, promote; each is done once, and a killed run goes on where it was
"""

from depth_perception.loop.stages import Plan, run
from depth_perception.loop.store import Outcome, Store

__all__ = ["Outcome", "Plan", "Store", "run"]
