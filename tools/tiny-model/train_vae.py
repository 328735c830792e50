"""Trains the autoencoder's two halves as plain regressions against the fixed latent space, resumably.

decoder: pool latents (plus a little noise) to rendered frames; encoder: rendered frames to pool latents.
"""
import argparse
import os
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import model
from latents import GRID, PATCH, Pool, patches
from optim import Average, Timetable
from world import BACKGROUNDS, COLOURS, coverage, pairs, random_path, unit_colour

CROP = 4  # side of a training crop in latent cells


class Clips:
    """Freshly rendered clips in random colours."""

    def __init__(self, pool, rng):
        self.pool, self.rng = pool, rng

    def draw(self):
        """One clip: video `[3, 17, 64, 64]` and its normalised latents `[16, 5, 8, 8]`."""
        shape, motion = pairs()[self.rng.integers(len(pairs()))]
        colour, background = list(COLOURS)[self.rng.integers(8)], list(BACKGROUNDS)[self.rng.integers(3)]
        return self.render(shape, motion, colour, background)

    def render(self, shape, motion, colour, background):
        """Video and normalised latents of a scene at a random place."""
        alpha = coverage(shape, random_path(motion, self.rng))
        ink, paper = unit_colour(COLOURS[colour]), unit_colour(BACKGROUNDS[background])
        video = paper[:, None, None, None] + (ink - paper)[:, None, None, None] * alpha
        cover = torch.einsum("ntyxp,kcp->nkctyx", patches(alpha[None]), self.pool.basis)[0]
        raw = torch.einsum("kctyx,c->ktyx", cover, ink - paper) + (self.pool.flat @ paper)[:, None, None, None]
        return video, self.normalise(raw)

    def normalise(self, raw):
        return (raw - self.pool.mean[:, None, None, None]) / self.pool.std[:, None, None, None]

    def crop(self, video, latents, frames):
        """A crop of `frames` latent frames around the shape; it always starts the clip, as the causal network expects."""
        spread = (video - video[:, :1, :1, :1]).abs().amax((0, 1)).reshape(GRID, PATCH, GRID, PATCH).amax((1, 3))
        rows, cols = torch.where(spread > 0.1)
        pick = self.rng.integers(len(rows))
        y = int(np.clip(rows[pick] - self.rng.integers(CROP), 0, GRID - CROP))
        x = int(np.clip(cols[pick] - self.rng.integers(CROP), 0, GRID - CROP))
        pixels = video[:, : 4 * frames - 3, y * PATCH:(y + CROP) * PATCH, x * PATCH:(x + CROP) * PATCH]
        return pixels, latents[:, :frames, y:y + CROP, x:x + CROP]

    def batch(self, count, frames=None):
        """A batch of whole clips, or of crops when `frames` is given."""
        drawn = [self.draw() for _ in range(count)]
        if frames:
            drawn = [self.crop(video, latents, frames) for video, latents in drawn]
        videos, latents = zip(*drawn)
        return torch.stack(videos), torch.stack(latents)


def picture_loss(guess, video):
    """Absolute and squared error, chroma error, and error of horizontal and vertical differences."""
    error = guess - video
    chroma = error - error.mean(1, keepdim=True)
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return error.abs().mean() + 2 * error.square().mean() + 2 * chroma.abs().mean() + 0.5 * edges


def psnr(guess, video):
    """Peak signal-to-noise ratio in dB for values in -1..1."""
    return float(-10 * torch.log10((guess.clamp(-1, 1) - video).square().mean() / 4))


class Half:
    """Decoder or encoder training state."""

    def __init__(self, args):
        self.args, self.rng = args, np.random.default_rng(args.seed)
        torch.manual_seed(args.seed)
        self.pool = Pool(torch.load(args.work / "pool.pt"))
        self.clips = Clips(self.pool, self.rng)
        self.vae = model.new_autoencoder(self.pool.mean, self.pool.std)
        parts = (self.vae.decoder, self.vae.post_quant_conv) if args.half == "decoder" else (self.vae.encoder, self.vae.quant_conv)
        self.parameters = [p for part in parts for p in part.parameters()]
        self.adam = torch.optim.AdamW(self.parameters, lr=args.rate, betas=(0.9, 0.98), weight_decay=0.0)
        self.average = Average(self.parameters, 0.99)
        self.step, self.started = 0, time.time()

    def loss(self):
        """Loss on crops; every eighth step sees two whole clips."""
        whole = self.step % 8 == 7
        video, latents = self.clips.batch(2) if whole else self.clips.batch(6, frames=3 if self.step % 2 else 5)
        if self.args.half == "encoder":
            return F.smooth_l1_loss(model.encode(self.vae, video), latents, beta=0.3)
        return picture_loss(model.decode(self.vae, latents + 0.05 * torch.randn_like(latents)), video)

    def train_step(self, factor):
        loss = self.loss()
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for group in self.adam.param_groups:
            group["lr"] = self.args.rate * factor
        self.adam.step()
        self.step += 1
        self.average.update(self.step)
        return float(loss.detach())

    @torch.no_grad()
    def score(self):
        """PSNR of the averaged decoder, or normalised error of the averaged encoder, on eight fixed clips."""
        self.average.swap()
        fixed = Clips(self.pool, np.random.default_rng(99))
        video, latents = fixed.batch(8)
        if self.args.half == "decoder":
            text = f"psnr {np.mean([psnr(g, v) for g, v in zip(model.decode(self.vae, latents), video)]):.2f} dB"
        else:
            text = f"error {float(F.mse_loss(model.encode(self.vae, video), latents)):.4f} of {float(latents.var()):.3f}"
        self.average.swap()
        return text

    def save(self, path):
        state = {"vae": self.vae.state_dict(), "adam": self.adam.state_dict(), "average": self.average.values,
                 "step": self.step, "started": self.started}
        torch.save(state, path.with_suffix(".part"))
        os.replace(path.with_suffix(".part"), path)

    def load(self, path):
        state = torch.load(path)
        self.vae.load_state_dict(state["vae"])
        self.adam.load_state_dict(state["adam"])
        self.average.values, self.step, self.started = state["average"], state["step"], state["started"]
        self.clips.rng = np.random.default_rng(self.args.seed + self.step)


def averaged(work):
    """The autoencoder with the averaged weights of both halves; a half that was not trained keeps its start values."""
    pool = Pool(torch.load(work / "pool.pt"))
    vae = model.new_autoencoder(pool.mean, pool.std)
    halves = {"decoder": (vae.decoder, vae.post_quant_conv), "encoder": (vae.encoder, vae.quant_conv)}
    for half, parts in halves.items():
        path = work / f"{half}.pt"
        if path.exists():
            values = iter(torch.load(path)["average"])
            with torch.no_grad():
                for p in (p for part in parts for p in part.parameters()):
                    p.copy_(next(values))
    return vae.eval(), pool


def run(args):
    """Trains one half until the given time."""
    torch.set_num_threads(args.threads)
    half = Half(args)
    path = args.work / f"{args.half}.pt"
    if path.exists() and not args.fresh:
        half.load(path)
        if args.restart_clock:
            half.started = time.time()
    timetable = Timetable(args.until, half.started, flat=args.flat)
    losses, saved, since = [], time.time(), time.time()
    while timetable.progress() < 1.0:
        losses.append(half.train_step(timetable.factor(half.step, warm=20)))
        if half.step % 50 == 0:
            pace = (time.time() - since) / 50
            print(f"{time.strftime('%H:%M:%S')} {args.half} step {half.step} loss {np.mean(losses):.4f} {half.score()} "
                  f"{pace:.3f} s/step cpu {time.process_time():.0f}", flush=True)
            losses, since = [], time.time()
        if time.time() - saved > 75:
            half.save(path)
            saved = time.time()
    half.save(path)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("half", choices=("decoder", "encoder"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--until", required=True)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--flat", type=float, default=0.4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--restart-clock", action="store_true", help="continue the weights under a new timetable")
    return parser.parse_args()


if __name__ == "__main__":
    run(arguments())
