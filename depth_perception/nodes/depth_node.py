"""`ros2 run depth_perception depth_node`."""

from depth_perception.nodes.executable import run


def main() -> int:
    """Runs the node until it is told to stop."""
    return run("depth_node", ("depth",))


if __name__ == "__main__":
    raise SystemExit(main())
