"""Runs transformers' BERT as sentence-transformers does, at a tiny random configuration and with the real weights.

make_sentence_goldens.py GOLDENS MINILM: GOLDENS is libs/models/tests/goldens, MINILM what scripts/setup-minilm prints.
"""

import json
import pathlib
import string
import sys

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

WINDOW = 16
WORDS = ["a", "red", "boat", "leaves", "the", "harbour", "slowly", "at", "dawn", "child", "##ren", "play", "##ing"]
TINY_TEXTS = [
    "a red boat leaves the harbour slowly at dawn",
    "children playing",
    "",
    "Zebra!",
    "a red boat leaves the harbour slowly at dawn a red boat leaves the harbour slowly at dawn",
]
# Of the real model's 384 numbers every 24th is stored.
STEP = 24
TEXTS = [
    "A red circle moves right on a black background",
    "Drone shot over a misty pine forest at sunrise, cinematic, slow camera movement",
    "An old fisherman mends his nets in a harbour while gulls circle above him",
    "A bowl of ramen, steam rising, macro, shallow depth of field",
    "Two boxers in the ring, the crowd cheers, handheld camera",
    "the quick brown fox jumps over the lazy dog",
    "HELLO, World! 123 4.56 -- #hashtag @name",
    "l3tt3rs and d1g1ts m1xed",
    "",
    "?",
    "Ein alter Leuchtturm an der Küste während eines Sturms",
    "Une danseuse traverse une place déserte sous la pluie",
    "Un perro corre por la playa al atardecer, cámara lenta",
    "Uma feira de rua colorida no Rio, movimento de câmera suave",
    "Снег падает на тихий город ночью",
    "قافلة من الجمال تعبر الصحراء عند الغروب",
    "गंगा के किनारे दीप जलते हुए",
    "一只熊猫在竹林里吃竹子",
    "桜の花びらが川に流れていく",
    "emoji 🎬🌊 and zero\u200bwidth and ﬁ ligature and ＦＵＬＬ width",
    "A train crosses a bridge. " * 80,
]


def tiny_tokenizer():
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    letters = list(string.ascii_lowercase)
    vocabulary = dict.fromkeys(marks + WORDS + letters + ["##" + letter for letter in letters])
    vocabulary = {word: index for index, word in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return tokenizer, len(vocabulary)


def randomise(model, seed):
    """Random weights that keep activations near 1, rounded to bfloat16."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if name.endswith("LayerNorm.weight"):
            value = 1 + 0.1 * noise
        elif name.endswith("bias"):
            value = 0.1 * noise
        elif "embeddings" in name:
            value = noise
        else:
            value = noise / parameter.shape[1] ** 0.5
        parameter.data = value.bfloat16().float()


def encode(model, tokenizer, texts, window):
    """The vectors of texts, as the modules Transformer, Pooling and Normalize of sentence-transformers make them."""
    batch = tokenizer(texts, padding=True, truncation=True, max_length=window, return_tensors="pt")
    hidden = model(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1).float()
    mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
    return torch.nn.functional.normalize(mean, p=2, dim=1), hidden, batch


def tiny_golden(root):
    folder = root / "sentence"
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer, size = tiny_tokenizer()
    config = BertConfig(
        vocab_size=size, hidden_size=24, intermediate_size=40, num_hidden_layers=3, num_attention_heads=4,
        max_position_embeddings=20, type_vocab_size=2, attn_implementation="eager",
    )
    model = BertModel(config).eval()
    randomise(model, seed=31)
    model.config.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": WINDOW}) + "\n")
    tensors = {name: value.bfloat16().contiguous() for name, value in model.state_dict().items()}
    tensors = {name: value for name, value in tensors.items() if "position_ids" not in name}
    save_file(tensors, folder / "model.safetensors")
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]")
    vectors, hidden, batch = encode(model, wrapped, TINY_TEXTS, WINDOW)
    values = dict(vectors=vectors, hidden=hidden, ids=batch["input_ids"], mask=batch["attention_mask"])
    save_file({name: value.contiguous() for name, value in values.items()}, folder / "io.safetensors")
    (folder / "texts.json").write_text(json.dumps(TINY_TEXTS, indent=1) + "\n")


def real_golden(root, minilm):
    model = BertModel.from_pretrained(minilm, attn_implementation="eager").eval()
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(minilm / "tokenizer.json"), pad_token="[PAD]")
    # One text at a time: nothing here rests on padding.
    values = [encode(model, tokenizer, [text], 256)[0][0, ::STEP] for text in TEXTS]
    rows = [
        json.dumps({"text": text, "vector": [round(number, 6) for number in value.tolist()]}, ensure_ascii=False)
        for text, value in zip(TEXTS, values, strict=True)
    ]
    lines = ",\n".join(rows)
    (root / "minilm.json").write_text(f'{{"step": {STEP}, "texts": [\n{lines}\n]}}\n')


def main():
    torch.set_num_threads(1)
    root, minilm = map(pathlib.Path, sys.argv[1:3])
    with torch.no_grad():
        tiny_golden(root)
        real_golden(root, minilm)


main()
