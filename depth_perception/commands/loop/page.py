"""The page of a run of the loop: what was refused, learned, scored and decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from depth_perception.loop import Outcome


def page(folder: Any, outcome: Outcome) -> None:
    """RUN/report.html: what was refused, learned, scored and decided. Best effort: how it ended is said without it."""
    import json
    from contextlib import suppress

    from depth_perception.loop.parts import PARTS
    from depth_perception.report import page

    def read(stage: str) -> dict[str, Any]:
        with suppress(OSError, ValueError, TypeError):
            return dict(json.loads((folder / f"{stage}.json").read_text()))
        return {}

    tables: dict[str, list[list[Any]]] = {"Outcome": [["", ""], [outcome.kind, outcome.sentence]]}
    planned, inspected, held, scores = read("plan"), read("inspect"), read("held"), read("scores")
    measure = PARTS.get(planned.get("task", ""), PARTS["depth"]).measure
    rows = [[bag, "learned from" if stretch else "learned from, without truth"] for bag, stretch in held.get("held", {}).items()]
    rows += [[bag, "labelled source"] for bag in planned.get("source", [])]
    rows += [[bag, f"refused: {why}"] for bag, why in (inspected.get("refused", {}) | held.get("refused", {})).items()]
    tables["Drives"] = [["bag", ""], *rows]
    if judges := held.get("judges"):
        tables["Judged on"] = [["", ""], *([place, whose] for place, whose in judges.items())]
    if left_out := scores.get("left_out"):
        tables["Earlier stretches that cannot be scored any more, left out"] = [["stretch", ""], *map(list, left_out.items())]
    if stretches := scores.get("stretches"):
        pairs = [(measure.scores(each["before"]), measure.scores(each["after"])) for each in stretches]
        names = list(dict.fromkeys(name for before, _ in pairs for name in before))
        cells = [[each["name"], each.get("judge") or ("this run's" if each["new"] else "earlier"), *(
            told(one.get(name)) for name in names for one in both)] for each, both in zip(stretches, pairs, strict=True)]
        tables[f"{measure.name} on held-out stretches"] = [
            ["stretch", "", *(word for name in names for word in (f"{name} before", "after"))], *cells]
    if engines := read("proof").get("engines"):
        tables["Engines"] = [["network", "target", "precision", "MB", "sha256 of the ONNX"], *(
            [row["network"], row["target"], row["precision"], row["MB"], row["onnx_sha256"][:16]] for row in engines)]
    with suppress(OSError):
        page.write(folder / "report.html", title=f"loop {folder.name}", tables=tables, pictures=[], summary=planned)


def told(score: float | None) -> float | None:
    """NaN is nothing that a table shows."""
    return None if score is None or score != score else score
