"""Runs diffusers' pipelines of the image-to-video families at tiny random configurations and stores their clips."""

import json
import pathlib
import sys
import tomllib

import numpy as np
import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanImageToVideoPipeline, WanTransformer3DModel
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel

from make_goldens import (
    CARD, SCHEDULER, TEXT_SLOTS, make_text_encoder, make_tokenizer, make_vae, randomise,
)

PROMPT, NEGATIVE = "a red circle moves to the right on black", "blurry dark"
STEPS, GUIDANCE, SEED, FRAMES = 4, 3.0, 7, 9
# What the native layout takes for granted: heads of the image encoder, blocks on a level of the autoencoder and the
# shift of the noise levels. The same weights are stored in it by make_native_goldens.py.
IMAGE_WIDTH, IMAGE_HEADS = 32, 16
RESIDUAL_BLOCKS = 2
SHIFT = 5.0
LATENTS = pathlib.Path(__file__).parents[2] / "libs/models/src/folder/latents.toml"


def make_transformer(inputs, outputs, seed, **image_branch):
    transformer = WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=inputs,
        out_channels=outputs, text_dim=32, freq_dim=32, ffn_dim=32, num_layers=2, cross_attn_norm=True,
        qk_norm="rms_norm_across_heads", rope_max_seq_len=32, **image_branch,
    )
    return randomise(transformer, seed)


def make_image_encoder(seed):
    config = CLIPVisionConfig(
        hidden_size=IMAGE_WIDTH, intermediate_size=32, num_hidden_layers=2, num_attention_heads=IMAGE_HEADS,
        image_size=224, patch_size=14, hidden_act="gelu", projection_dim=8,
    )
    return randomise(CLIPVisionModel(config), seed)


def make_vae22(seed):
    channels = 48
    known = tomllib.loads(LATENTS.read_text())["autoencoder"]
    latents = next(latents for latents in known if latents["channels"] == channels)
    vae = AutoencoderKLWan(
        base_dim=4, decoder_base_dim=4, z_dim=channels, dim_mult=[1, 1, 1, 1],
        num_res_blocks=RESIDUAL_BLOCKS,
        temperal_downsample=[False, True, True], is_residual=True, patch_size=2, in_channels=12, out_channels=12,
        scale_factor_spatial=16, scale_factor_temporal=4,
        latents_mean=latents["mean"], latents_std=latents["deviation"],
    )
    return randomise(vae, seed, out_gain=0.3)


def picture(height, width, seed):
    generator = np.random.default_rng(seed)
    smooth = Image.fromarray(generator.integers(0, 256, (4, 6, 3), dtype=np.uint8))
    return smooth.resize((width, height), Image.Resampling.BICUBIC)


def store_halves(folder):
    """Half the bytes: all weights are numbers of 16 bits."""
    for file in folder.glob("*/*.safetensors"):
        tensors = load_file(file)
        halves = {name: tensor.bfloat16() for name, tensor in tensors.items()}
        assert all(tensor.equal(halves[name].float()) for name, tensor in tensors.items()), file
        save_file(halves, file, metadata={"format": "pt"})


def family(root, name, card, parts, height, width, images):
    folder = root / f"pipeline-{name}"
    tokenizer = make_tokenizer()
    pipeline = WanImageToVideoPipeline(
        tokenizer=tokenizer, text_encoder=make_text_encoder(len(tokenizer), 32, 31),
        scheduler=UniPCMultistepScheduler(flow_shift=SHIFT, **SCHEDULER), **parts,
    )
    pipeline.save_pretrained(folder)
    store_halves(folder)
    card = {**CARD, **card, "defaults": {**CARD["defaults"], "width": width, "height": height, "steps": STEPS}}
    card["limits"] = {**CARD["limits"], "min_width": 32, "min_height": 32}
    (folder / "kinora.json").write_text(json.dumps(card, indent=2) + "\n")
    pipeline.set_progress_bar_config(disable=True)
    latents = []

    def keep(_pipe, _step, _timestep, values):
        latents.append(values["latents"].clone())
        return {}

    channels = pipeline.vae.config.z_dim
    stride = pipeline.vae_scale_factor_spatial
    shape = (1, channels, (FRAMES - 1) // 4 + 1, height // stride, width // stride)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(SEED))
    frames = pipeline(
        images[0], PROMPT, NEGATIVE, height=height, width=width, num_frames=FRAMES, num_inference_steps=STEPS,
        guidance_scale=GUIDANCE, latents=noise, output_type="np", callback_on_step_end=keep,
        last_image=images[1] if len(images) > 1 else None, max_sequence_length=TEXT_SLOTS,
    ).frames[0]
    values = {f"image_{index}": torch.from_numpy(np.array(image)) for index, image in enumerate(images)}
    values.update(
        noise=noise, latents=torch.stack(latents), frames=torch.from_numpy(np.ascontiguousarray(frames)),
    )
    save_file({k: v.contiguous() for k, v in values.items()}, folder / "io.safetensors")
    run = dict(prompt=PROMPT, negative_prompt=NEGATIVE, seed=SEED, steps=STEPS, guidance=GUIDANCE, frames=FRAMES)
    (folder / "run.json").write_text(json.dumps(run) + "\n")
    print(name, float(np.std(frames)), [float(v.abs().max()) for v in latents])


@torch.no_grad()
def main():
    root = pathlib.Path(sys.argv[1])
    branch = dict(image_dim=IMAGE_WIDTH, added_kv_proj_dim=24)
    clip = dict(image_processor=CLIPImageProcessor())
    family(
        root, "i2v", {"id": "golden-i2v", "family": "wan-i2v"},
        dict(transformer=make_transformer(36, 16, 51, **branch), vae=make_vae(3, [1, 1, 1, 1], 51, RESIDUAL_BLOCKS),
             image_encoder=make_image_encoder(52), **clip),
        32, 48, [picture(32, 48, 1)],
    )
    family(
        root, "flf2v", {"id": "golden-flf2v", "family": "wan-flf2v"},
        dict(transformer=make_transformer(36, 16, 53, pos_embed_seq_len=514, **branch),
             vae=make_vae(3, [1, 1, 1, 1], 51, RESIDUAL_BLOCKS), image_encoder=make_image_encoder(52), **clip),
        32, 32, [picture(32, 32, 2), picture(32, 32, 3)],
    )
    family(
        root, "ti2v", {"id": "golden-ti2v", "family": "wan-ti2v"},
        dict(transformer=make_transformer(48, 48, 54), vae=make_vae22(55), expand_timesteps=True),
        32, 64, [picture(32, 64, 4)],
    )


if __name__ == "__main__":
    main()
