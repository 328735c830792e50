"""The procedural world of the tiny model: one coloured shape, one motion, one plain background.

Frames are rendered from signed distances: `alpha = clamp(0.5 - distance, 0, 1)`, so edges are one pixel wide.
`checker.py` reads the same attributes back from finished frames.
"""
from dataclasses import dataclass

import numpy as np
import torch

SIZE, FRAMES, FPS = 64, 17, 8
SHAPES = ("circle", "square", "triangle", "star")
COLOURS = {
    "red": (230, 40, 40), "green": (40, 190, 60), "blue": (50, 90, 240), "yellow": (240, 220, 50),
    "purple": (150, 60, 210), "cyan": (50, 210, 220), "orange": (250, 140, 30), "pink": (250, 130, 190),
}
BACKGROUNDS = {"black": (8, 8, 8), "gray": (110, 110, 110), "white": (245, 245, 245)}
MOTIONS = ("right", "left", "up", "down", "grows", "shrinks", "spins", "still")

SQUARE_HALF_SIDE = 0.9
TRIANGLE_INRADIUS = 0.62
STAR_OUTER, STAR_INNER_RATIO = 1.35, 0.42
SPIN_RADIANS = np.pi / 2


@dataclass(frozen=True)
class Scene:
    """What a clip shows."""

    shape: str
    colour: str
    background: str
    motion: str

    @property
    def triple(self):
        """The part of a scene that the hold-out is made of."""
        return (self.shape, self.colour, self.motion)


@dataclass(frozen=True)
class Path:
    """Where the shape is in every frame: centre, radius in pixels and angle in radians (clockwise on screen)."""

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    angle: np.ndarray


def pairs():
    """All (shape, motion) pairs; a spinning circle would look still, so it is left out."""
    return [(s, m) for s in SHAPES for m in MOTIONS if not (s == "circle" and m == "spins")]


def held_out():
    """The (shape, colour, motion) triples that training never sees: two or three colours of every pair."""
    names = list(COLOURS)
    triples = []
    for index, (shape, motion) in enumerate(pairs()):
        picks = {(3 * index) % 8, (3 * index + 4 + index // 8) % 8}
        if index % 4 == 1:
            picks.add((3 * index + 2) % 8)
        triples += [(shape, names[c], motion) for c in sorted(picks)]
    return triples


def random_path(motion, rng):
    """Draws a placement of `motion` with numpy generator `rng`."""
    steps = np.linspace(0.0, 1.0, FRAMES)
    x = y = np.full(FRAMES, 32.0)
    x, y = x + rng.uniform(-4, 4), y + rng.uniform(-4, 4)
    radius, angle = np.full(FRAMES, rng.uniform(12.0, 14.5)), np.zeros(FRAMES)
    if motion in ("right", "left", "up", "down"):
        line = np.interp(steps, (0, 1), (rng.uniform(18, 21), rng.uniform(43, 46)))
        line = line if motion in ("right", "down") else 64.0 - line
        x, y = (line, y) if motion in ("right", "left") else (x, line)
        radius = np.full(FRAMES, rng.uniform(11.0, 13.0))
    elif motion in ("grows", "shrinks"):
        radius = np.interp(steps, (0, 1), (rng.uniform(6, 7), rng.uniform(14, 15.5)))
        radius = radius if motion == "grows" else radius[::-1].copy()
    elif motion == "spins":
        angle = steps * SPIN_RADIANS
    return Path(x, y, radius, angle)


def distance(shape, px, py, radius):
    """Signed distance (negative inside) of points in the shape's own upright frame."""
    if shape == "circle":
        return torch.sqrt(px * px + py * py) - radius
    if shape == "square":
        return torch.maximum(px.abs(), py.abs()) - SQUARE_HALF_SIDE * radius
    if shape == "triangle":
        side = 0.8660254 * px.abs() - 0.5 * py
        return torch.maximum(side, py) - TRIANGLE_INRADIUS * radius
    return star_distance(px, py, radius)


def star_distance(px, py, radius):
    """Signed distance to the edge lines of a five-pointed star with one point up."""
    wedge = np.pi / 5
    turn = torch.atan2(px, -py)
    folded = (torch.remainder(turn + wedge, 2 * wedge) - wedge).abs()
    length = torch.sqrt(px * px + py * py)
    qx, qy = length * torch.cos(folded), length * torch.sin(folded)
    outer = STAR_OUTER * radius
    ix, iy = STAR_INNER_RATIO * np.cos(wedge), STAR_INNER_RATIO * np.sin(wedge)
    norm = np.hypot(1.0 - ix, iy)
    return ((qx - outer) * iy + qy * (1.0 - ix)) / norm


def coverage(shape, path, size=SIZE):
    """Coverage of every pixel by the shape, `[frames, size, size]` in 0..1."""
    grid = torch.arange(size, dtype=torch.float32) + 0.5
    along = lambda values: torch.as_tensor(np.asarray(values), dtype=torch.float32)[:, None, None]
    dx, dy = grid[None, None, :] - along(path.x), grid[None, :, None] - along(path.y)
    cos, sin = torch.cos(along(path.angle)), torch.sin(along(path.angle))
    px, py = cos * dx + sin * dy, cos * dy - sin * dx
    return (0.5 - distance(shape, px, py, along(path.radius))).clamp(0, 1)


def unit_colour(rgb):
    """Maps 0..255 to -1..1."""
    return torch.tensor(rgb, dtype=torch.float32) / 127.5 - 1.0


def render(scene, path):
    """Renders a scene to `[3, frames, size, size]` in -1..1."""
    alpha = coverage(scene.shape, path)
    ink, paper = unit_colour(COLOURS[scene.colour]), unit_colour(BACKGROUNDS[scene.background])
    return paper[:, None, None, None] + (ink - paper)[:, None, None, None] * alpha


def to_bytes(video):
    """`[3, frames, h, w]` in -1..1 to `[frames, h, w, 3]` uint8."""
    return ((video.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 3, 0).numpy()
