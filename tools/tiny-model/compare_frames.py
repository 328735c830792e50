"""Writes golden frames: a few prompts through diffusers' own `WanPipeline` at the folder's defaults, in f32.

`golden/frames.safetensors` holds one uint8 tensor `[17, 64, 64, 3]` per prompt ("clip0", ...); `golden/frames.json` names
prompt, seed and settings. With `--check` it also compares the fast passes used for evaluation with the pipeline.
"""
import argparse
import json
from pathlib import Path

import numpy as np
import torch
from diffusers import WanPipeline
from safetensors.numpy import save_file

import model
from sampling import frames_of, sample

CASES = (("a red circle moves right on a black background", 7), ("a blue star spins on a white background", 8),
         ("a marvellous green triangle, growing, on a gray background", 9))


def through_pipeline(pipe, prompt, seed, defaults):
    """Frames `[17, 64, 64, 3]` uint8 of one prompt."""
    noise = torch.Generator("cpu").manual_seed(seed)
    video = pipe(prompt=prompt, negative_prompt=defaults["negative_prompt"], height=defaults["height"], width=defaults["width"],
                 num_frames=defaults["frames"], num_inference_steps=defaults["steps"], guidance_scale=defaults["guidance"],
                 generator=noise, output_type="np").frames[0]
    # Contiguous, because safetensors writes the memory as it lies.
    return np.ascontiguousarray(np.round(video * 255).astype(np.uint8))


def main(folder, check):
    defaults = json.loads((folder / "kinora.json").read_text())["defaults"]
    pipe = WanPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    clips = {f"clip{i}": through_pipeline(pipe, prompt, seed, defaults) for i, (prompt, seed) in enumerate(CASES)}
    golden = folder / "golden"
    golden.mkdir(exist_ok=True)
    save_file(clips, golden / "frames.safetensors")
    cases = [{"tensor": f"clip{i}", "prompt": prompt, "seed": seed} for i, (prompt, seed) in enumerate(CASES)]
    (golden / "frames.json").write_text(json.dumps({"settings": defaults, "cases": cases}, indent=1) + "\n")
    if check:
        with torch.no_grad():
            latents = sample(pipe.transformer, pipe.text_encoder, [p for p, _ in CASES], [s for _, s in CASES],
                             defaults["steps"], defaults["guidance"], pipe.scheduler.config.flow_shift)
            fast = frames_of(model.decode(pipe.vae, latents))
        gaps = [int(np.abs(f.astype(int) - c.astype(int)).max()) for f, c in zip(fast, clips.values())]
        print("largest differences to the fast passes, of 255:", gaps)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    main(arguments.folder, arguments.check)
