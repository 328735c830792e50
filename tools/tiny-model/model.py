"""Network configurations, start values, and fast forward passes over the parameters of the diffusers modules.

The fast passes compute exactly what `WanTransformer3DModel` and `AutoencoderKLWan` compute, without their caches and
per-frame loops; `python model.py` checks that.
"""
import math

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from transformers import UMT5Config, UMT5EncoderModel

TEXT_SLOTS, FULL_SLOTS = 28, 512
WIDTH, HEADS, LAYERS, FFN = 128, 4, 4, 512
TEXT_WIDTH = 64


# ---------------------------------------------------------------- text encoder

def new_text_encoder(vocab_size):
    """A two-layer UMT5 encoder."""
    config = UMT5Config(vocab_size=vocab_size, d_model=TEXT_WIDTH, d_kv=16, d_ff=128, num_layers=2, num_heads=4, dropout_rate=0.0,
                        feed_forward_proj="gated-gelu", relative_attention_num_buckets=32, relative_attention_max_distance=128,
                        pad_token_id=0, eos_token_id=1, decoder_start_token_id=0)
    encoder = UMT5EncoderModel(config)
    torch.nn.init.normal_(encoder.shared.weight, std=1.0)
    return encoder


def encode_text(encoder, ids, mask):
    """Encodes `[b, s]` ids to `[b, s, d]`; padding becomes zeros, as the pipeline makes it."""
    hidden = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    return hidden * mask[..., None]


# ---------------------------------------------------------------- transformer

def new_transformer():
    """The video transformer, started as a plain pre-norm network whose output is zero."""
    net = WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=HEADS, attention_head_dim=WIDTH // HEADS, in_channels=16, out_channels=16,
        text_dim=TEXT_WIDTH, freq_dim=64, ffn_dim=FFN, num_layers=LAYERS, cross_attn_norm=True,
        qk_norm="rms_norm_across_heads", rope_max_seq_len=64)
    with torch.no_grad():
        net.proj_out.weight.zero_()
        net.proj_out.bias.zero_()
        net.condition_embedder.time_proj.weight.mul_(0.2)
        for block in net.blocks:
            block.scale_shift_table.zero_()
            block.scale_shift_table[:, (2, 5)] = 0.7
        net.scale_shift_table.zero_()
    return net


class RotaryTable:
    """Rotation tables for one latent size, for head channels sorted even first, then odd."""

    def __init__(self, net, frames=5, height=8, width=8):
        cos, sin = net.rope(torch.zeros(1, 16, frames, height, width))
        flat = lambda table: table.reshape(-1, WIDTH // HEADS)[:, ::2].float().contiguous()[None, None]
        self.cos, self.sin = flat(cos), flat(sin)
        head = torch.arange(WIDTH // HEADS).view(-1, 2).T.reshape(-1)
        self.order = (torch.arange(HEADS)[:, None] * (WIDTH // HEADS) + head).reshape(-1)

    def turn(self, x):
        """Rotates `[b, heads, s, head_width]`."""
        even, odd = x.chunk(2, -1)
        return torch.cat([even * self.cos - odd * self.sin, even * self.sin + odd * self.cos], -1)


def split_heads(x):
    """`[b, s, d]` to `[b, heads, s, d / heads]`."""
    return x.unflatten(-1, (HEADS, -1)).transpose(1, 2)


def rms(x, norm, order=None):
    """Root-mean-square norm over the whole width, optionally with channels in `order`."""
    weight = norm.weight if order is None else norm.weight[order]
    return F.rms_norm(x, (WIDTH,), weight, norm.eps)


def self_attention(attn, x, table):
    """Self attention with rotary positions; q and k channels are sorted so that the rotation works on halves."""
    order = table.order
    weight = torch.cat([attn.to_q.weight[order], attn.to_k.weight[order], attn.to_v.weight])
    bias = torch.cat([attn.to_q.bias[order], attn.to_k.bias[order], attn.to_v.bias])
    q, k, v = F.linear(x, weight, bias).chunk(3, -1)
    q = table.turn(split_heads(rms(q, attn.norm_q, order)))
    k = table.turn(split_heads(rms(k, attn.norm_k, order)))
    out = F.scaled_dot_product_attention(q, k, split_heads(v))
    return attn.to_out[0](out.transpose(1, 2).flatten(2))


def cross_attention(attn, x, text, slot_bias):
    """Attention to text; `slot_bias` makes the last (padding) slot weigh as much as all slots that were cut off."""
    q = split_heads(rms(attn.to_q(x), attn.norm_q))
    k, v = F.linear(text, torch.cat([attn.to_k.weight, attn.to_v.weight]), torch.cat([attn.to_k.bias, attn.to_v.bias])).chunk(2, -1)
    out = F.scaled_dot_product_attention(q, split_heads(rms(k, attn.norm_k)), split_heads(v), attn_mask=slot_bias)
    return attn.to_out[0](out.transpose(1, 2).flatten(2))


def modulated(x, shift, scale):
    """Layer norm without weights, then scale and shift per sample."""
    return torch.addcmul(shift, F.layer_norm(x, (WIDTH,), eps=1e-6), 1 + scale)


def run_block(block, x, text, time_vectors, table, slot_bias):
    """One transformer block."""
    shift1, scale1, gate1, shift2, scale2, gate2 = (block.scale_shift_table + time_vectors).chunk(6, 1)
    x = torch.addcmul(x, self_attention(block.attn1, modulated(x, shift1, scale1), table), gate1)
    y = F.layer_norm(x, (WIDTH,), block.norm2.weight, block.norm2.bias, 1e-6)
    x = x + cross_attention(block.attn2, y, text, slot_bias)
    y = block.ffn.net[0].proj(modulated(x, shift2, scale2))
    y = block.ffn.net[2](F.gelu(y, approximate="tanh"))
    return torch.addcmul(x, y, gate2)


def patchify(latents):
    """`[b, 16, f, h, w]` to `[b, f * h/2 * w/2, 64]` in the order of the patch embedding's weights."""
    b, c, f, h, w = latents.shape
    split = latents.reshape(b, c, f, h // 2, 2, w // 2, 2).permute(0, 2, 3, 5, 1, 4, 6)
    return split.reshape(b, f * (h // 2) * (w // 2), c * 4)


def unpatchify(tokens, shape):
    """Inverse of the transformer's output order (patch row, patch column, channel)."""
    b, c, f, h, w = shape
    split = tokens.reshape(b, f, h // 2, w // 2, 2, 2, c).permute(0, 6, 1, 2, 4, 3, 5)
    return split.reshape(b, c, f, h, w)


def time_features(net, timestep):
    """Time embedding `[b, d]` and its six projected vectors `[b, 6, d]`."""
    half = 32
    rates = torch.exp(torch.arange(half) * (-math.log(10000.0) / half))
    angle = timestep[:, None] * rates
    embedder = net.condition_embedder
    hidden = embedder.time_embedder.linear_1(torch.cat([angle.cos(), angle.sin()], -1))
    temb = embedder.time_embedder.linear_2(F.silu(hidden))
    return temb, embedder.time_proj(F.silu(temb)).unflatten(1, (6, -1))


def slot_bias_for(slots):
    """Bias on cross-attention logits that stands for `FULL_SLOTS - slots` further padding slots."""
    bias = torch.zeros(1, 1, 1, slots)
    bias[..., -1] = math.log(FULL_SLOTS - slots + 1)
    return bias


def velocity(net, latents, timestep, text, table, taps=None):
    """Predicts the velocity; `taps`, when given, collects the outputs of the first two blocks."""
    embedder = net.condition_embedder
    patch = net.patch_embedding
    x = F.linear(patchify(latents), patch.weight.flatten(1), patch.bias)
    temb, time_vectors = time_features(net, timestep)
    text = embedder.text_embedder.linear_1(text)
    text = embedder.text_embedder.linear_2(F.gelu(text, approximate="tanh"))
    slot_bias = slot_bias_for(text.shape[1])
    for index, block in enumerate(net.blocks):
        x = run_block(block, x, text, time_vectors, table, slot_bias)
        if taps is not None and index < 2:
            taps.append(x)
    shift, scale = (net.scale_shift_table + temb[:, None]).chunk(2, 1)
    return unpatchify(net.proj_out(modulated(x, shift, scale)), latents.shape)


# ---------------------------------------------------------------- autoencoder

def new_autoencoder(mean=None, std=None):
    """The autoencoder; start values keep the signal's size from layer to layer."""
    vae = AutoencoderKLWan(base_dim=8, z_dim=16, dim_mult=[1, 2, 4, 4], num_res_blocks=1, attn_scales=[],
                           temperal_downsample=[False, True, True], dropout=0.0,
                           latents_mean=[0.0] * 16 if mean is None else [float(m) for m in mean],
                           latents_std=[1.0] * 16 if std is None else [float(s) for s in std])
    with torch.no_grad():
        for name, module in vae.named_modules():
            start_conv(name, module)
    return vae


def start_conv(name, module):
    """Start values of one convolution: newest temporal tap only, unit gain, no bias."""
    if not isinstance(module, (torch.nn.Conv3d, torch.nn.Conv2d)):
        return
    weight = module.weight
    module.bias.zero_()
    if name.endswith("time_conv"):
        weight.zero_()
        out, inner = weight.shape[:2]
        weight[torch.arange(out), torch.arange(out) % inner, -1, 0, 0] = 1.0
        return
    gain = 0.5 if name.endswith(("conv2", "proj")) else 1.0
    space = weight.shape[-1] * weight.shape[-2]
    fresh = torch.randn(weight.shape[0], weight.shape[1], *weight.shape[-2:]) * gain / math.sqrt(weight.shape[1] * space)
    if weight.dim() == 5:
        weight.zero_()
        weight[:, :, -1] = fresh
    else:
        weight.copy_(fresh)


def causal_conv(conv, x):
    """Causal 3-D convolution over a whole clip."""
    kt, kh, kw = conv.kernel_size
    x = F.pad(x, (0, 0, 0, 0, kt - 1, 0)) if kt > 1 else x
    return F.conv3d(x, conv.weight, conv.bias, padding=(0, kh // 2, kw // 2))


def norm_silu(norm, x):
    """Channel-wise unit norm times gamma, then SiLU."""
    return F.silu(F.normalize(x, dim=1) * norm.scale * norm.gamma)


def residual(block, x):
    """Residual block of the autoencoder."""
    skip = x if isinstance(block.conv_shortcut, torch.nn.Identity) else causal_conv(block.conv_shortcut, x)
    x = causal_conv(block.conv1, norm_silu(block.norm1, x))
    return causal_conv(block.conv2, norm_silu(block.norm2, x)) + skip


def per_frame(module, x):
    """Applies a 2-D module to every frame."""
    b, c, f, h, w = x.shape
    y = module(x.transpose(1, 2).reshape(b * f, c, h, w))
    return y.reshape(b, f, *y.shape[1:]).transpose(1, 2)


def middle(block, x):
    """Residual, attention within each frame, residual."""
    x = residual(block.resnets[0], x)
    x = block.attentions[0](x)
    return residual(block.resnets[1], x)


def upsample(resample, x):
    """Doubles height and width, and for `upsample3d` the time of all frames but the first."""
    if resample.mode == "upsample3d" and x.shape[2] > 1:
        later = causal_conv(resample.time_conv, x[:, :, 1:])
        b, c, f, h, w = later.shape
        later = later.reshape(b, 2, c // 2, f, h, w).permute(0, 2, 3, 1, 4, 5).reshape(b, c // 2, 2 * f, h, w)
        x = torch.cat([x[:, :, :1], later], 2)
    return per_frame(resample.resample, x)


def decode(vae, normalised):
    """Decodes normalised latents `[b, 16, f, h, w]` to unclamped `[b, 3, 4f - 3, 8h, 8w]`."""
    stat = lambda values: torch.tensor(values)[:, None, None, None]
    net = vae.decoder
    x = causal_conv(vae.post_quant_conv, normalised * stat(vae.config.latents_std) + stat(vae.config.latents_mean))
    x = middle(net.mid_block, causal_conv(net.conv_in, x))
    for block in net.up_blocks:
        for resnet in block.resnets:
            x = residual(resnet, x)
        if block.upsamplers is not None:
            x = upsample(block.upsamplers[0], x)
    return causal_conv(net.conv_out, norm_silu(net.norm_out, x))


def downsample(resample, x):
    """Halves height and width, and for `downsample3d` the time of all frames but the first."""
    x = per_frame(resample.resample, x)
    if resample.mode == "downsample3d" and x.shape[2] > 1:
        conv = resample.time_conv
        x = torch.cat([x[:, :, :1], F.conv3d(x, conv.weight, conv.bias, stride=(2, 1, 1))], 2)
    return x


def encode(vae, video):
    """Encodes `[b, 3, f, h, w]` to normalised posterior means."""
    stat = lambda values: torch.tensor(values)[:, None, None, None]
    net = vae.encoder
    x = causal_conv(net.conv_in, video)
    for layer in net.down_blocks:
        x = downsample(layer, x) if hasattr(layer, "mode") else residual(layer, x)
    x = middle(net.mid_block, x)
    x = causal_conv(vae.quant_conv, causal_conv(net.conv_out, norm_silu(net.norm_out, x)))
    return (x[:, :16] - stat(vae.config.latents_mean)) / stat(vae.config.latents_std)


# ---------------------------------------------------------------- self check

def largest_difference(a, b):
    return float((a - b).abs().max())


@torch.no_grad()
def check():
    """Compares the fast passes with the library's own, on random weights."""
    torch.manual_seed(0)
    net = new_transformer()
    torch.nn.init.normal_(net.proj_out.weight, std=0.1)
    x, t, text = torch.randn(2, 16, 5, 8, 8), torch.tensor([900.0, 300.0]), torch.randn(2, TEXT_SLOTS, TEXT_WIDTH)
    text[:, 12:] = 0
    full = F.pad(text, (0, 0, 0, FULL_SLOTS - TEXT_SLOTS))
    want = net(hidden_states=x, timestep=t, encoder_hidden_states=full, return_dict=False)[0]
    print("transformer", largest_difference(velocity(net, x, t, text, RotaryTable(net)), want))
    vae = new_autoencoder(torch.randn(16), torch.rand(16) + 0.5)
    for p in vae.parameters():
        p.add_(torch.randn_like(p) * 0.05)
    stat = lambda values: torch.tensor(values)[:, None, None, None]
    raw = x * stat(vae.config.latents_std) + stat(vae.config.latents_mean)
    print("decoder", largest_difference(decode(vae, x).clamp(-1, 1), vae.decode(raw, return_dict=False)[0]))
    video = torch.rand(2, 3, 17, 64, 64) * 2 - 1
    mean = (vae.encode(video).latent_dist.mean - stat(vae.config.latents_mean)) / stat(vae.config.latents_std)
    print("encoder", largest_difference(encode(vae, video), mean))
    count = lambda m: sum(p.numel() for p in m.parameters()) / 1e6
    print(f"millions of parameters: transformer {count(net):.3f}, autoencoder {count(vae):.3f}, text {count(new_text_encoder(160)):.3f}")


if __name__ == "__main__":
    check()
