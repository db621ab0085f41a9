"""The findings of an inspection for a reader: as text, and as one page that needs no network."""

from __future__ import annotations

import base64
import html
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from depth_perception.frame import Frame
from depth_perception.geometry import lidar
from depth_perception.model import write_atomically
from depth_perception.report import charts, page, pictures

STYLE = """
.strip { display: flex; flex-wrap: wrap; gap: .6em; } .strip figure { margin: 0; flex: 1 1 320px; }
.charts { display: flex; flex-wrap: wrap; gap: 1em; } .chart { margin: .5em 0; flex: 1 1 420px; }
td.text, th.text { text-align: left; } .yes { color: #2e8b57; } .limits { color: #c98a00; } .no { color: #d9534f; }
td.row { width: 45%; } .wide { overflow-x: auto; }
"""
_PICTURE_WIDTH = 640


def as_text(findings: dict[str, Any]) -> str:
    """The findings for a terminal."""
    lines = [f"{findings['bag']}: {findings['duration_s']:.1f} s, {sum(row['count'] for row in findings['topics'])} messages, "
             f"{sum(row['bytes'] for row in findings['topics']) / 1e6:.1f} MB", ""]
    width = max(len(row["name"]) for row in findings["topics"])
    for row in findings["topics"]:
        rate = f"{row['rate_hz']:8.2f} Hz" if row["rate_hz"] else " " * 11
        lines.append(f"  {row['name']:{width}s} {row['count']:7d} {rate} {_per_minute(findings, row):9.2f} MB/min  {row['type']}")
    if findings["chosen"]:
        lines += ["", *(f"{kind:12s} {name or 'none'}" for kind, name in findings["chosen"].items())]
    if camera := findings["calibration"]:
        K = camera["K"]
        state = "rectified" if camera["is_rectified"] else "distorted, rectified while reading"
        pinhole = f"fx {K[0][0]:.1f} fy {K[1][1]:.1f} cx {K[0][2]:.1f} cy {K[1][2]:.1f}"
        lines.append(f"calibration  {camera['width']}x{camera['height']} {pinhole}, {state}")
        for name, target, source in (("T_base_camera", camera["base_frame"], camera["frame_id"]),
                                     ("T_camera_lidar", camera["frame_id"], camera["lidar_frame"] or "lidar")):
            T = camera[name]
            at = "missing" if T is None else f"{source} stands at ({T[0][3]:.2f}, {T[1][3]:.2f}, {T[2][3]:.2f}) m of {target}"
            lines.append(f"extrinsics   {name}: {at}")
    if frames := findings["frames"]:
        points = f", {frames['points_per_scan']:.0f} points each" if frames["with_scan"] else ""
        part = f" (looked at, of {frames['of']} in the bag)" if frames["count"] < frames["of"] else ""
        lines.append(f"frames       {frames['count']}, {frames['with_scan']} of them with a scan{points}{part}")
    lines += [f"{name:12s} {sentence}" for name, sentence in facts(findings)]
    lines += [f"skipped      {sentence}" for sentence in findings["skipped"]]
    lines += [f"warning      {problem['sentence']}; {problem['remedy']}" for problem in findings["problems"]]
    lines += ["", "fit for"]
    for purpose, said in findings["fitness"].items():
        reasons = "; ".join(said["reasons"]) if said["verdict"] == "yes" else said["reasons"][0]
        more = f" (and {len(said['reasons']) - 1} more)" if said["verdict"] != "yes" and len(said["reasons"]) > 1 else ""
        lines.append(f"  {purpose:25s} {said['verdict']:11s} {reasons}{more}")
    return "\n".join(lines)


def facts(findings: dict[str, Any]) -> list[tuple[str, str]]:
    """Name and sentence of what was measured, as far as anything was."""
    out = []
    if found := findings["sync"]:
        near, causal = found["nearest"], found["causal"]
        if near["median_s"] is not None:
            age = "" if causal["median_s"] is None else (f"; the scan that driving pairs with is {1000 * causal['median_s']:.1f} ms old "
                                                         f"(95 %: {1000 * causal['p95_s']:.1f})")
            out.append(("sync", f"an image's nearest scan is {1000 * near['median_s']:+.1f} ms away (5 to 95 %: "
                        f"{1000 * near['p5_s']:+.1f} to {1000 * near['p95_s']:+.1f}), "
                        f"{100 * found['share_nearest']:.0f} % within 150 ms{age}"))
    for other, found in findings["time_offset"].items():
        said = found.get("cannot") or (f"{1000 * found['seconds']:+.0f} ms to be added to its stamps, standard deviation "
                                       f"{1000 * found['sigma_s']:.0f} ms, by {found['steps']} turns that both saw "
                                       f"(correlation {found['correlation']:.3f}, the camera sees {found['gain']:.2f} times as much)")
        out.append(("clock", f"{other} ({found['source']}) against the camera: {said}"))
    if found := findings["alignment"]:
        out.append(("alignment", f"the LiDAR's outlines meet {found['score']:.2f} times the image's mean edge strength (1 is chance); best "
                    f"turned by {found['angle_deg']:.1f} degrees: {found['turned_score']:.2f}; with a focal length "
                    f"{found['focal_factor']:.2f} times as long: {found['focal_score']:.2f}"))
    if found := findings["motion"]:
        speed = found["speed_m_s"]
        metres = "" if speed is None else f"{found['path_m']:.0f} m, {speed['mean']:.1f} m/s on average, up to {speed['max']:.1f}, "
        turns = "" if found["turned_deg"] is None else (f", turned by {found['turned_deg']:.0f} degrees in all, up to "
                                                        f"{found['turning_deg_s']:.1f} a second")
        out.append(("motion", f"{metres}standing {100 * found['standing_share']:.0f} % of the time{turns} (by {found['source']})"))
    if found := findings["images"]:
        out.append(("images", f"of {found['looked_at']}: {100 * found['black']:.0f} % black, {100 * found['blown_out']:.0f} % blown out, "
                    f"{100 * found['blurred']:.0f} % blurred; {100 * found['repeated']:.0f} % of all repeat the one before"))
    return out


def write(path: Path, findings: dict[str, Any], album: list[Frame]) -> None:
    """The page: verdicts, pictures with the LiDAR drawn over them, timeline, histograms, speed, and all that the text says."""
    title = html.escape(f"Inspection: {Path(findings['bag']).name}")
    parts = ["<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
             f"<title>{title}</title><style>{page.STYLE}{STYLE}</style><h1>{title}</h1>",
             f"<p>{findings['duration_s']:.1f} s, {sum(row['bytes'] for row in findings['topics']) / 1e6:.1f} MB</p>", _fitness(findings)]
    if findings["problems"]:
        rows = "".join(f"<tr><td class=text>{html.escape(problem['sentence'])}<td class=text>{html.escape(problem['remedy'])}"
                       for problem in findings["problems"])
        parts.append(f"<h2>What is wrong</h2><table><tr><th class=text>found<th class=text>what to do{rows}</table>")
    parts.append("<h2>Pictures</h2><div class=strip>" + "".join(_picture(frame, findings["start_ns"]) for frame in album) + "</div>")
    parts.append(_timeline(findings))
    parts.append("<h2>Measured</h2><div class=charts>" + "".join(_charts(findings)) + "</div><table>")
    parts += [f"<tr><td>{name}<td class=text>{html.escape(sentence)}" for name, sentence in facts(findings)]
    parts += [f"<tr><td>skipped<td class=text>{html.escape(sentence)}" for sentence in findings["skipped"]]
    parts.append("</table></html>")
    write_atomically(path, "\n".join(parts))


def _fitness(findings: dict[str, Any]) -> str:
    rows = []
    for purpose, said in findings["fitness"].items():
        reasons = "<br>".join(html.escape(reason) for reason in said["reasons"])
        verdict = said["verdict"]
        rows.append(f"<tr><td>{html.escape(purpose)}<td class='text {verdict.split()[-1]}'>{verdict}<td class=text>{reasons}")
    return f"<h2>Fit for</h2><table><tr><th>purpose<th class=text>verdict<th class=text>why{''.join(rows)}</table>"


def _picture(frame: Frame, start_ns: int) -> str:
    image = np.ascontiguousarray(frame.image)
    said = f"{(frame.stamp_ns - start_ns) * 1e-9:.1f} s"
    if frame.scan is not None and frame.calibration.T_camera_lidar is not None:
        image = pictures.draw_sparse(image, lidar.depth_image(frame.scan, frame.calibration))
        said += f", LiDAR {(frame.scan.stamp_ns - frame.stamp_ns) * 1e-6:+.0f} ms (bright is near)"
    scale = min(_PICTURE_WIDTH / image.shape[1], 1.0)
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    data = base64.b64encode(cv2.imencode(".jpg", image[..., ::-1])[1].tobytes()).decode()
    return f'<figure><img alt="{said}" src="data:image/jpeg;base64,{data}"><figcaption>{said}</figcaption></figure>'


def _timeline(findings: dict[str, Any]) -> str:
    chosen = set((findings["chosen"] or {}).values())
    rows = []
    for row in findings["topics"]:
        rate = f"{row['rate_hz']:.2f}" if row["rate_hz"] else ""
        stamps = row["stamps"]
        late = f"{1000 * stamps['latency_s']['median']:.0f}" if stamps and abs(stamps["latency_s"]["median"]) < 1000 else ""
        back = stamps["backwards"] if stamps else ""
        steady = row["name"] in chosen and row["count"] > 240  # two a bin: none is a silence
        strip = charts.strip(row["timeline"], label=f"messages of {row['name']} over time", steady=steady)
        rows.append(f"<tr><td>{html.escape(row['name'])}<td>{row['count']}<td>{rate}<td>{_per_minute(findings, row):.2f}<td>"
                    f"{row['largest_gap_s']:.2f}<td>{late}<td>{back}<td class=row>{strip}")
    return ("<h2>Topics over time</h2><div class=wide><table><tr><th>topic<th>messages<th>Hz<th>MB/min<th>longest gap, s<th>late, ms"
            f"<th>stamps back<th class=text>over the bag's time{''.join(rows)}</table></div>")


def _charts(findings: dict[str, Any]) -> list[str]:
    out = []
    if found := findings["sync"]:
        for name, label in (("nearest", "scan minus image, nearest in time"), ("causal", "age of the newest scan before an image")):
            edges = [1000 * edge for edge in found[name]["edges_s"]]
            out.append(charts.bars(edges, found[name]["counts"], label=f"{label}, ms (beyond: {found[name]['beyond']})", unit="ms"))
    if found := findings["motion"]:
        series = found["series"]
        out.append(charts.line(series["at_s"], series["speed_m_s"], label=f"speed by {found['source']}", unit="m/s"))
        out.append(charts.line(series["at_s"], series["turning_deg_s"], label=f"turning by {found['source']}", unit="degrees/s"))
        if speed := found["speed_m_s"]:
            edges = [*speed["edges"], speed["edges"][-1] + 10]
            out.append(charts.bars(edges, speed["seconds"], label="seconds at each speed, m/s (the last: faster)", unit="m/s"))
    return out


def _per_minute(findings: dict[str, Any], row: dict[str, Any]) -> float:
    """MB a minute."""
    return float(row["bytes"] / 1e6 / max(findings["duration_s"], 1.0) * 60)
