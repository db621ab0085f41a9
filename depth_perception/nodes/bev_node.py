"""`ros2 run depth_perception bev_node`."""

from depth_perception.nodes.executable import run


def main() -> int:
    """Runs the node until it is told to stop."""
    return run("bev_node", ("bev",))


if __name__ == "__main__":
    raise SystemExit(main())
