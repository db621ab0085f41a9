"""`ros2 run depth_perception drive`: all systems in one process; each frame is decoded and looked at once."""

from depth_perception.nodes.executable import run


def main() -> int:
    """Runs the node until it is told to stop."""
    return run("drive", ("depth", "odometry", "bev"))


if __name__ == "__main__":
    raise SystemExit(main())
