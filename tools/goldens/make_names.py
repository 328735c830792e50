"""Stores names and shapes of all tensors of the native modules and of those in diffusers and transformers.

Needs checkouts of Wan-Video/Wan2.1 and Wan-Video/Wan2.2. Modules are only constructed, on the meta device."""

import importlib.util
import json
import pathlib
import sys
import types

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from transformers import CLIPVisionConfig, CLIPVisionModel, UMT5Config, UMT5EncoderModel


class Anything(types.ModuleType):
    """Stands in for what the native modules import and their constructors do not need."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_, **__: None


def module(checkout, name):
    for absent in ("einops", "torchvision", "torchvision.transforms", "flash_attn"):
        sys.modules.setdefault(absent, Anything(absent))
    package = types.ModuleType("native")
    package.__path__ = [str(checkout / "wan/modules")]
    sys.modules["native"] = package
    sys.modules["native.tokenizers"] = Anything("native.tokenizers")
    torch.cuda.current_device = lambda: "cpu"
    path = checkout / "wan/modules" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"native.{name}", path)
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[f"native.{name}"] = loaded
    spec.loader.exec_module(loaded)
    return loaded


def tensors(model):
    return {name: list(tensor.shape) for name, tensor in model.state_dict().items()}


def transformers(model, kind, channels):
    size = dict(num_layers=2, ffn_dim=20, freq_dim=8, text_dim=10)
    asked = WanTransformer3DModel(
        num_attention_heads=2, attention_head_dim=6, in_channels=channels, out_channels=16,
        image_dim=None if kind == "t2v" else 1280, added_kv_proj_dim=None if kind == "t2v" else 12,
        pos_embed_seq_len=514 if kind == "flf2v" else None, **size,
    )
    stored = model.WanModel(
        model_type=kind, dim=12, num_heads=2, in_dim=channels, out_dim=16, cross_attn_norm=True, **size
    )
    return asked, stored


def vae_21(vae):
    size = dict(z_dim=16, dim_mult=[1, 2, 4, 4], num_res_blocks=2, temperal_downsample=[False, True, True])
    return AutoencoderKLWan(base_dim=4, **size), vae.WanVAE_(dim=4, **size)


def vae_22(vae):
    size = dict(z_dim=48, dim_mult=[1, 2, 4, 4], num_res_blocks=2, temperal_downsample=[False, True, True])
    asked = AutoencoderKLWan(
        base_dim=4, decoder_base_dim=8, is_residual=True, patch_size=2, in_channels=12, out_channels=12,
        scale_factor_spatial=16, **size,
    )
    return asked, vae.WanVAE_(dim=4, dec_dim=8, **size)


def umt5(t5):
    asked = UMT5EncoderModel(UMT5Config(
        vocab_size=20, d_model=8, d_kv=4, num_heads=2, d_ff=12, num_layers=2, feed_forward_proj="gated-gelu",
    ))
    stored = t5.T5Encoder(
        vocab=20, dim=8, dim_attn=8, dim_ffn=12, num_heads=2, num_layers=2, num_buckets=32, shared_pos=False,
    )
    return asked, stored


def clip(native):
    asked = CLIPVisionModel(CLIPVisionConfig(
        hidden_size=8, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=28,
        patch_size=14, hidden_act="gelu",
    ))
    stored = native.XLMRobertaCLIP(
        embed_dim=6, image_size=28, patch_size=14, vision_dim=8, vision_mlp_ratio=2, vision_heads=2,
        vision_layers=2, vocab_size=10, max_text_len=9, text_dim=4, text_heads=2, text_layers=1,
    )
    return asked, stored


def main():
    first, second, out = (pathlib.Path(argument) for argument in sys.argv[1:])
    out.mkdir(parents=True, exist_ok=True)
    model = module(first, "model")
    with torch.device("meta"):
        pairs = {
            "transformer-t2v": transformers(model, "t2v", 16),
            "transformer-i2v": transformers(model, "i2v", 36),
            "transformer-flf2v": transformers(model, "flf2v", 36),
            "vae-2.1": vae_21(module(first, "vae")),
            "vae-2.2": vae_22(module(second, "vae2_2")),
            "umt5": umt5(module(first, "t5")),
            "clip": clip(module(first, "clip")),
        }
    for name, (asked, stored) in pairs.items():
        asked = tensors(asked)
        asked.pop("encoder.embed_tokens.weight", None)
        if name == "clip":  # the files on the hub have this prefix, which recent versions drop
            asked = {f"vision_model.{key.removeprefix('vision_model.')}": value for key, value in asked.items()}
        text = json.dumps(dict(asked=asked, stored=tensors(stored)))
        (out / f"{name}.json").write_text(text.replace('], "', '],\n"') + "\n")


if __name__ == "__main__":
    main()
