"""Word-level tokenizer in the `tokenizers` JSON format: known words are pieces, anything else is `<unk>`."""
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from captions import vocabulary

PAD, EOS, UNK = "<pad>", "</s>", "<unk>"


def build():
    """Builds the tokenizer; a text becomes its words followed by `</s>`."""
    pieces = {piece: index for index, piece in enumerate([PAD, EOS, UNK] + vocabulary())}
    tokenizer = Tokenizer(models.WordLevel(pieces, unk_token=UNK))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"\w+|[^\w\s]"), behavior="removed", invert=True)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"$A {EOS}", special_tokens=[(EOS, pieces[EOS])])
    tokenizer.add_special_tokens([PAD, EOS, UNK])
    return tokenizer


def save(folder):
    """Writes `tokenizer.json` and its configuration so that `AutoTokenizer` loads the folder."""
    wrapped = PreTrainedTokenizerFast(tokenizer_object=build(), pad_token=PAD, eos_token=EOS, unk_token=UNK,
                                      model_max_length=512, clean_up_tokenization_spaces=False)
    wrapped.save_pretrained(folder)
