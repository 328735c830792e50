"""Times denoising against diffusers on the same weights, noise, embeddings, threads and precision.

    python tools/bench/models.py --engine PATH/TO/kinora [--work FOLDER] [--rounds 3] [--device cpu] [CASE..]

Cases (all when none is named): `tiny` (the trained small model), `1.3b-2` and `1.3b-30` (random weights at full width,
written by random_model.py into the work folder, kept there). Engine and reference alternate round by round in processes
of their own, so that other load on the machine hits both; each runs a few steps and its median step counts. Printed per
case: seconds per step with spread, the ratio reference / engine (above 1: the engine is faster), TFLOP/s, the peak
memory of both processes with their libraries and the engine's estimate of weights and activations, and how far the last
latents are apart, relative to the largest.
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

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
# size and frames of the clip, steps, guidance
CASES = {
    "tiny": dict(width=64, height=64, frames=17, steps=20, guidance=5.0, folder=ROOT / "models/kinora-tiny-t2v"),
    "1.3b-2": dict(width=832, height=480, frames=5, steps=3, guidance=5.0, layers=2),
    "1.3b-30": dict(width=256, height=256, frames=5, steps=3, guidance=5.0, layers=30),
    "1.3b": dict(width=832, height=480, frames=81, steps=4, guidance=5.0, layers=30),
}
ON_CPU = ["tiny", "1.3b-2", "1.3b-30"]
SHIFT = 3.0


def latent_shape(case, channels):
    return (1, channels, (case["frames"] - 1) // 4 + 1, case["height"] // 8, case["width"] // 8)


def step_tflop(case, config):
    """Multiplications and additions of one guided step: matrices over all tokens, and self attention."""
    _, _, frames, height, width = latent_shape(case, config["in_channels"])
    tokens = frames * (height // 2) * (width // 2)
    dim = config["num_attention_heads"] * config["attention_head_dim"]
    weights = config["num_layers"] * (6 * dim * dim + 2 * dim * config["ffn_dim"])
    passes = 2 if case["guidance"] > 1 else 1
    return passes * (2 * weights * tokens + 4 * config["num_layers"] * tokens * tokens * dim) / 1e12


def write_inputs(path, case, config):
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(1)
    draw = lambda *shape: torch.randn(shape, generator=generator)
    embeds = torch.zeros(2, 1, 512, config["text_dim"])
    embeds[0, :, :40], embeds[1, :, :60] = draw(1, 40, config["text_dim"]), draw(1, 60, config["text_dim"])
    save_file(
        dict(noise=draw(*latent_shape(case, config["in_channels"])), prompt_embeds=embeds[0].clone(),
             negative_prompt_embeds=embeds[1].clone()),
        path,
    )


def reference(arguments):
    """Denoises with diffusers and prints the median time of a step and the peak memory."""
    import torch
    from diffusers import UniPCMultistepScheduler, WanTransformer3DModel
    from safetensors.torch import load_file, save_file

    torch.set_num_threads(arguments.threads)
    dtype = dict(f32=torch.float32, bf16=torch.bfloat16)[arguments.dtype]
    values = load_file(arguments.inputs)
    device = arguments.device
    model = WanTransformer3DModel.from_pretrained(arguments.folder / "transformer", torch_dtype=dtype)
    model = model.to(device).eval()
    scheduler = UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000, flow_shift=SHIFT,
    )
    scheduler.set_timesteps(arguments.steps)
    latents = values["noise"].to(device)
    texts = [values[name].to(device, dtype) for name in ("prompt_embeds", "negative_prompt_embeds")]
    seconds = []
    with torch.no_grad():
        for timestep in scheduler.timesteps:
            begun = time.perf_counter()
            prompted, plain = (
                model(latents.to(dtype), timestep.expand(1).to(device), text, return_dict=False)[0].float()
                for text in texts
            )
            velocity = plain + arguments.guidance * (prompted - plain)
            latents = scheduler.step(velocity, timestep, latents, return_dict=False)[0]
            latents.cpu()
            seconds.append(time.perf_counter() - begun)
    save_file(dict(latents=latents.cpu().contiguous()), arguments.out)
    if device == "cpu":
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    else:
        peak = torch.cuda.max_memory_allocated()
    print(json.dumps(dict(seconds=sorted(seconds)[len(seconds) // 2], peak=peak)))


def run_reference(arguments, case, folder, files):
    command = [sys.executable, __file__, "--as-reference", "--folder", str(folder), "--inputs", files[0], "--out",
               files[1], "--steps", str(case["steps"]), "--guidance", str(case["guidance"]), "--threads",
               str(arguments.threads), "--dtype", arguments.dtype, "--device", arguments.device]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output.strip().splitlines()[-1])


def run_engine(arguments, case, folder, files):
    command = [str(arguments.engine), "model", "denoise", "--model", str(folder), "--inputs", files[0], "--out",
               files[1], "--steps", str(case["steps"]), "--guidance", str(case["guidance"]), "--shift", str(SHIFT),
               "--sampler", "unipc", "--threads", str(arguments.threads), "--dtype", arguments.dtype, "--device",
               arguments.device, "--latents-only"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    messages = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)}\n{messages}")
    words = messages.strip().splitlines()[-1].split()
    return dict(seconds=float(words[0]), peak=usage.ru_maxrss * 1024, estimate=int(words[-2]) * 2**20)


def apart(first, second):
    from safetensors.torch import load_file

    left, right = load_file(first)["latents"], load_file(second)["latents"][-1]
    return ((left - right).abs().max() / left.abs().max()).item()


def cell(values, digits=2):
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def run_case(name, arguments):
    case = CASES[name]
    folder = case.get("folder") or arguments.work / f"wan-1.3b-{case['layers']}"
    if not (folder / "scheduler/scheduler_config.json").exists():
        subprocess.run([sys.executable, HERE / "random_model.py", folder, "--layers", str(case["layers"])], check=True)
    config = json.loads((folder / "transformer/config.json").read_text())
    results = ([], [])
    with tempfile.TemporaryDirectory(dir=arguments.work) as temporary:
        inputs, expected, found = (f"{temporary}/{part}.safetensors" for part in ("inputs", "reference", "engine"))
        write_inputs(inputs, case, config)
        for _ in range(arguments.rounds):
            results[0].append(run_reference(arguments, case, folder, (inputs, expected)))
            results[1].append(run_engine(arguments, case, folder, (inputs, found)))
        distance = apart(expected, found)
    seconds = [[result["seconds"] for result in side] for side in results]
    ratios = [reference / engine for reference, engine in zip(*seconds)]
    tflop = step_tflop(case, config)
    rates = "/".join(f"{tflop / statistics.median(side):.3f}" for side in seconds)
    peaks = "/".join(f"{max(result['peak'] for result in side) / 2**30:.2f}" for side in results)
    peaks += f" ({results[1][0]['estimate'] / 2**30:.2f})"
    size = f"{case['width']}x{case['height']}x{case['frames']}"
    digits = 2 if min(seconds[1]) > 1 else 4
    print(f"| {name} | {size} | {cell(seconds[0], digits)} | {cell(seconds[1], digits)} | {cell(ratios)} | {rates} | "
          f"{peaks} | {distance:.1e} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", choices=[[], *CASES])
    parser.add_argument("--engine", type=pathlib.Path, help="the kinora program")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()) / "kinora-bench")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--device", default="cpu")
    for hidden in ("--as-reference",):
        parser.add_argument(hidden, action="store_true", help=argparse.SUPPRESS)
    for name, kind in dict(folder=pathlib.Path, inputs=str, out=str, steps=int, guidance=float).items():
        parser.add_argument(f"--{name}", type=kind, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.as_reference:
        return reference(arguments)
    if not arguments.engine:
        parser.error("--engine is missing: build it with `cargo build --release -p kinora-cli`")
    arguments.work.mkdir(parents=True, exist_ok=True)
    print(f"{arguments.rounds} rounds, {arguments.threads} threads, {arguments.dtype} on {arguments.device}, "
          f"load {os.getloadavg()[0]:.1f}\n")
    print("| case | clip | diffusers, s per step | engine, s per step | ratio | TFLOP/s | peak GiB (estimate) | apart |\n"
          "| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for name in arguments.cases or ON_CPU:
        run_case(name, arguments)


if __name__ == "__main__":
    main()
