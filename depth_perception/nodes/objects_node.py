"""`ros2 run depth_perception objects_node`: boxes around cars, people and cyclists."""

from depth_perception.nodes.executable import run


def main() -> int:
    """Runs the node until it is told to stop."""
    return run("objects_node", ("objects",))


if __name__ == "__main__":
    raise SystemExit(main())
