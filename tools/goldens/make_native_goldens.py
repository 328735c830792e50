"""Stores goldens in the native layout of Wan, from the ones that make_goldens.py stored."""

import json
import pathlib
import shutil
import sys

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from make_goldens import TEXT_SLOTS, normal, randomise
from native_names import CLIP, TRANSFORMER, UMT5, VAE_21, VAE_22, renamed
from safetensors.torch import load_file, save_file

# Layers of the transformer that keep 16 bits when the others are stored in 8.
NOT_IN_8_BITS = ("patch_embedding", "time_", "text_embedding", "head", "norm", "modulation")


def halves(tensors):
    return {name: tensor.bfloat16().contiguous() for name, tensor in tensors.items()}


def save_shards(tensors, folder):
    """Two files and an index, as save_pretrained writes them."""
    names = sorted(tensors)
    middle = len(names) // 2
    weight_map = {}
    for number, part in enumerate((names[:middle], names[middle:]), 1):
        file = f"diffusion_pytorch_model-{number:05}-of-00002.safetensors"
        save_file({name: tensors[name] for name in part}, folder / file)
        weight_map |= {name: file for name in part}
    index = dict(metadata={"total_size": 0}, weight_map=weight_map)
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))


def native_config(config, model_type="t2v"):
    """What the native config.json holds: less than diffusers', the rest is fixed or seen in the weights."""
    return dict(
        _class_name="WanModel", _diffusers_version="0.30.0", model_type=model_type,
        dim=config["num_attention_heads"] * config["attention_head_dim"], eps=config["eps"],
        ffn_dim=config["ffn_dim"], freq_dim=config["freq_dim"], in_dim=config["in_channels"],
        num_heads=config["num_attention_heads"], num_layers=config["num_layers"],
        out_dim=config["out_channels"], text_len=TEXT_SLOTS,
    )


def native_pipeline(root):
    """The pipeline golden in the native layout, with an autoencoder of two blocks a level, and that
    autoencoder once more in diffusers' layout."""
    source, folder, twin = root / "pipeline", root / "native", root / "native-twin" / "vae"
    for made in (folder / "google" / "umt5-xxl", twin):
        made.mkdir(parents=True, exist_ok=True)
    native_transformer(source, folder, "t2v")
    shutil.copy(source / "kinora.json", folder / "kinora.json")
    shutil.copy(source / "tokenizer/tokenizer.json", folder / "google/umt5-xxl/tokenizer.json")
    text = load_file(source / "text_encoder/model.safetensors")
    text.pop("encoder.embed_tokens.weight", None)
    torch.save(halves(renamed(text, UMT5)), folder / "models_t5_umt5-xxl-enc-bf16.pth")
    vae = AutoencoderKLWan(base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=2)
    randomise(vae, 51, out_gain=0.3)
    vae.save_config(twin)
    save_file(halves(vae.state_dict()), twin / "diffusion_pytorch_model.safetensors")
    torch.save(halves(renamed(vae.state_dict(), VAE_21)), folder / "Wan2.1_VAE.pth")


def native_transformer(source, folder, model_type):
    folder.mkdir(parents=True, exist_ok=True)
    config = json.loads((source / "transformer/config.json").read_text())
    (folder / "config.json").write_text(json.dumps(native_config(config, model_type), indent=2) + "\n")
    transformer = load_file(source / "transformer/diffusion_pytorch_model.safetensors")
    save_shards(halves(renamed(transformer, TRANSFORMER)), folder)


def native_clip(source, file):
    """Queries, keys and values in one, and what is of no use here: the part that reads, and the projections."""
    tensors = renamed(load_file(source / "image_encoder/model.safetensors"), CLIP)
    for name in [name for name in tensors if ".attn.to_q." in name]:
        parts = [tensors.pop(name.replace(".to_q.", f".to_{part}.")) for part in "qkv"]
        tensors[name.replace(".to_q.", ".to_qkv.")] = torch.cat(parts)
    classes, positions = "visual.cls_embedding", "visual.pos_embedding"
    tensors[classes], tensors[positions] = tensors[classes].view(1, 1, -1), tensors[positions][None]
    tensors["visual.head"], tensors["log_scale"] = normal(8, tensors[classes].shape[-1], 4), torch.tensor(2.5)
    tensors["textual.token_embedding.weight"] = normal(9, 10, 4)
    torch.save(halves(tensors), file)


def native_families(root):
    """The families that start from pictures; text encoder, and autoencoder of 2.1, are those of native_pipeline."""
    for name in ("i2v", "flf2v", "ti2v"):
        native_transformer(root / f"pipeline-{name}", root / f"native-{name}", name)
    clip = "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth"
    native_clip(root / "pipeline-i2v", root / "native-i2v" / clip)
    vae = load_file(root / "pipeline-ti2v/vae/diffusion_pytorch_model.safetensors")
    torch.save(halves(renamed(vae, VAE_22)), root / "native-ti2v/Wan2.2_VAE.pth")


def eight_bits(tensors):
    """Weights as float8_e4m3fn with a scale beside each, as ComfyUI stores them; and what they stand for."""
    stored, meant = {"scaled_fp8": torch.zeros(2, dtype=torch.float8_e4m3fn)}, {}
    for name, tensor in tensors.items():
        meant[name] = tensor
        if not name.endswith(".weight") or any(part in name for part in NOT_IN_8_BITS):
            stored[name] = tensor.bfloat16()
            continue
        scale = (tensor.abs().max() / 448).float()
        values = (tensor / scale).to(torch.float8_e4m3fn)
        stored[name] = values
        stored[name.removesuffix("weight") + "scale_weight"] = scale.reshape(1)
        meant[name] = values.float() * scale
    prefix = "model.diffusion_model."
    return {prefix + name: value.contiguous() for name, value in stored.items()}, meant


def transformer_in_8_bits(root):
    source, folder = root / "transformer-2x12", root / "transformer-fp8"
    folder.mkdir(parents=True, exist_ok=True)
    model = WanTransformer3DModel.from_config(WanTransformer3DModel.load_config(source))
    names = {native: name for name, native in
             zip(model.state_dict(), renamed(model.state_dict(), TRANSFORMER))}
    tensors = load_file(source / "diffusion_pytorch_model.safetensors")
    stored, meant = eight_bits(renamed({k: v.float() for k, v in tensors.items()}, TRANSFORMER))
    save_file(stored, folder / "wan_fp8_e4m3fn_scaled.safetensors")
    model.load_state_dict({names[name]: value for name, value in meant.items()})
    shutil.copy(source / "config.json", folder / "config.json")
    prompt = normal(2, 11, 32)
    padded = torch.zeros(1, TEXT_SLOTS, 32)
    padded[0, :11] = prompt
    latents = normal(1, 1, 16, 3, 4, 6)
    velocity = model.eval()(latents, torch.tensor([999]), padded, return_dict=False)[0]
    save_file(dict(latents=latents, prompt=prompt, velocity=velocity), folder / "io.safetensors")


def checkpoints_for_readers(folder):
    """Small files of torch.save for the tests of the reader; the numbers count from 0."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = torch.arange(24.0)
    kinds = {
        "plain": numbers.reshape(2, 3, 4), "half": numbers.half(), "bf16": numbers.bfloat16(),
        "double": numbers.double(), "transposed": numbers.reshape(4, 6).t(),
        "slice": numbers[8:16], "stepped": numbers[::2], "expanded": numbers[3:4].expand(2, 2),
        "fp8": numbers[:16].to(torch.float8_e4m3fn), "fp8_wide": numbers[:8].to(torch.float8_e5m2),
        "parameter": torch.nn.Parameter(numbers), "integers": torch.arange(4),
        "scalar": torch.tensor(7.0), "empty": torch.zeros(0, 3),
    }
    torch.save(kinds, folder / "kinds.pth")
    save_file({k: v.detach().clone().contiguous() for k, v in kinds.items()}, folder / "kinds.safetensors")
    module = torch.nn.Linear(3, 2)
    module.weight.data, module.bias.data = numbers[:6].reshape(2, 3), numbers[:2]
    torch.save(module.state_dict(), folder / "module.pth")
    nested = {"epoch": 3, "state_dict": dict(module.state_dict()), "optimizer": {"lr": 0.1}}
    torch.save(nested, folder / "nested.pth")
    torch.save({"a": {"x": numbers}, "b": {"x": numbers}}, folder / "ambiguous.pth")
    torch.save({"x": numbers}, folder / "old.pth", _use_new_zipfile_serialization=False)


@torch.no_grad()
def main():
    root = pathlib.Path(sys.argv[1])
    native_pipeline(root)
    native_families(root)
    transformer_in_8_bits(root)
    checkpoints_for_readers(pathlib.Path(sys.argv[2]))


if __name__ == "__main__":
    main()
