"""Generates the held-out prompts, reads the clips back with the checker and prints the rates.

Either from training checkpoints (`--work`, for steering) or from an exported folder (`--folder`, for the record).
"""
import argparse
import json
import subprocess
import time
from collections import defaultdict
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import torch

import heldout
import model
from checker import check
from latents import Pool, linear_decode
from sampling import DEFAULT_STEPS, FLOW_SHIFT, GUIDANCE, frames_of, sample
from world import FPS, SIZE

ATTRIBUTES = ("background", "colour", "motion", "shape")


def through_h264(frames, crf=20):
    """Encodes frames to H.264 (4:2:0) in an MP4 and decodes them again."""
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{SIZE}x{SIZE}", "-r", str(FPS)]
    path = Path("/tmp") / f"clip-{time.time_ns()}.mp4"
    encode = [ffmpeg, "-v", "error", "-y", *raw, "-i", "-", "-c:v", "libx264", "-crf", str(crf), "-pix_fmt", "yuv420p", str(path)]
    subprocess.run(encode, input=frames.tobytes(), check=True)
    decode = [ffmpeg, "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    out = subprocess.run(decode, capture_output=True, check=True).stdout
    path.unlink()
    return np.frombuffer(out, np.uint8).reshape(-1, SIZE, SIZE, 3)


def load_checkpoint(work, linear, name):
    """Networks of the latest checkpoints and a decoder function."""
    from train_dit import averaged
    from train_vae import averaged as averaged_vae

    net, text, step = averaged(work / f"{name}.pt")
    print("step", step)
    if linear:
        pool = Pool(torch.load(work / "pool.pt"))
        return net, text, lambda z: linear_decode(z, pool)
    vae, _ = averaged_vae(work)
    return net, text, lambda z: model.decode(vae, z)


def load_folder(folder):
    """Networks of an exported folder."""
    from diffusers import WanPipeline

    pipe = WanPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    return pipe.transformer, pipe.text_encoder, lambda z: model.decode(pipe.vae, z)


def generate(nets, prompts, seeds, args):
    """Frames of all prompts, in batches."""
    net, text, decoder = nets
    out = []
    for start in range(0, len(prompts), 16):
        part = slice(start, start + 16)
        latents = sample(net, text, prompts[part], seeds[part], args.steps, args.guidance, args.shift)
        with torch.no_grad():
            out += list(frames_of(decoder(latents)))
    return out


def rates(rows):
    """Share of right answers per attribute and for all four together, in per cent."""
    share = {a: 100 * np.mean([r["want"][a] == r["seen"][a] for r in rows]) for a in ATTRIBUTES}
    share["all"] = 100 * np.mean([all(r["want"][a] == r["seen"][a] for a in ATTRIBUTES) for r in rows])
    return share


def breakdown(rows, attribute):
    """Right answers by value of an attribute, with the wrong readings."""
    groups = defaultdict(list)
    for r in rows:
        groups[r["want"][attribute]].append(r["seen"][attribute])
    for value, seen in groups.items():
        wrong = [s for s in seen if s != value]
        print(f"  {attribute} {value}: {len(seen) - len(wrong)}/{len(seen)} {' '.join(wrong)}")


def judge(entries, clips):
    """Rows of wanted and seen attributes."""
    rows = []
    for entry, clip in zip(entries, clips):
        seen = check(clip)
        rows.append({"want": entry, "seen": {a: getattr(seen, a) for a in ATTRIBUTES}})
    return rows


def contact_sheet(clips, path, columns=(0, 4, 8, 12, 16)):
    """Writes a picture with one row per clip, three clips side by side."""
    from PIL import Image

    rows = [np.concatenate(clip[list(columns)], axis=1) for clip in clips]
    rows += [np.zeros_like(rows[0])] * (-len(rows) % 3)
    wide = [np.concatenate(rows[i:i + 3], axis=1) for i in range(0, len(rows), 3)]
    Image.fromarray(np.concatenate(wide)).save(path)


def paraphrase_entries():
    """The paraphrase groups as single entries."""
    groups = heldout.paraphrases()
    return [{**{a: g[a] for a in ATTRIBUTES}, "prompt": p, "seed": g["seed"]} for g in groups for p in g["prompts"]]


def report(title, rows):
    print(title, len(rows), "clips:", " ".join(f"{k} {v:.1f}%" for k, v in rates(rows).items()), flush=True)


def main(args):
    torch.set_num_threads(args.threads)
    nets = load_folder(args.folder) if args.folder else load_checkpoint(args.work, args.linear, args.name)
    sets = {"held-out": heldout.prompts()[:: args.stride]}
    if args.paraphrases:
        sets["paraphrases"] = paraphrase_entries()
    result = {}
    for title, entries in sets.items():
        clips = generate(nets, [e["prompt"] for e in entries], [e["seed"] for e in entries], args)
        clips = clips if args.raw else [through_h264(c) for c in clips]
        rows = judge(entries, clips)
        report(title, rows)
        breakdown(rows, "shape")
        breakdown(rows, "motion")
        breakdown(rows, "colour") if args.colours else None
        result[title] = {"clips": len(rows), **rates(rows)}
        if args.sheet:
            contact_sheet(clips[:30], args.sheet.with_name(f"{args.sheet.stem}-{title}.png"))
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--name", default="dit")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--linear", action="store_true", help="decode without the network")
    parser.add_argument("--raw", action="store_true", help="check frames without H.264")
    parser.add_argument("--stride", type=int, default=1, help="take every n-th prompt")
    parser.add_argument("--paraphrases", action="store_true")
    parser.add_argument("--colours", action="store_true")
    parser.add_argument("--steps", type=int, default=DEFAULT_STEPS)
    parser.add_argument("--guidance", type=float, default=GUIDANCE)
    parser.add_argument("--shift", type=float, default=FLOW_SHIFT)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sheet", type=Path, help="picture of the first clips")
    parser.add_argument("--json", type=Path, help="write the rates here")
    return parser.parse_args()


if __name__ == "__main__":
    main(arguments())
