"""Draws clips from the network with the scheduler, guidance and noise that the exported folder uses."""
import numpy as np
import torch
from diffusers import UniPCMultistepScheduler

import model
from tokenizer import build

FLOW_SHIFT, GUIDANCE, DEFAULT_STEPS = 3.0, 2.0, 20


def new_scheduler(shift=FLOW_SHIFT):
    """UniPC on flow sigmas."""
    return UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000, flow_shift=shift)


def token_ids(texts):
    """Ids and mask `[b, slots]`, cut to the slots that training used."""
    tokenizer, rows = build(), []
    for text in texts:
        ids = tokenizer.encode(text).ids[-model.TEXT_SLOTS + 1:]
        rows.append(ids + [0] * (model.TEXT_SLOTS - len(ids)))
    ids = torch.tensor(rows)
    return ids, (ids != 0).float()


def initial_noise(seeds):
    """Noise of every seed, drawn alone, so that a batch gives what single clips give."""
    return torch.cat([torch.randn(1, 16, 5, 8, 8, generator=torch.Generator("cpu").manual_seed(s)) for s in seeds])


@torch.no_grad()
def sample(net, text_encoder, prompts, seeds, steps=DEFAULT_STEPS, guidance=GUIDANCE, shift=FLOW_SHIFT):
    """Normalised latents `[b, 16, 5, 8, 8]` for the prompts."""
    text = model.encode_text(text_encoder, *token_ids(list(prompts) + [""] * len(prompts)))
    table, latents, scheduler = model.RotaryTable(net), initial_noise(seeds), new_scheduler(shift)
    scheduler.set_timesteps(steps)
    for t in scheduler.timesteps:
        both = model.velocity(net, torch.cat([latents, latents]), t.float().repeat(2 * len(seeds)), text, table)
        cond, free = both.chunk(2)
        latents = scheduler.step(free + guidance * (cond - free), t, latents, return_dict=False)[0]
    return latents


def frames_of(video):
    """`[b, 3, f, h, w]` in -1..1 to `[b, f, h, w, 3]` uint8."""
    scaled = (video.clamp(-1, 1) / 2 + 0.5) * 255
    return scaled.round().byte().permute(0, 2, 3, 4, 1).numpy().astype(np.uint8)
