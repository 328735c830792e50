"""Writes a Wan model folder with random weights at full width, for benchmarks: no weights of that size are at hand.

    python tools/bench/random_model.py OUT --size 1.3b [--layers 30]

The transformer is in diffusers' layout, stored in bfloat16. Text encoder and autoencoder have their real configurations
and no weights: `kinora model denoise --latents-only` needs none.
"""

import argparse
import json
import pathlib

import torch
from diffusers import WanTransformer3DModel

SIZES = {
    "1.3b": dict(num_attention_heads=12, ffn_dim=8960, num_layers=30),
    "14b": dict(num_attention_heads=40, ffn_dim=13824, num_layers=40),
}
LATENT_CHANNELS = 16
VAE = dict(
    base_dim=96, z_dim=LATENT_CHANNELS, dim_mult=[1, 2, 4, 4], num_res_blocks=2, attn_scales=[],
    temperal_downsample=[False, True, True], latents_mean=[0.0] * LATENT_CHANNELS, latents_std=[1.0] * LATENT_CHANNELS,
)
TEXT_ENCODER = dict(
    vocab_size=256384, d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64, feed_forward_proj="gated-gelu",
)
SCHEDULER = dict(
    _class_name="UniPCMultistepScheduler", num_train_timesteps=1000, flow_shift=3.0, use_flow_sigmas=True,
    prediction_type="flow_prediction",
)


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--size", choices=SIZES, default="1.3b")
    parser.add_argument("--layers", type=int, help="all of them when absent")
    arguments = parser.parse_args()
    settings = dict(SIZES[arguments.size])
    settings["num_layers"] = arguments.layers or settings["num_layers"]
    torch.manual_seed(0)
    with torch.device("meta"):
        model = WanTransformer3DModel(
            patch_size=(1, 2, 2), attention_head_dim=128, in_channels=LATENT_CHANNELS, out_channels=LATENT_CHANNELS,
            text_dim=4096, freq_dim=256, cross_attn_norm=True, qk_norm="rms_norm_across_heads", eps=1e-6, **settings,
        )
    model = model.to(torch.bfloat16).to_empty(device="cpu")
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1 or "scale_shift_table" in name:
            parameter.normal_(1.0 if "norm" in name and name.endswith("weight") else 0.0, 0.05)
        else:
            parameter.normal_(0.0, parameter[0].numel() ** -0.5)
    model.save_pretrained(arguments.out / "transformer", max_shard_size="2GB")
    write_json(arguments.out / "vae/config.json", VAE)
    write_json(arguments.out / "text_encoder/config.json", TEXT_ENCODER)
    write_json(arguments.out / "scheduler/scheduler_config.json", SCHEDULER)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters")


if __name__ == "__main__":
    main()
