"""Times a language model against transformers on the same GGUF file, prompts, threads and precision.

    python tools/bench/llm.py MODEL.gguf --engine PATH/TO/llm [--rounds 5] [--threads 2] [--tokens 48] [--dtype f32 ..]

PATH/TO/llm is the example of kinora-models (`cargo build --release -p kinora-models --example llm`). Engine and reference
alternate round by round in processes of their own, so that other load on the machine hits both. Each continues the same
prompts greedily, token by token with its cache; the first prompt warms up and does not count. Printed per precision:
tokens per second while generating (the median step of each run) and while reading a prompt, medians with spread, and the
ratio engine / reference (above 1: the engine is faster).
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

PROMPTS = pathlib.Path(__file__).parent.parent.parent / "libs/models/tests/goldens/smollm2.json"
PROMPT_COUNT = 4
LONG_PROMPT = 256


def prompts():
    """Short prompts of the goldens, and a long one of them one after the other."""
    cases = [case["prompt"] for case in json.loads(PROMPTS.read_text())["cases"]]
    together = [token for case in cases for token in case]
    return [*cases[:PROMPT_COUNT], together[:LONG_PROMPT]]


def reference(arguments):
    """Continues the prompts with transformers and prints what the engine's example prints."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(arguments.threads)
    dtype = dict(f32=torch.float32, bf16=torch.bfloat16)[arguments.dtype[0]]
    path = arguments.model.resolve()
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=dtype).eval()
    with torch.inference_mode():
        for prompt in prompts():
            tokens, times = [], [time.perf_counter()]
            out = model(torch.tensor([prompt]), use_cache=True, logits_to_keep=1)
            times.append(time.perf_counter())
            for _ in range(arguments.tokens - 1):
                tokens.append(out.logits[0, -1].argmax().item())
                out = model(torch.tensor([tokens[-1:]]), past_key_values=out.past_key_values, use_cache=True)
                times.append(time.perf_counter())
            print(json.dumps(dict(tokens=tokens, seconds=[after - before for before, after in zip(times, times[1:])])))


def run_reference(arguments, dtype):
    command = [sys.executable, __file__, str(arguments.model), "--as-reference", "--dtype", dtype, "--threads",
               str(arguments.threads), "--tokens", str(arguments.tokens)]
    return results(command)


def run_engine(arguments, dtype):
    return results([str(arguments.engine), str(arguments.model), dtype, str(arguments.threads), str(arguments.tokens)])


def results(command):
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                            input=json.dumps(prompts())).stdout
    runs = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    steps = [seconds for run in runs[1:] for seconds in run["seconds"][1:]]
    return dict(
        generating=1 / statistics.median(steps),
        reading=LONG_PROMPT / runs[-1]["seconds"][0],
        tokens=[run["tokens"] for run in runs],
    )


def cell(values, digits=1):
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def same(ours, theirs):
    """Tokens that both said, of those that both had time to say."""
    pairs = [pair for one, other in zip(ours, theirs) for pair in zip(one, other)]
    return f"{sum(one == other for one, other in pairs)} of {len(pairs)}"


def run_case(dtype, arguments):
    theirs, ours = [], []
    for _ in range(arguments.rounds):
        theirs.append(run_reference(arguments, dtype))
        ours.append(run_engine(arguments, dtype))
    for what in ("generating", "reading"):
        sides = [[run[what] for run in side] for side in (theirs, ours)]
        ratios = [engine / peer for peer, engine in zip(*sides)]
        said = same(ours[0]["tokens"], theirs[0]["tokens"])
        print(f"| {dtype}, {what} | {cell(sides[0])} | {cell(sides[1])} | {cell(ratios, 2)} | {said} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--engine", type=pathlib.Path, help="the example llm of kinora-models")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--dtype", nargs="+", choices=["f32", "bf16"], default=["f32", "bf16"])
    parser.add_argument("--as-reference", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.as_reference:
        return reference(arguments)
    if not arguments.engine:
        parser.error("--engine is missing: build it with `cargo build --release -p kinora-models --example llm`")
    print(f"{arguments.rounds} rounds, {arguments.threads} threads, load {os.getloadavg()[0]:.1f}\n")
    print("| case | transformers, tokens per s | engine, tokens per s | ratio | tokens alike |\n| --- | --- | --- | --- | --- |",
          flush=True)
    for dtype in arguments.dtype:
        run_case(dtype, arguments)


if __name__ == "__main__":
    main()
