"""Writes the trained parts as a diffusers folder that `WanPipeline.from_pretrained` loads, with Kinora's metadata."""
import argparse
import json
from pathlib import Path

import torch
from diffusers import WanPipeline
from transformers import AutoTokenizer

import heldout
import tokenizer
from captions import vocabulary
from sampling import DEFAULT_STEPS, GUIDANCE, new_scheduler
from train_dit import averaged
from train_vae import averaged as averaged_vae
from world import FPS, FRAMES, SIZE

TITLE = "Kinora Tiny: one coloured shape, one motion, 64x64, two seconds"


def metadata():
    """The content of `kinora.json`."""
    return {
        "id": "kinora-tiny-t2v", "family": "wan-t2v", "title": TITLE, "licence": "Apache-2.0",
        "defaults": {"width": SIZE, "height": SIZE, "frames": FRAMES, "fps": FPS, "steps": DEFAULT_STEPS, "guidance": GUIDANCE,
                     "negative_prompt": "", "sampler": "unipc", "grid": "diffusers"},
        "limits": {"min_width": SIZE, "max_width": SIZE, "min_height": SIZE, "max_height": SIZE, "max_frames": FRAMES,
                   "max_steps": 100, "max_prompt_chars": 2000, "max_guidance": 20.0},
        "vocabulary": [word for word in vocabulary() if word.isalpha()],
    }


def export(work, folder, name="dit"):
    """Assembles the pipeline from the averaged weights in `work` and writes it to `folder`."""
    net, text, step = averaged(work / f"{name}.pt")
    vae, _ = averaged_vae(work)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(folder / "tokenizer")
    pipe = WanPipeline(tokenizer=AutoTokenizer.from_pretrained(folder / "tokenizer"), text_encoder=text, vae=vae,
                       scheduler=new_scheduler(), transformer=net)
    pipe.save_pretrained(folder, safe_serialization=True)
    (folder / "kinora.json").write_text(json.dumps(metadata(), indent=1) + "\n")
    heldout.write(folder / "heldout.json")
    size = sum(p.stat().st_size for p in folder.rglob("*.safetensors"))
    print(f"step {step}: {size / 1e6:.2f} MB of safetensors")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--name", default="dit")
    args = parser.parse_args()
    torch.set_num_threads(1)
    export(args.work, args.folder, args.name)
