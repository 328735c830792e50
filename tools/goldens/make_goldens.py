"""Runs the reference implementations at tiny random configurations and stores what they compute."""

import json
import pathlib
import sys

import numpy as np
import torch
from diffusers import (
    AutoencoderKLWan,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    UniPCMultistepScheduler,
    WanPipeline,
    WanTransformer3DModel,
)
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    CLIPVisionModel,
    PreTrainedTokenizerFast,
    UMT5Config,
    UMT5EncoderModel,
)

TEXT_SLOTS = 512
SCHEDULER = dict(prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000)


def randomise(model, seed, out_gain=1.0):
    """Random weights that keep activations near 1, rounded to bfloat16."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if name.endswith(("gamma", "norm.weight")) or (
            (".norm" in name or ".layer_norm" in name) and name.endswith("weight")
        ):
            value = 1 + 0.1 * noise
        elif name.endswith("bias"):
            value = 0.1 * noise
        elif "scale_shift_table" in name:
            value = 0.3 * noise
        elif "shared" in name or "embed_tokens" in name:
            value = noise
        elif "relative_attention_bias" in name:
            value = 0.5 * noise
        else:
            value = noise / parameter[0].numel() ** 0.5
            if "conv_out" in name:
                value = value * out_gain
        parameter.data = value.bfloat16().float()
    return model.eval()


def save_network(model, folder, save_config):
    folder.mkdir(parents=True, exist_ok=True)
    save_config(folder)
    tensors = {name: value.bfloat16().contiguous() for name, value in model.state_dict().items()}
    save_file(tensors, folder / "diffusion_pytorch_model.safetensors")


def normal(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def transformer_golden(root, name, heads, width, layers, ffn, text, seed):
    model = WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=heads, attention_head_dim=width, in_channels=16,
        out_channels=16, text_dim=text, freq_dim=64, ffn_dim=ffn, num_layers=layers,
        cross_attn_norm=True, qk_norm="rms_norm_across_heads", rope_max_seq_len=64,
    )
    randomise(model, seed)
    folder = root / f"transformer-{name}"
    save_network(model, folder, model.save_config)
    latents, prompt, negative = normal(1, 1, 16, 3, 4, 6), normal(2, 11, text), normal(3, 5, text)
    values = dict(latents=latents, prompt=prompt, negative=negative)
    for which in ("prompt", "negative"):
        padded = torch.zeros(1, TEXT_SLOTS, text)
        padded[0, : len(values[which])] = values[which]
        for timestep in (999, 431):
            out = model(latents, torch.tensor([timestep]), padded, return_dict=False)[0]
            values[f"{which}_velocity_{timestep}"] = out
    save_file(values, folder / "io.safetensors")


def family_golden(root, name, channels, out_channels, layers, seed, image_tokens=None, **options):
    """A transformer of another family than text to video, with the extra inputs that it takes."""
    model = WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=channels,
        out_channels=out_channels, text_dim=16, freq_dim=32, ffn_dim=32, num_layers=layers,
        cross_attn_norm=True, qk_norm="rms_norm_across_heads", rope_max_seq_len=32, **options,
    )
    randomise(model, seed)
    folder = root / f"transformer-{name}"
    save_network(model, folder, model.save_config)
    values = dict(latents=normal(1, 1, channels, 3, 4, 6), prompt=normal(2, 11, 16), negative=normal(3, 5, 16))
    image = None
    if image_tokens is not None:
        values["image"] = normal(7, image_tokens, options["image_dim"])
        # The first and the last frame come as a batch of two.
        frames = 2 if options.get("pos_embed_seq_len") else 1
        image = values["image"].view(frames, image_tokens // frames, -1)
    clean_first_frame = image_tokens is None
    for which in ("prompt", "negative"):
        padded = torch.zeros(1, TEXT_SLOTS, 16)
        padded[0, : len(values[which])] = values[which]
        for timestep in (999, 431):
            times = torch.tensor([timestep])
            if clean_first_frame:
                times = torch.full((1, 3 * 2 * 3), timestep)
                times[:, : 2 * 3] = 0
            out = model(values["latents"], times, padded, image, return_dict=False)[0]
            values[f"{which}_velocity_{timestep}"] = out
    save_file(values, folder / "io.safetensors")


def family_goldens(root):
    image = dict(image_dim=16, added_kv_proj_dim=24)
    family_golden(root, "i2v", 36, 16, layers=2, seed=14, image_tokens=257, **image)
    family_golden(root, "flf", 36, 16, layers=1, seed=15, image_tokens=10, pos_embed_seq_len=10, **image)
    family_golden(root, "ti2v", 8, 8, layers=2, seed=16)


def make_vae(base, multipliers, seed, blocks=1):
    vae = AutoencoderKLWan(
        base_dim=base, z_dim=16, dim_mult=multipliers, num_res_blocks=blocks,
        temperal_downsample=[False, True, True],
    )
    return randomise(vae, seed, out_gain=0.3)


def vae_golden(root, name, base, multipliers, seed):
    vae = make_vae(base, multipliers, seed)
    folder = root / f"vae-{name}"
    save_network(vae, folder, vae.save_config)
    frames = torch.tanh(normal(4, 1, 3, 13, 32, 48))
    mean = torch.tensor(vae.config.latents_mean).view(1, 16, 1, 1, 1)
    std = torch.tensor(vae.config.latents_std).view(1, 16, 1, 1, 1)
    encoded = (vae.encode(frames).latent_dist.mode() - mean) / std
    latents = normal(5, 1, 16, 4, 3, 5)
    decoded = vae.decode(latents * std + mean).sample
    saturated = (decoded.abs() == 1).float().mean().item()
    assert saturated < 0.2 and decoded.std() > 0.1, (name, saturated, decoded.std())
    values = dict(frames=frames, encoded=encoded, latents=latents, decoded=decoded)
    save_file({k: v.contiguous() for k, v in values.items()}, folder / "io.safetensors")


def vae22_golden(root, name, base, decoder_base, multipliers, blocks, frames, seed):
    """The 2.2 layout. Frames are stored as 16-bit integers of 32767, and encoded as such."""
    latent = 8
    statistics = normal(seed, 2, latent)
    vae = AutoencoderKLWan(
        base_dim=base, decoder_base_dim=decoder_base, z_dim=latent, dim_mult=multipliers,
        num_res_blocks=blocks, temperal_downsample=[False, True, True], is_residual=True,
        in_channels=12, out_channels=12, patch_size=2, scale_factor_spatial=16,
        scale_factor_temporal=4, latents_mean=(0.2 * statistics[0]).tolist(),
        latents_std=(0.5 + statistics[1].abs()).tolist(),
    )
    randomise(vae, seed, out_gain=0.3)
    folder = root / f"vae22-{name}"
    save_network(vae, folder, vae.save_config)
    mean = torch.tensor(vae.config.latents_mean).view(1, latent, 1, 1, 1)
    std = torch.tensor(vae.config.latents_std).view(1, latent, 1, 1, 1)
    latents = normal(5, 1, latent, (frames - 1) // 4 + 1, 2, 1)
    decoded = vae.decode(latents * std + mean).sample
    saturated = (decoded.abs() == 1).float().mean().item()
    assert saturated < 0.2 and decoded.std() > 0.1, (name, saturated, decoded.std())
    stored = (decoded * 32767).round().to(torch.int16)
    encoded = (vae.encode(stored.float() / 32767).latent_dist.mode() - mean) / std
    values = dict(latents=latents, decoded=stored, encoded=encoded)
    save_file({k: v.contiguous() for k, v in values.items()}, folder / "io.safetensors")


def vae22_goldens(root):
    vae22_golden(root, "equal", 2, 3, [1, 1, 1, 1], blocks=2, frames=5, seed=23)
    vae22_golden(root, "growing", 2, 3, [1, 2, 2, 2], blocks=1, frames=13, seed=24)


def test_picture(width, height):
    """Bytes that the tests compute again: edges, gradients and every grey."""
    rows, columns, colours = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    values = (columns * columns + 3 * rows * rows + columns * rows * (colours + 1)) // 16 % 256
    return values.astype(np.uint8)


def clip_golden(root):
    """The vision encoder with both activations, and the preprocessing of pictures."""
    folder = root / "clip"
    folder.mkdir(parents=True, exist_ok=True)
    values = {}
    for width, height in ((37, 53), (300, 200)):
        for side, step in ((28, 1), (224, 16)):
            size = dict(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
            pixels = CLIPImageProcessor(**size)(images=test_picture(width, height), return_tensors="pt")
            values[f"{width}x{height}.{side}"] = pixels.pixel_values[:, :, ::step, ::step]
    for activation in ("gelu", "quick_gelu"):
        config = CLIPVisionConfig(
            hidden_size=16, intermediate_size=24, num_hidden_layers=3, num_attention_heads=2,
            image_size=28, patch_size=14, hidden_act=activation,
        )
        model = randomise(CLIPVisionModel(config), 51)
        states = model(values["300x200.28"], output_hidden_states=True).hidden_states
        values[activation] = states[-2][0]
        model.save_pretrained(folder)
        (folder / "config.json").rename(folder / f"{activation}.json")
    # Published files have this prefix, which transformers 5 no longer writes.
    tensors = {f"vision_model.{k}": v.bfloat16().contiguous() for k, v in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors")
    save_file({k: v.contiguous() for k, v in values.items()}, folder / "io.safetensors")


def make_text_encoder(vocabulary, width, seed):
    config = UMT5Config(
        vocab_size=vocabulary, d_model=width, d_kv=8, num_heads=4, d_ff=2 * width, num_layers=2,
        feed_forward_proj="gated-gelu", dropout_rate=0.0,
    )
    return randomise(UMT5EncoderModel(config), seed)


def umt5_golden(root, seed):
    model = make_text_encoder(120, 32, seed)
    folder = root / "umt5"
    folder.mkdir(parents=True, exist_ok=True)
    model.config.save_pretrained(folder)
    tensors = model.state_dict()
    tensors.pop("encoder.embed_tokens.weight", None)
    save_file({k: v.bfloat16().contiguous() for k, v in tensors.items()}, folder / "model.safetensors")
    ids = torch.randint(3, 120, (150,), generator=torch.Generator().manual_seed(6))
    padded, mask = torch.zeros(1, TEXT_SLOTS, dtype=torch.long), torch.zeros(1, TEXT_SLOTS, dtype=torch.long)
    padded[0, :150], mask[0, :150] = ids, 1
    out = model(padded, mask).last_hidden_state[0, :150]
    save_file(dict(ids=ids, embeddings=out.contiguous()), folder / "io.safetensors")


def native_sigmas(steps, shift):
    sigmas = np.linspace(0.999, 0, steps + 1)[:-1]
    return shift * sigmas / (1 + (shift - 1) * sigmas)


def trajectory(scheduler, velocities, start):
    scheduler.set_begin_index(0)
    sample, samples = start, []
    for timestep, velocity in zip(scheduler.timesteps, velocities):
        sample = scheduler.step(velocity, timestep, sample, return_dict=False)[0]
        samples.append(sample)
    return torch.stack(samples)


def sampler_goldens(root):
    folder = root / "samplers"
    folder.mkdir(parents=True, exist_ok=True)
    tables, tensors = [], {}
    for steps, shift in ((1, 3.0), (2, 5.0), (6, 3.0), (20, 5.0), (50, 8.0)):
        diffusers = UniPCMultistepScheduler(flow_shift=shift, **SCHEDULER)
        diffusers.set_timesteps(steps)
        native = UniPCMultistepScheduler(flow_shift=1.0, **SCHEDULER)
        native.set_timesteps(sigmas=native_sigmas(steps, shift))
        velocities, start = normal(steps, steps, 1, 64), normal(99, 1, 64)
        tensors[f"{steps}.velocities"], tensors[f"{steps}.start"] = velocities, start
        for grid, scheduler in (("diffusers", diffusers), ("native", native)):
            tables.append(
                dict(grid=grid, steps=steps, shift=shift, sigmas=scheduler.sigmas.tolist(),
                     timesteps=scheduler.timesteps.tolist())
            )
            tensors[f"{steps}.{grid}.unipc"] = trajectory(scheduler, velocities, start)
            euler = FlowMatchEulerDiscreteScheduler(shift=1.0)
            euler.set_timesteps(sigmas=scheduler.sigmas[:-1].tolist())
            tensors[f"{steps}.{grid}.euler"] = trajectory(euler, velocities, start)
    (folder / "tables.json").write_text(json.dumps(tables))
    save_file(tensors, folder / "io.safetensors")


def full_sigmas(steps, shift):
    sigmas = np.linspace(1, 0, steps + 1)[:-1]
    return shift * sigmas / (1 + (shift - 1) * sigmas)


def dpmpp_goldens(root):
    """Over the velocities and starts of sampler_goldens, which have fixed seeds."""
    folder = root / "samplers-dpmpp"
    folder.mkdir(parents=True, exist_ok=True)
    tables, tensors = [], {}
    for steps, shift in ((1, 3.0), (2, 5.0), (6, 3.0), (20, 5.0)):
        options = dict(solver_order=2, algorithm_type="dpmsolver++", solver_type="midpoint", final_sigmas_type="zero")
        native = DPMSolverMultistepScheduler(flow_shift=shift, **options, **SCHEDULER)
        native.set_timesteps(steps)
        full = DPMSolverMultistepScheduler(flow_shift=shift, **options, **SCHEDULER)
        full.set_timesteps(steps)
        sigmas = full_sigmas(steps, shift)
        full.sigmas = torch.from_numpy(np.append(sigmas, 0).astype(np.float32))
        full.timesteps = torch.from_numpy((sigmas * 1000).astype(np.int64))
        velocities, start = normal(steps, steps, 1, 64), normal(99, 1, 64)
        for grid, scheduler in (("native", native), ("full", full)):
            tables.append(
                dict(grid=grid, steps=steps, shift=shift, sigmas=scheduler.sigmas.tolist(),
                     timesteps=scheduler.timesteps.tolist())
            )
            tensors[f"{steps}.{grid}.dpmpp"] = trajectory(scheduler, velocities, start)
    (folder / "tables.json").write_text(json.dumps(tables))
    save_file(tensors, folder / "io.safetensors")


WORDS = "a the red green blue circle square moves to right left on black white background blurry dark".split()


def make_tokenizer():
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces += [("▁" + word, -4.0) for word in WORDS] + [("▁", -6.0), (",", -5.0), (".", -5.0)]
    pieces += [(letter, -10.0) for letter in "abcdefghijklmnopqrstuvwxyz0123456789"]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    metaspace = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), metaspace])
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t in ("<pad>", "</s>", "<unk>")])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
        model_max_length=TEXT_SLOTS,
    )


CARD = {
    "id": "golden-t2v", "family": "wan-t2v", "title": "Random weights for tests",
    "licence": "Apache-2.0",
    "defaults": {
        "width": 32, "height": 32, "frames": 9, "fps": 8, "steps": 6, "guidance": 4.0,
        "negative_prompt": "blurry dark", "sampler": "unipc", "grid": "diffusers",
    },
    "limits": {
        "min_width": 16, "max_width": 64, "min_height": 16, "max_height": 64, "max_frames": 17,
        "max_steps": 50, "max_prompt_chars": 400, "max_guidance": 20.0,
    },
    "vocabulary": WORDS,
}


def pipeline_golden(root):
    folder = root / "pipeline"
    tokenizer = make_tokenizer()
    transformer = WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=16,
        out_channels=16, text_dim=32, freq_dim=32, ffn_dim=32, num_layers=2, cross_attn_norm=True,
        qk_norm="rms_norm_across_heads", rope_max_seq_len=32,
    )
    pipeline = WanPipeline(
        tokenizer=tokenizer, text_encoder=make_text_encoder(len(tokenizer), 32, 31),
        vae=make_vae(3, [1, 1, 1, 1], 32), transformer=randomise(transformer, 33),
        scheduler=UniPCMultistepScheduler(flow_shift=3.0, **SCHEDULER),
    )
    pipeline.save_pretrained(folder)
    (folder / "kinora.json").write_text(json.dumps(CARD, indent=2) + "\n")
    pipeline.set_progress_bar_config(disable=True)
    prompt, negative = "A red   circle moves to the right, on black &amp; white.", "blurry dark"
    latents = []

    def keep(_pipe, _step, _timestep, values):
        latents.append(values["latents"].clone())
        return {}

    noise = torch.randn((1, 16, 3, 4, 4), generator=torch.Generator().manual_seed(2026))
    frames = pipeline(
        prompt, negative, height=32, width=32, num_frames=9, num_inference_steps=6,
        guidance_scale=4.0, generator=torch.Generator().manual_seed(2026), output_type="np",
        callback_on_step_end=keep,
    ).frames[0]
    embeddings = [e[0] for e in pipeline.encode_prompt(prompt, negative, max_sequence_length=TEXT_SLOTS)]
    lengths = [len(tokenizer(text).input_ids) for text in
               ("A red circle moves to the right, on black & white.", negative)]
    save_file(
        dict(
            noise=noise, latents=torch.stack(latents), frames=torch.from_numpy(np.ascontiguousarray(frames)),
            prompt=embeddings[0][: lengths[0]].contiguous(),
            negative=embeddings[1][: lengths[1]].contiguous(),
        ),
        folder / "io.safetensors",
    )
    run = dict(prompt=prompt, negative_prompt=negative, seed=2026, steps=6, guidance=4.0)
    (folder / "run.json").write_text(json.dumps(run) + "\n")


def transformer_goldens(root):
    transformer_golden(root, "2x12", heads=2, width=12, layers=2, ffn=32, text=32, seed=11)
    transformer_golden(root, "1x128", heads=1, width=128, layers=1, ffn=128, text=16, seed=12)
    transformer_golden(root, "4x32", heads=4, width=32, layers=2, ffn=256, text=64, seed=13)


def vae_goldens(root):
    vae_golden(root, "3", 3, [1, 1, 1, 1], seed=21)
    vae_golden(root, "8", 8, [1, 2, 4, 4], seed=22)


GOLDENS = {
    "transformers": transformer_goldens,
    "families": family_goldens,
    "vaes": vae_goldens,
    "vaes22": vae22_goldens,
    "clip": clip_golden,
    "umt5": lambda root: umt5_golden(root, seed=41),
    "samplers": sampler_goldens,
    "dpmpp": dpmpp_goldens,
    "pipeline": pipeline_golden,
}


@torch.no_grad()
def main():
    root = pathlib.Path(sys.argv[1])
    for name in sys.argv[2:] or GOLDENS:
        GOLDENS[name](root)


if __name__ == "__main__":
    main()
