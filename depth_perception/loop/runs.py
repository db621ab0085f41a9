"""The loop's runs: first those that a kill cut off, then the new one."""

from __future__ import annotations

import dataclasses
import json
import time

from depth_perception import model
from depth_perception.loop.plan import Plan
from depth_perception.loop.stages import FAILURES, Run, Tell, ended, sentence
from depth_perception.loop.store import Outcome, Store


def run(store: Store, plan: Plan | None, *, tell: Tell) -> list[tuple[str, Outcome]]:
    """Goes on with what a killed loop left, then does `plan` (None: nothing new). Returns each run's name and outcome.

    The caller holds the store's lock. Raises BadInput only for what the caller asked wrongly.
    """
    done = []
    for folder in sorted(store.runs.iterdir()):
        if (folder / "plan.json").exists() and not (folder / "outcome.json").exists():
            tell(f"going on with {folder.name}, which was cut off")
            try:
                unfinished = Plan(**json.loads((folder / "plan.json").read_text()))
                taken = dict(unfinished.bags)
            except FAILURES as error:
                done.append((folder.name, ended(folder, Outcome("failed", f"{folder / 'plan.json'} cannot be read ({sentence(error)})"))))
                continue
            done.append((folder.name, Run(store, folder, unfinished, tell).finish()))
            if plan is not None:
                plan = dataclasses.replace(plan, bags={bag: files for bag, files in plan.bags.items() if taken.get(bag) != files})
    if plan is not None and plan.bags:
        # The count tells two runs of one second apart.
        folder = store.runs / f"{time.strftime('%Y_%m_%d-%H_%M_%S', time.gmtime())}-{len(list(store.runs.iterdir())):04d}"
        folder.mkdir()
        model.write_atomically(folder / "plan.json", model.as_json(dataclasses.asdict(plan)))
        done.append((folder.name, Run(store, folder, plan, tell).finish()))
    return done
