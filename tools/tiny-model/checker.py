"""Reads background, colour, motion and shape back from finished frames.

Steps: the border gives the background; the most different pixels give the colour; projecting pixels on the line from
background to colour gives the coverage; moments of the coverage give centre, area and angle; the upright or turned
shape that overlaps best names the shape. Anything that does not fit well is "unclear", never the nearest guess.
"""
from dataclasses import dataclass

import numpy as np
import torch

from world import BACKGROUNDS, COLOURS, SHAPES, Path, coverage

# Area of each shape at radius 1; measured on large renders by `area_of_unit_shape`.
UNIT_AREA = {"circle": 3.1416, "square": 3.24, "triangle": 1.9975, "star": 2.2492}
FOLDS = {"circle": 1, "square": 4, "triangle": 3, "star": 5}
# Least strength of the corners' harmonic; ideal shapes have 0.29, 0.55 and 0.63.
CORNERS = {"square": 0.13, "triangle": 0.30, "star": 0.25}
MAX_CORNERS_OF_CIRCLE = 0.11
CORNER_LEAD = 1.25
MIN_OVERLAP = {"circle": 0.78, "square": 0.78, "triangle": 0.72, "star": 0.66}
MIN_AREA = 60.0


@dataclass(frozen=True)
class Observation:
    """What the checker saw; "unclear" where nothing fits."""

    background: str
    colour: str
    motion: str
    shape: str


@dataclass(frozen=True)
class Blob:
    """Coverage of one frame with its area and centre."""

    mask: np.ndarray
    area: float
    x: float
    y: float


def nearest(table, rgb, limit):
    """Name of the nearest colour in `table`, or "unclear" beyond `limit`."""
    names = list(table)
    gaps = [float(np.linalg.norm(np.asarray(table[n], float) - rgb)) for n in names]
    best = int(np.argmin(gaps))
    return names[best] if gaps[best] <= limit else "unclear"


def border(frames):
    """Median colour of the outermost two pixels of all frames."""
    ring = np.ones(frames.shape[1:3], bool)
    ring[2:-2, 2:-2] = False
    return np.median(frames[:, ring], axis=(0, 1))


def ink_colour(frames, paper):
    """Median colour of the pixels that differ from the background at least 0.7 times as much as the strongest do."""
    gap = np.linalg.norm(frames - paper, axis=-1)
    strong = np.quantile(gap, 0.99)
    return np.median(frames[gap >= 0.7 * strong], axis=0), strong


def blobs(frames, paper, ink):
    """Coverage, area and centre of every frame."""
    line = ink - paper
    alpha = np.clip(((frames - paper) @ line) / float(line @ line), 0, 1)
    alpha[alpha < 0.2] = 0
    grid = np.arange(frames.shape[1]) + 0.5
    out = []
    for mask in alpha:
        area = float(mask.sum())
        weight = max(area, 1e-6)
        out.append(Blob(mask, area, float((mask.sum(0) * grid).sum() / weight), float((mask.sum(1) * grid).sum() / weight)))
    return out


def harmonic(blob, fold):
    """The mask's `fold`-fold harmonic as a complex number of size 0..1; its angle is zero with a corner up."""
    grid = np.arange(blob.mask.shape[0]) + 0.5
    dx, dy = grid[None, :] - blob.x, grid[:, None] - blob.y
    weight = blob.mask * (dx * dx + dy * dy)
    return complex((weight * np.exp(1j * fold * np.arctan2(dx, -dy))).sum() / max(weight.sum(), 1e-6))


def shape_angle(blob, shape):
    """Angle of the blob if it were `shape` (a square's corners are at 45 degrees when upright)."""
    return float(np.angle(harmonic(blob, FOLDS[shape]))) / FOLDS[shape] - (np.pi / 4 if shape == "square" else 0.0)


def overlap(blob, shape):
    """Intersection over union with `shape` of the same area, centre and angle."""
    radius = (blob.area / UNIT_AREA[shape]) ** 0.5
    once = lambda v: np.array([v])
    path = Path(once(blob.x), once(blob.y), once(radius), once(0.0 if shape == "circle" else shape_angle(blob, shape)))
    want = coverage(shape, path, blob.mask.shape[0])[0].numpy()
    return float(np.minimum(want, blob.mask).sum() / np.maximum(want, blob.mask).sum())


def read_shape(found):
    """Names the shape by its corners over the frames where the blob is large enough to tell, if the overlap agrees."""
    top = max(b.area for b in found)
    clear = [b for b in found if b.area >= max(MIN_AREA, 0.45 * top)][::2]
    if not clear:
        return "unclear"
    shape = name_by_corners({s: float(np.mean([abs(harmonic(b, FOLDS[s])) for b in clear])) for s in CORNERS})
    if shape == "unclear" or np.mean([overlap(b, shape) for b in clear]) < MIN_OVERLAP[shape]:
        return "unclear"
    return shape


def name_by_corners(strength):
    """The shape whose harmonic leads clearly, or a circle where there is none."""
    ranked = sorted(strength, key=strength.get, reverse=True)
    first, second = ranked[:2]
    if strength[first] < MAX_CORNERS_OF_CIRCLE:
        return "circle"
    leads = strength[first] >= CORNERS[first] and strength[first] >= CORNER_LEAD * strength[second]
    return first if leads else "unclear"


def turned(found, shape):
    """Angle in radians that the shape turns through, clockwise positive, and its largest step back."""
    fold = FOLDS[shape]
    angles = np.unwrap([fold * shape_angle(b, shape) for b in found]) / fold
    return float(angles[-1] - angles[0]), float(max(0.0, -np.diff(angles).min()))


def steadiness(found):
    """Smallest overlap of a frame's mask with the clip's mean mask."""
    mean = np.mean([b.mask for b in found], axis=0)
    return float(min(np.minimum(b.mask, mean).sum() / max(np.maximum(b.mask, mean).sum(), 1e-6) for b in found))


def read_motion(found, shape):
    """Names the motion from centre, area and angle over time."""
    if min(b.area for b in found) < 25:
        return "unclear"
    ends = lambda values: (float(np.mean(values[:2])), float(np.mean(values[-2:])))
    (x0, x1), (y0, y1) = ends([b.x for b in found]), ends([b.y for b in found])
    (a0, a1) = ends([b.area for b in found])
    growth, dx, dy = 0.5 * np.log(a1 / a0), x1 - x0, y1 - y0
    far, near = max(abs(dx), abs(dy)), min(abs(dx), abs(dy))
    if far > 12 and near < 6 and abs(growth) < 0.25:
        return ("right" if dx > 0 else "left") if abs(dx) > abs(dy) else ("down" if dy > 0 else "up")
    if abs(growth) > 0.4 and far < 6:
        return "grows" if growth > 0 else "shrinks"
    if far > 4 or abs(growth) > 0.15:
        return "unclear"
    return read_rotation(found, shape)


def read_rotation(found, shape):
    """Tells spinning from standing still for a blob that stays where it is."""
    angle, back = turned(found, shape) if shape in SHAPES and shape != "circle" else (0.0, 0.0)
    if abs(angle) > 0.87 and back < 0.2:
        return "spins"
    return "still" if abs(angle) < 0.2 and steadiness(found) > 0.80 else "unclear"


def check(frames):
    """Observes `[frames, h, w, 3]` uint8."""
    frames = np.asarray(frames, dtype=np.float64)
    paper = border(frames)
    background = nearest(BACKGROUNDS, paper, 60.0)
    ink, strength = ink_colour(frames, paper)
    if strength < 40:
        return Observation(background, "unclear", "unclear", "unclear")
    found = blobs(frames, paper, ink)
    shape = read_shape(found)
    return Observation(background, nearest(COLOURS, ink, 60.0), read_motion(found, shape), shape)


def area_of_unit_shape(shape, radius=100.0):
    """Area of a shape at radius one."""
    once = lambda v: np.array([v])
    return float(coverage(shape, Path(once(200.0), once(200.0), once(radius), once(0.0)), 400).sum()) / radius**2


def validate(count=6, seed=7):
    """Checks rendered ground truth of every pair; prints what was misread."""
    from world import Scene, pairs, random_path, render, to_bytes

    rng, wrong, total = np.random.default_rng(seed), 0, 0
    for shape, motion in pairs():
        for _ in range(count):
            scene = Scene(shape, rng.choice(list(COLOURS)), rng.choice(list(BACKGROUNDS)), motion)
            seen = check(to_bytes(render(scene, random_path(motion, rng))))
            total += 1
            if seen != Observation(scene.background, scene.colour, motion, shape):
                wrong += 1
                print(scene, "read as", seen)
    print(f"{total - wrong} of {total} right")
    return wrong


if __name__ == "__main__":
    torch.set_num_threads(1)
    print({shape: round(area_of_unit_shape(shape), 4) for shape in SHAPES})
    raise SystemExit(validate() > 0)
