"""How well the static masks of S1 claim 4 find what does not move in the image, on simulated truth.

    python -m bench.static_mask --bag SIMULATED... [--noise 2] [--json out/bench/static_mask.json]

The bags are simulated drives with truth (`python -m depth_perception simulate`). The true depth and poses say how far each pixel of
the still scene moves from image to image. A patch of another image is put at a fixed place into all three images of a window, like
the back of a car ahead that keeps its distance, or the own bonnet: truly static in the image, and textured. Every image gets sensor
noise of its own. Masks are computed as in training, on images at the network's size over `stride`.

Printed, per mask: the share of the static textured pixels that it masks, and of the other textured pixels, by their true flow.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from depth_perception import decode
from depth_perception.bag import Bag, FrameReader, poses
from depth_perception.geometry import camera, pose
from depth_perception.losses import photometric, static_mask
from depth_perception.losses.reconstruction import inverse_warp
from depth_perception.model import as_json, write_atomically

HEIGHT, WIDTH = 128, 416
TEXTURE = 6.0
FLOWS_PX = (0.1, 0.25, 0.5, 1.0, 2.0, np.inf)


def windows(bag: str, every: int) -> list[dict[str, np.ndarray]]:
    """images (3, H, W, 3) uint8: current, previous, next; depth (H, W); K; T (2, 4, 4) T_neighbour_image, at the network's size."""
    reader = FrameReader(bag, pairing="nearest")
    truth = poses.find(Bag(bag), "/truth/odometry")
    T_frame_camera = reader.tree.between(truth.frame, reader.calibration.frame_id)
    opened = Bag(bag)
    depths = {decode.stamp_ns(m.header): decode.depth_image(m)
              for m in (opened.decode(kind, raw) for _, kind, _, raw in opened.messages(["/truth/depth"]))}
    frames = list(reader)
    at, _ = truth.at(np.array([frame.stamp_ns for frame in frames]))
    at = at @ T_frame_camera
    out = []
    for i in range(1, len(frames) - 1, every):
        size = frames[i].image.shape[:2]
        out.append({
            "images": np.stack([cv2.resize(frames[j].image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) for j in (i, i - 1, i + 1)]),
            "depth": cv2.resize(depths[frames[i].stamp_ns], (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST),
            "K": camera.resize_K(frames[i].calibration.K, from_size=size, to_size=(HEIGHT, WIDTH)),
            "T": np.stack([pose.inverse(at[j]) @ at[i] for j in (i - 1, i + 1)]),
            "shrink": size[0] / HEIGHT,
        })
    return out


def masks(window: dict[str, Any], patch: np.ndarray, rng: np.random.Generator, *, stride: int,
          noise: float) -> tuple[dict[str, np.ndarray], ...]:
    """Name -> (h, w) bool true where masked; and "static", "textured" (bool) and "flow" (pixels at that size)."""
    images = window["images"].astype(np.float32)
    top, left = 70, 170
    h, w = patch.shape[:2]
    images[:, top : top + h, left : left + w] = patch
    images += rng.normal(0, noise / max(window["shrink"], 1), images.shape)  # averaged down with the image
    x = torch.from_numpy(images.round().clip(0, 255) / 255).permute(0, 3, 1, 2).float()
    K = torch.from_numpy(window["K"]).float()[None]
    K = K / stride
    K[:, :2, 2] += 0.5 / stride - 0.5
    K[:, 2, 2] = 1
    small = F.avg_pool2d(x, stride)
    depth = torch.from_numpy(np.nan_to_num(window["depth"], nan=200.0))[None, None].float()
    depth = F.avg_pool2d(depth, stride)
    T = torch.from_numpy(window["T"]).float()
    image, others = small[:1], small[None, 1:]
    rebuilt, inside = inverse_warp(neighbour=small[1:], depth=depth.repeat(2, 1, 1, 1), K=K.repeat(2, 1, 1), T_neighbour_image=T)
    target = image.repeat(2, 1, 1, 1)
    loss = torch.where(inside, photometric.matching(rebuilt, target), torch.tensor(10.0)).view(1, 2, *small.shape[2:])
    still = photometric.matching(small[1:], target).view(1, 2, *small.shape[2:])
    found = {"A (unchanged)": static_mask.unchanged(image, others), "B (voted)": static_mask.voted(image, others),
             "minimum reprojection (moved)": static_mask.moved(loss, still)}
    rays = camera.rays(K[0].numpy().astype(np.float64), height=small.shape[2], width=small.shape[3])
    points = (rays * depth[0, 0].numpy()[..., None]).reshape(-1, 3)
    u, v = np.meshgrid(np.arange(small.shape[3]), np.arange(small.shape[2]))
    here = np.stack([u, v], -1).reshape(-1, 2)
    flows = [np.linalg.norm(camera.project(K[0].numpy(), pose.transform(t, points))[0] - here, axis=1) for t in window["T"]]
    flow = np.minimum(*flows).reshape(small.shape[2:])
    static = np.zeros((HEIGHT, WIDTH), np.float32)
    static[top : top + h, left : left + w] = 1
    share = cv2.resize(static, flow.shape[::-1], interpolation=cv2.INTER_AREA)
    grey = image[0].mean(0).numpy() * 255
    gradient = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(grey, cv2.CV_32F, 0, 1, scale=1 / 8))
    known = {"static": share == 1, "other": share == 0, "textured": gradient > TEXTURE, "flow": flow}
    return {name: ~counts[0, 0].numpy() for name, counts in found.items()}, known


def table(bags: list[str], *, every: int, stride: int, noise: float) -> list[dict[str, Any]]:
    """One row a mask: shares of static and of other textured pixels that are masked, the latter also by true flow."""
    rng = np.random.default_rng(0)
    sums: dict[str, dict[str, np.ndarray]] = {}
    for bag in bags:
        found = windows(bag, every)
        for k, window in enumerate(found):
            donor = found[(k + len(found) // 2) % len(found)]["images"][0]
            patch = donor[60:110, 20:110].astype(np.float32)
            guess, known = masks(window, patch, rng, stride=stride, noise=noise)
            for name, masked in guess.items():
                row = sums.setdefault(name, {})
                groups = {"static": known["static"] & known["textured"]}
                low = 0.0
                for high in FLOWS_PX:
                    groups[f"{low:g}-{high:g} px"] = known["other"] & known["textured"] & (known["flow"] >= low) & (known["flow"] < high)
                    low = high
                for group, pixels in groups.items():
                    row[group] = row.get(group, np.zeros(2)) + np.array([(masked & pixels).sum(), pixels.sum()])
    rows = []
    for name, row in sums.items():
        others = sum(value for group, value in row.items() if group != "static" and not group.startswith("0-"))
        rows.append({"mask": name, "stride": stride, "static": row["static"][0] / row["static"][1],
                     "others_from_0.1_px": others[0] / others[1],
                     "by_flow": {group: value[0] / max(value[1], 1) for group, value in row.items() if group != "static"},
                     "pixels": {group: int(value[1]) for group, value in row.items()}})
    return rows


def main() -> None:
    """Prints the table, one block a stride."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bag", nargs="+", required=True)
    parser.add_argument("--every", type=int, default=3, help="each so many-th frame")
    parser.add_argument("--noise", type=float, default=2.0, help="standard deviation of the camera's own pixels, grey levels of 255")
    parser.add_argument("--json")
    args = parser.parse_args()
    rows = [row for stride in (1, 2, 4) for row in table(args.bag, every=args.every, stride=stride, noise=args.noise)]
    for row in rows:
        flows = "  ".join(f"{group} {100 * share:5.1f}%" for group, share in row["by_flow"].items())
        found = f"static {100 * row['static']:5.1f}%  others {100 * row['others_from_0.1_px']:5.1f}%"
        print(f"1/{row['stride']} {row['mask']:30s} {found}  | {flows}")
    print("pixels at 1/1:", rows[0]["pixels"])
    if args.json:
        write_atomically(Path(args.json), as_json({"name": "static_mask", "bags": args.bag, "noise": args.noise, "results": rows}))


if __name__ == "__main__":
    main()
