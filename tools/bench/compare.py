"""Times diffusers' WanPipeline against the Rust engine on the same weights, seed, steps and thread count.

    python tools/bench/compare.py MODEL_FOLDER --engine PATH/TO/generate [--threads 2] [--rounds 5]

`generate` is the example of kinora-models (cargo build --release -p kinora-models --example generate). The two
alternate round by round, so that other load on the machine hits both. Each round is one process per side that generates
twice; the second, warm clip counts. Printed: seconds by the clock and processor seconds, median and spread, the ratio
reference / engine (above 1: the engine is faster), and how far the clips differ.
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time


def reference(arguments):
    """Generates twice with diffusers and prints the times of the second clip."""
    import numpy as np
    import torch
    from diffusers import WanPipeline

    torch.set_num_threads(arguments.threads)
    defaults = json.loads((arguments.folder / "kinora.json").read_text())["defaults"]
    pipeline = WanPipeline.from_pretrained(arguments.folder)
    pipeline.set_progress_bar_config(disable=True)
    for _ in range(2):
        clock, processor = time.perf_counter(), time.process_time()
        frames = pipeline(
            arguments.prompt, defaults.get("negative_prompt", ""), height=defaults["height"], width=defaults["width"],
            num_frames=defaults["frames"], num_inference_steps=defaults["steps"],
            guidance_scale=defaults["guidance"], generator=torch.Generator().manual_seed(arguments.seed),
        ).frames[0]
        clock, processor = time.perf_counter() - clock, time.process_time() - processor
    np.round(frames * 255).astype(np.uint8).tofile(arguments.raw)
    print(json.dumps(dict(clock=clock, processor=processor)))


def run_reference(arguments, raw):
    command = [sys.executable, __file__, str(arguments.folder), "--as-reference", "--raw", raw, "--prompt",
               arguments.prompt, "--threads", str(arguments.threads), "--seed", str(arguments.seed)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output.strip().splitlines()[-1])


def run_engine(arguments, raw):
    command = [str(arguments.engine), str(arguments.folder), "--prompt", arguments.prompt, "--raw", raw,
               "--threads", str(arguments.threads), "--seed", str(arguments.seed)]

    def processor_seconds(repeat):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        output = subprocess.run(command + ["--repeat", str(repeat)], check=True, capture_output=True, text=True).stdout
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return spent, json.loads(output.strip().splitlines()[-1])

    one, _ = processor_seconds(1)
    three, last = processor_seconds(3)
    return dict(clock=last["total_s"], processor=(three - one) / 2,
                stages={name: value for name, value in last.items() if name != "total_s"})


def row(name, sides):
    cells = []
    for values in sides:
        cells.append(f"{statistics.median(values):7.2f} ({min(values):.2f} to {max(values):.2f})")
    ratios = [reference / engine for reference, engine in zip(*sides)]
    cells.append(f"{statistics.median(ratios):5.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    print(f"| {name} | " + " | ".join(cells) + " |")


def largest_byte_difference(first, second):
    left, right = pathlib.Path(first).read_bytes(), pathlib.Path(second).read_bytes()
    assert len(left) == len(right), "the clips have different sizes"
    return max(abs(a - b) for a, b in zip(left, right))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--engine", type=pathlib.Path)
    parser.add_argument("--prompt", default="a red circle moves right")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--as-reference", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--raw", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.as_reference:
        return reference(arguments)
    results = ([], [])
    with tempfile.TemporaryDirectory() as folder:
        files = [f"{folder}/reference", f"{folder}/engine"]
        for _ in range(arguments.rounds):
            results[0].append(run_reference(arguments, files[0]))
            results[1].append(run_engine(arguments, files[1]))
        difference = largest_byte_difference(*files)
    print(f"{arguments.rounds} rounds, {arguments.threads} threads, load {os.getloadavg()[0]:.1f}\n")
    print("| seconds per clip | diffusers | engine | ratio |\n| --- | --- | --- | --- |")
    for name in ("clock", "processor"):
        row(name, [[result[name] for result in side] for side in results])
    stages = results[1][-1]["stages"]
    print("\nengine's last run: " + ", ".join(f"{name} {value:.3f}" for name, value in stages.items()))
    print(f"largest difference between the two clips: {difference} of 255")


if __name__ == "__main__":
    main()
