"""Cameras, scans, poses and grids as pure numpy. `T_b_a` maps points of frame a into frame b."""
