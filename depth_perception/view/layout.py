"""Where what stands in the browser: the camera's pictures left, the world in the middle, figures right."""

from __future__ import annotations

from collections.abc import Sequence

import rerun.blueprint as rrb

from depth_perception.view.scene import CAMERA, CAR, TIMELINE

# From an image's arrival to an answer, and the network's share; the other stages have a tab of their own.
WHOLE = ("total", "odometry_total", "bev_total", "engine")
# What lies on the road and stands on it, drawn into the camera's picture as well.
OVER_IMAGE = [f"{CAMERA}/image/**", f"{CAR}/objects", f"{CAR}/polygons"]


def layout(nodes: Sequence[str]) -> rrb.Blueprint:
    """The blueprint of every view; it shows the newest moment. nodes: those whose latencies there are."""
    pictures = rrb.Vertical(
        rrb.Spatial2DView(origin=f"{CAMERA}/image", contents=OVER_IMAGE, name="Camera, objects, markings"),
        rrb.Spatial2DView(origin=f"{CAMERA}/depth", contents="$origin/**", name="Depth, 0 to 80 m"),
        rrb.Spatial2DView(origin=f"{CAMERA}/confidence", contents="$origin/**", name="Confidence, white is sure"),
        name="Pictures",
    )
    behind = rrb.EyeControls3D(position=(-14.0, 0.0, 9.0), look_target=(10.0, 0.0, 0.0), eye_up=(0.0, 0.0, 1.0))
    above = rrb.EyeControls3D(position=(16.0, 0.0, 55.0), look_target=(16.1, 0.0, 0.0), eye_up=(1.0, 0.0, 0.0))
    whole = rrb.EyeControls3D(position=(-40.0, -40.0, 60.0), look_target=(20.0, 0.0, 0.0), eye_up=(0.0, 0.0, 1.0))
    flat = [f"- {CAMERA}/depth/**", f"- {CAMERA}/confidence/**"]
    world = rrb.Vertical(
        rrb.Spatial3DView(origin=CAR, contents=["+ world/**", f"- {CAR}/grid", *flat], name="Behind the car", eye_controls=behind,
                          line_grid=False),
        rrb.Tabs(
            rrb.Spatial3DView(origin=CAR, contents=[f"+ {CAR}/**", f"- {CAMERA}/**", f"- {CAR}/lidar"], name="From above: cloud and grid",
                              eye_controls=above, line_grid=False),
            rrb.Spatial3DView(origin="world", contents=["+ world/trajectory/**", f"+ {CAR}", "+ map/**"], name="Trajectory",
                              eye_controls=whole),
        ),
        row_shares=[3, 2],
        name="World",
    )
    whole_times = [f"latency/{node}/{name}" for node in nodes for name in WHOLE]
    figures = rrb.Vertical(
        rrb.Tabs(
            rrb.TimeSeriesView(origin="latency", contents=whole_times, name="Latency, ms"),
            rrb.TimeSeriesView(origin="latency", contents="$origin/**", name="Stages, ms"),
        ),
        rrb.TimeSeriesView(origin="scale", contents=["$origin/scale", "$origin/sigma"], name="Scale"),
        rrb.TextLogView(origin="log", name="Said"),
        row_shares=[3, 2, 2],
        name="Figures",
    )
    return rrb.Blueprint(
        rrb.Horizontal(pictures, world, figures, column_shares=[4, 5, 3]),
        rrb.TimePanel(state="collapsed", timeline=TIMELINE, play_state="following"),
        rrb.BlueprintPanel(state="hidden"),
        rrb.SelectionPanel(state="hidden"),
    )
