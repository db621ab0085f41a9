"""`ros2 run depth_perception markings_node`: road markings, and those that are missing."""

from depth_perception.nodes.executable import run


def main() -> int:
    """Runs the node until it is told to stop."""
    return run("markings_node", ("markings",))


if __name__ == "__main__":
    raise SystemExit(main())
