"""Optimizers: Muon for the transformer's matrices, AdamW for the rest, an average of the weights, and a timed schedule."""
import time
from datetime import datetime, timedelta

import torch

NEWTON_SCHULZ = ((3.4445, -4.7750, 2.0315),) * 4


def orthogonalised(update):
    """Moves the singular values of `[n, rows, cols]` (rows <= cols) towards one by Newton-Schulz steps."""
    x = update / (update.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for a, b, c in NEWTON_SCHULZ:
        gram = x @ x.transpose(1, 2)
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x


class Muon:
    """Momentum with orthogonalised updates, in f32, batched over matrices of one shape."""

    def __init__(self, matrices, momentum=0.95, decay=0.01):
        self.groups = {}
        for matrix in matrices:
            self.groups.setdefault(tuple(matrix.shape), []).append(matrix)
        self.buffers = {shape: torch.zeros(len(group), *shape) for shape, group in self.groups.items()}
        self.momentum, self.decay = momentum, decay

    @torch.no_grad()
    def step(self, rate):
        """Updates every matrix with learning rate `rate` (scaled for tall matrices)."""
        for shape, group in self.groups.items():
            grads = torch.stack([m.grad for m in group])
            buffer = self.buffers[shape].mul_(self.momentum).add_(grads)
            update = grads.add(buffer, alpha=self.momentum)
            tall = shape[0] > shape[1]
            update = orthogonalised(update.transpose(1, 2) if tall else update)
            update = update.transpose(1, 2) if tall else update
            scale = rate * max(1.0, shape[0] / shape[1]) ** 0.5
            for matrix, change in zip(group, update):
                matrix.mul_(1 - rate * self.decay).add_(change, alpha=-scale)

    def state(self):
        return self.buffers

    def load(self, state):
        self.buffers = state


class Average:
    """Exponential average of parameters."""

    def __init__(self, parameters, keep=0.998):
        self.parameters, self.keep = list(parameters), keep
        self.values = [p.detach().clone() for p in self.parameters]

    @torch.no_grad()
    def update(self, step):
        """Averages faster during the first steps, so that the start values are forgotten."""
        keep = min(self.keep, (1 + step) / (10 + step))
        torch._foreach_mul_(self.values, keep)
        torch._foreach_add_(self.values, self.parameters, alpha=1 - keep)

    @torch.no_grad()
    def swap(self):
        """Exchanges the averaged and the trained values."""
        for value, parameter in zip(self.values, self.parameters):
            held = parameter.detach().clone()
            parameter.copy_(value)
            value.copy_(held)


class Timetable:
    """Learning-rate factor against the wall clock: constant, then linear to a small rest at `until`."""

    def __init__(self, until, started=None, flat=0.5, rest=0.02):
        self.started = started or time.time()
        clock = datetime.strptime(until, "%H:%M").time()
        end = datetime.combine(datetime.now().date(), clock)
        if end.timestamp() < self.started - 12 * 3600:
            end += timedelta(days=1)
        self.end, self.flat, self.rest = end.timestamp(), flat, rest

    def progress(self):
        """Share of the time that has passed, 0..1."""
        return min(1.0, max(0.0, (time.time() - self.started) / max(1.0, self.end - self.started)))

    def factor(self, step, warm=60):
        """Factor for the learning rates at `step`."""
        done = self.progress()
        fall = 1.0 if done < self.flat else 1.0 - (1.0 - self.rest) * (done - self.flat) / (1.0 - self.flat)
        return fall * min(1.0, (step + 1) / warm)
