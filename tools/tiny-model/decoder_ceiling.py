"""Reads back decoded exact latents: what the decoder and H.264 alone cost, before the transformer adds its own errors."""
import argparse
from pathlib import Path

import numpy as np
import torch

import model
from evaluate import breakdown, judge, report, through_h264
from sampling import frames_of
from train_vae import Clips, averaged, psnr
from world import BACKGROUNDS, COLOURS, pairs

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--count", type=int, default=62)
    args = parser.parse_args()
    torch.set_num_threads(1)
    vae, pool = averaged(args.work)
    clips, entries, frames, ratios, through = Clips(pool, np.random.default_rng(5)), [], [], [], []
    with torch.no_grad():
        for index in range(args.count):
            shape, motion = pairs()[index % len(pairs())]
            colour, background = list(COLOURS)[index % 8], list(BACKGROUNDS)[index % 3]
            video, latents = clips.render(shape, motion, colour, background)
            entries.append({"shape": shape, "motion": motion, "colour": colour, "background": background})
            out = model.decode(vae, latents[None])
            ratios.append(psnr(out[0], video))
            again = model.decode(vae, model.encode(vae, video[None]))
            through.append(psnr(again[0], video))
            frames += list(frames_of(out))
    rows = judge(entries, [through_h264(f) for f in frames])
    report("decoded exact latents", rows)
    breakdown(rows, "shape")
    breakdown(rows, "motion")
    breakdown(rows, "colour")
    print(f"decode {np.mean(ratios):.2f} dB, encode and decode {np.mean(through):.2f} dB")
