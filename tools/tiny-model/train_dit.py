"""Trains the transformer and the text encoder on coloured pool geometries, resumably, until a given time of day."""
import argparse
import os
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import model
from captions import caption, roughen
from latents import Pool
from optim import Average, Muon, Timetable
from tokenizer import build
from world import BACKGROUNDS, COLOURS, Scene, held_out, pairs

PROBE_SIZES = (5, 4, 4)
CAPTIONS_PER_CELL = 240


class Captions:
    """Tokenised captions of every allowed (pair, colour, background), drawn once."""

    def __init__(self, rng):
        self.tokenizer, self.rng = build(), rng
        self.empty = self.ids("")
        self.cells = {}
        banned = set(held_out())
        for pair, (shape, motion) in enumerate(pairs()):
            for c, colour in enumerate(COLOURS):
                for b, background in enumerate(BACKGROUNDS):
                    scene = Scene(shape, colour, background, motion)
                    if scene.triple not in banned:
                        self.cells[pair, c, b] = [self.ids(roughen(caption(scene, rng), rng)) for _ in range(CAPTIONS_PER_CELL)]
        self.allowed = [[c for c in range(len(COLOURS)) if (pair, c, 0) in self.cells] for pair in range(len(pairs()))]

    def ids(self, text):
        ids = self.tokenizer.encode(text).ids
        if len(ids) >= model.TEXT_SLOTS:
            ids = ids[:model.TEXT_SLOTS - 2] + [ids[-1]]
        return ids + [0] * (model.TEXT_SLOTS - len(ids))

    def draw(self, pair):
        """Draws colour, background and caption for a geometry of `pair`."""
        colour = self.allowed[pair][self.rng.integers(len(self.allowed[pair]))]
        background = int(self.rng.integers(len(BACKGROUNDS)))
        options = self.cells[pair, colour, background]
        ids = self.empty if self.rng.random() < 0.1 else options[self.rng.integers(len(options))]
        return colour, background, ids


class Probe(torch.nn.Module):
    """Training-only heads that ask the first blocks where each token stands; dropped at export."""

    def __init__(self):
        super().__init__()
        self.heads = torch.nn.ModuleList(
            torch.nn.Sequential(torch.nn.LayerNorm(model.WIDTH), torch.nn.Linear(model.WIDTH, sum(PROBE_SIZES))) for _ in range(2))
        t, y, x = torch.meshgrid(*(torch.arange(n) for n in PROBE_SIZES), indexing="ij")
        self.places = [axis.reshape(-1) for axis in (t, y, x)]

    def forward(self, taps):
        """Mean cross entropy and accuracy over axes and blocks."""
        loss, hits = 0.0, 0.0
        for head, tap in zip(self.heads, taps):
            for logits, place in zip(head(tap).split(PROBE_SIZES, -1), self.places):
                target = place.expand(tap.shape[0], -1).reshape(-1)
                flat = logits.reshape(len(target), -1)
                loss = loss + F.cross_entropy(flat, target) / 6
                hits += float((flat.argmax(-1) == target).float().mean()) / 6
        return loss, hits


class Trainer:
    """Everything that a checkpoint holds."""

    def __init__(self, args):
        self.args, self.rng = args, np.random.default_rng(args.seed)
        torch.manual_seed(args.seed)
        self.pool = Pool(torch.load(args.work / "pool.pt"))
        self.captions = Captions(self.rng)
        self.net = model.new_transformer()
        self.text = model.new_text_encoder(self.captions.tokenizer.get_vocab_size())
        self.probe = Probe()
        self.table = model.RotaryTable(self.net)
        matrices = [p for n, p in self.net.named_parameters() if n.startswith("blocks.") and p.dim() == 2]
        chosen = {id(p) for p in matrices}
        self.shipped = list(self.net.parameters()) + list(self.text.parameters())
        self.others = [p for p in self.shipped + list(self.probe.parameters()) if id(p) not in chosen]
        self.muon = Muon(matrices)
        self.adam = torch.optim.AdamW(self.others, lr=args.adam, betas=(0.9, 0.98), weight_decay=0.0)
        self.average = Average(self.shipped)
        self.step, self.started, self.hits = 0, time.time(), 0.0

    def batch(self):
        """Draws latents, text ids, and mask."""
        index = torch.from_numpy(self.rng.integers(len(self.pool.pair), size=self.args.batch))
        drawn = [self.captions.draw(int(p)) for p in self.pool.pair[index]]
        colour, background, ids = (torch.tensor(column) for column in zip(*drawn))
        return self.pool.latents(index, colour, background), ids, (ids != 0).float()

    def loss(self):
        """Flow-matching loss on one batch, plus the probe's."""
        clean, ids, mask = self.batch()
        count = clean.shape[0]
        sigma = torch.sigmoid(torch.randn(count) + self.args.mean)
        sigma[: count // 8] = torch.rand(count // 8)
        noise = torch.randn_like(clean)
        mixed = torch.lerp(clean, noise, sigma[:, None, None, None, None])
        weight = 0.1 if self.hits < 0.99 else 0.02
        taps = []
        guess = model.velocity(self.net, mixed, sigma * 1000, model.encode_text(self.text, ids, mask), self.table, taps)
        flow = F.mse_loss(guess, noise - clean)
        places, hits = self.probe(taps)
        self.hits = 0.98 * self.hits + 0.02 * hits
        return flow + weight * places, float(flow.detach())

    def train_step(self, factor):
        """One optimizer step; returns the flow loss."""
        loss, flow = self.loss()
        self.adam.zero_grad(set_to_none=True)
        for p in self.net.parameters():
            p.grad = None
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.others, 1.0)
        for group in self.adam.param_groups:
            group["lr"] = self.args.adam * factor
        self.adam.step()
        self.muon.step(self.args.muon * factor)
        self.step += 1
        self.average.update(self.step)
        return flow

    def save(self, path):
        state = {"net": self.net.state_dict(), "text": self.text.state_dict(), "probe": self.probe.state_dict(),
                 "muon": self.muon.state(), "adam": self.adam.state_dict(), "average": self.average.values,
                 "step": self.step, "started": self.started, "hits": self.hits}
        torch.save(state, path.with_suffix(".part"))
        os.replace(path.with_suffix(".part"), path)

    def load(self, path):
        state = torch.load(path)
        self.net.load_state_dict(state["net"])
        self.text.load_state_dict(state["text"])
        self.probe.load_state_dict(state["probe"])
        self.adam.load_state_dict(state["adam"])
        self.muon.load(state["muon"])
        self.average.values = state["average"]
        self.step, self.started, self.hits = state["step"], state["started"], state["hits"]
        self.rng = self.captions.rng = np.random.default_rng(self.args.seed + self.step)
        torch.manual_seed(self.args.seed + self.step)


def averaged(path):
    """Loads the averaged transformer and text encoder of a checkpoint."""
    state = torch.load(path)
    net, text = model.new_transformer(), model.new_text_encoder(build().get_vocab_size())
    values = iter(state["average"])
    with torch.no_grad():
        for p in list(net.parameters()) + list(text.parameters()):
            p.copy_(next(values))
    return net.eval(), text.eval(), state["step"]


def run(args):
    """Trains until the given time, reporting and saving as it goes."""
    torch.set_num_threads(args.threads)
    trainer = Trainer(args)
    path = args.work / f"{args.name}.pt"
    if path.exists() and not args.fresh:
        trainer.load(path)
    timetable = Timetable(args.until, trainer.started, flat=args.flat)
    flows, saved, since = [], time.time(), time.time()
    while timetable.progress() < 1.0:
        flows.append(trainer.train_step(timetable.factor(trainer.step)))
        if trainer.step % 50 == 0:
            pace = (time.time() - since) / 50
            print(f"{time.strftime('%H:%M:%S')} step {trainer.step} flow {np.mean(flows):.4f} places {trainer.hits:.3f} "
                  f"rate {timetable.factor(trainer.step):.3f} {pace:.3f} s/step cpu {time.process_time():.0f}", flush=True)
            flows, since = [], time.time()
        if time.time() - saved > 75:
            trainer.save(path)
            saved = time.time()
    trainer.save(path)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for working files")
    parser.add_argument("--until", required=True, help="time of day, HH:MM, at which the learning rate has decayed")
    parser.add_argument("--name", default="dit")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--mean", type=float, default=1.0, help="mean of the logit of the noise level")
    parser.add_argument("--adam", type=float, default=2e-3)
    parser.add_argument("--muon", type=float, default=0.02)
    parser.add_argument("--flat", type=float, default=0.45, help="share of the time before the learning rate falls")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fresh", action="store_true", help="ignore an existing checkpoint")
    return parser.parse_args()


if __name__ == "__main__":
    run(arguments())
