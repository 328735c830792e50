"""The latent space: principal components of 8x8x4-frame patches, chunked in time as Wan's causal autoencoder does.

The projection is linear and a clip is `paper + (ink - paper) * coverage`, so the pool keeps projected coverages once
per geometry and training colours them on the fly: every geometry serves all colours and backgrounds.
"""
import numpy as np
import torch

from world import BACKGROUNDS, COLOURS, FRAMES, SIZE, coverage, pairs, random_path, unit_colour

CHANNELS, PATCH, CHUNK = 16, 8, 4
GRID, STEPS = SIZE // PATCH, 1 + (FRAMES - 1) // CHUNK
RAW_SCALE = 0.25


def chunked(frames):
    """`[..., 17, h, w]` to `[..., 20, h, w]`: the first frame stands four times."""
    return torch.cat([frames[..., :1, :, :].expand(*frames.shape[:-3], CHUNK, *frames.shape[-2:]), frames[..., 1:, :, :]], -3)


def patches(frames):
    """`[n, 17, 64, 64]` to `[n, 5, 8, 8, 256]`."""
    n = frames.shape[0]
    split = chunked(frames).reshape(n, STEPS, CHUNK, GRID, PATCH, GRID, PATCH)
    return split.permute(0, 1, 3, 5, 2, 4, 6).reshape(n, STEPS, GRID, GRID, CHUNK * PATCH * PATCH)


def draw_geometries(per_pair, rng):
    """Draws `per_pair` placements of each (shape, motion) pair: list of (pair index, path)."""
    table = pairs()
    return [(i, random_path(table[i][1], rng)) for i in range(len(table)) for _ in range(per_pair)]


def coverages(geometries):
    """Coverage of all geometries, `[n, 17, 64, 64]`."""
    table = pairs()
    return torch.stack([coverage(table[i][0], path) for i, path in geometries])


def fit_components(alpha, rng):
    """Fits the principal components on randomly coloured patches; flat patches are thinned to 15 %."""
    inks = torch.stack([unit_colour(c) for c in COLOURS.values()])
    papers = torch.stack([unit_colour(c) for c in BACKGROUNDS.values()])
    n = alpha.shape[0]
    ink = inks[rng.integers(len(inks), size=n)][:, None, :, None]
    paper = papers[rng.integers(len(papers), size=n)][:, None, :, None]
    cover = patches(alpha).reshape(n, -1, 1, CHUNK * PATCH * PATCH)
    rows = (paper + (ink - paper) * cover).reshape(-1, 3 * CHUNK * PATCH * PATCH)
    flat = cover.std(-1).reshape(-1) < 1e-3
    kept = rows[~flat | (torch.from_numpy(rng.random(len(rows))) < 0.15)]
    centred = kept - kept.mean(0)
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(kept))
    order = values.argsort(descending=True)[:CHANNELS]
    share = float(values[order].sum() / values.sum())
    basis = vectors[:, order].T.reshape(CHANNELS, 3, CHUNK * PATCH * PATCH) * RAW_SCALE
    return basis.contiguous(), share, (rows.reshape(len(rows), 3, -1) * 1.0)


def statistics(basis, rows):
    """Mean and scale per channel: normalised spread is 1 for the first two channels, then falls slowly."""
    raw = torch.einsum("ncp,kcp->nk", rows, basis)
    mean, std = raw.mean(0), raw.std(0)
    target = (std / std[1]) ** 0.4
    target[0] = 1.0
    return mean, std / target


class Pool:
    """Projected coverages, ready to be coloured."""

    def __init__(self, saved):
        self.basis, self.mean, self.std = saved["basis"], saved["mean"], saved["std"]
        self.pair, self.cover = saved["pair"], saved["cover"]
        self.inks = torch.stack([unit_colour(c) for c in COLOURS.values()])
        self.papers = torch.stack([unit_colour(c) for c in BACKGROUNDS.values()])
        self.flat = self.basis.sum(-1)

    def latents(self, index, ink, paper):
        """Normalised latents `[b, 16, 5, 8, 8]` of geometries `index` in colours `ink` on `paper` (indices)."""
        ink, paper = self.inks[ink], self.papers[paper]
        base = paper @ self.flat.T
        raw = torch.einsum("bkctyx,bc->bktyx", self.cover[index].float(), ink - paper) + base[:, :, None, None, None]
        return (raw - self.mean[:, None, None, None]) / self.std[:, None, None, None]


def build_pool(path, per_pair, seed=1):
    """Renders, fits and projects; writes everything to `path`."""
    rng = np.random.default_rng(seed)
    sample = draw_geometries(24, rng)
    basis, share, rows = fit_components(coverages(sample), rng)
    mean, std = statistics(basis, rows)
    geometries = draw_geometries(per_pair, rng)
    cover = []
    for start in range(0, len(geometries), 128):
        alpha = patches(coverages(geometries[start:start + 128]))
        cover.append(torch.einsum("ntyxp,kcp->nkctyx", alpha, basis).half())
    pair = torch.tensor([i for i, _ in geometries])
    torch.save({"basis": basis, "mean": mean, "std": std, "pair": pair, "cover": torch.cat(cover), "share": share}, path)
    return share


def linear_decode(latents, pool):
    """Least-squares decode of normalised latents to `[b, 3, 17, 64, 64]`: blocky, but needs no network."""
    raw = latents * pool.std[:, None, None, None] + pool.mean[:, None, None, None]
    pixels = torch.einsum("bktyx,kcp->bctyxp", raw, pool.basis) / RAW_SCALE**2
    b = latents.shape[0]
    split = pixels.reshape(b, 3, STEPS, GRID, GRID, CHUNK, PATCH, PATCH).permute(0, 1, 2, 5, 3, 6, 4, 7)
    return split.reshape(b, 3, STEPS * CHUNK, SIZE, SIZE)[:, :, CHUNK - 1:].clamp(-1, 1)
