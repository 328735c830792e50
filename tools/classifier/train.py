"""Trains the last layer of the embedding classifier and writes it with its thresholds.

train.py MINILM HEAD: MINILM is what scripts/setup-minilm prints, HEAD is libs/moderation/data/head.json.
"""

import csv
import hashlib
import json
import pathlib
import sys

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from transformers import BertModel, PreTrainedTokenizerFast

CATEGORIES = [
    "child_sexual", "real_person_sexual", "sexual", "graphic_violence", "hate", "harassment", "self_harm",
    "extremism", "dangerous_goods", "deception",
]
BENIGN = "benign"
# Lines of these belong to another category too.
IMPLIED = {"child_sexual": "sexual", "real_person_sexual": "sexual"}
# Lines of one of the two may or may not belong to the other: they are neither examples nor counterexamples there.
OVERLAPPING = [
    ("child_sexual", "real_person_sexual"), ("hate", "extremism"), ("hate", "harassment"),
    ("extremism", "graphic_violence"), ("extremism", "dangerous_goods"), ("self_harm", "harassment"),
    ("self_harm", "dangerous_goods"), ("deception", "harassment"), ("deception", "real_person_sexual"),
]
# What people wrap prompts in; it must change nothing.
WRAPPINGS = ["{}", "{}, cinematic, 4k, slow motion, highly detailed", "Create a short video: {}"]
WINDOW = 256
FOLDS = 5
SEED = 7
# Of the regularisation; larger follows the lines more closely.
STRENGTH = 10.0
# Of the benign lines, of which a third was chosen to be mistaken, so many may be reviewed or refused for one category.
REVIEWED_BENIGN = 0.01
REFUSED_BENIGN = 0.002
# Where no threshold is that good: a person decides.
NEVER = 1.0
# Of what is refused so much must be of the category.
REFUSED_RIGHTLY = 0.95
DIGITS = 5


def read_lines():
    with open(pathlib.Path(__file__).with_name("texts.tsv"), encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert len({row["text"] for row in rows}) == len(rows), "a line is there twice"
    assert {row["category"] for row in rows} == {*CATEGORIES, BENIGN}, "unknown category"
    return rows


def embed(folder, texts):
    """Vectors as libs/models/src/embedding makes them: mean over the tokens, unit length."""
    model = BertModel.from_pretrained(folder).eval()
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), pad_token="[PAD]")
    vectors = []
    with torch.no_grad():
        for start in range(0, len(texts), 64):
            batch = tokenizer(
                texts[start : start + 64], padding=True, truncation=True, max_length=WINDOW, return_tensors="pt"
            )
            hidden = model(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1).float()
            mean = (hidden * mask).sum(1) / mask.sum(1)
            vectors.append(torch.nn.functional.normalize(mean, dim=1))
    return torch.cat(vectors).numpy()


def targets_of(rows, category):
    """1 for examples, 0 for counterexamples, -1 for lines that say nothing about the category."""
    overlapping = {b if a == category else a for a, b in OVERLAPPING if category in (a, b)}

    def target(found):
        if found == category or IMPLIED.get(found) == category:
            return 1
        return -1 if found in overlapping or IMPLIED.get(category) == found else 0

    return np.array([target(row["category"]) for row in rows])


def fitted(vectors, targets):
    """A regression on all wrappings of the chosen lines: vectors [wrappings, lines, width]."""
    samples = vectors.reshape(-1, vectors.shape[-1])
    regression = LogisticRegression(C=STRENGTH, class_weight="balanced", solver="newton-cholesky")
    return regression.fit(samples, np.tile(targets, len(vectors)))


def held_out_scores(vectors, targets, rows):
    """The scores [wrappings, lines] that regressions give to lines which they have not seen."""
    scores = np.zeros(vectors.shape[:2])
    strata = [row["category"] for row in rows]
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=SEED).split(strata, strata):
        train = train[targets[train] >= 0]
        regression = fitted(vectors[:, train], targets[train])
        for wrapping, row in enumerate(vectors):
            scores[wrapping, test] = regression.predict_proba(row[test])[:, 1]
    return scores


def measured(scores, targets, threshold):
    """Precision and recall, over all wrappings."""
    known = targets >= 0
    found = scores[:, known] >= threshold
    right = (found & (targets[known] == 1)).sum()
    return right / max(found.sum(), 1), right / (len(scores) * (targets == 1).sum())


def thresholds_of(scores, targets, is_benign):
    """Where review and refusal begin, on held-out scores."""
    benign = scores[:, is_benign].ravel()
    review = max(np.quantile(benign, 1 - REVIEWED_BENIGN), 0.05)
    refuse = max(np.quantile(benign, 1 - REFUSED_BENIGN), review)
    for candidate in np.arange(np.ceil(refuse * 200) / 200, 0.9951, 0.005):
        if measured(scores, targets, candidate)[0] >= REFUSED_RIGHTLY:
            return float(np.round(review, 3)), float(np.round(candidate, 3))
    return float(np.round(review, 3)), NEVER


def trained(category, rows, vectors):
    targets = targets_of(rows, category)
    is_benign = np.array([row["category"] == BENIGN for row in rows])
    scores = held_out_scores(vectors, targets, rows)
    review, refuse = thresholds_of(scores, targets, is_benign)
    regression = fitted(vectors[:, targets >= 0], targets[targets >= 0])
    english = np.array([row["language"] == "en" for row in rows])

    def report(threshold):
        precision, recall = measured(scores, targets, threshold)
        _, recall_english = measured(scores[:, english], targets[english], threshold)
        benign = (scores[:, is_benign] >= threshold).mean()
        found = dict(precision=precision, recall=recall, recall_english=recall_english, benign=benign)
        return {name: round(float(value), 3) for name, value in found.items()}

    print(f"{category:18} review {review:.3f} {report(review)}\n{'':18} refuse {refuse:.3f} {report(refuse)}", flush=True)
    return {
        "category": category,
        "thresholds": {"review": review, "refuse": refuse},
        "held_out": {"examples": int((targets == 1).sum()), "review": report(review), "refuse": report(refuse)},
        "bias": round(float(regression.intercept_[0]), DIGITS),
        "weights": [round(float(weight), DIGITS) for weight in regression.coef_[0]],
    }


def main():
    torch.set_num_threads(1)
    folder, head = map(pathlib.Path, sys.argv[1:3])
    rows = read_lines()
    vectors = np.stack([embed(folder, [wrapping.format(row["text"]) for row in rows]) for wrapping in WRAPPINGS])
    classes = [trained(category, rows, vectors) for category in CATEGORIES]
    benign = sum(row["category"] == BENIGN for row in rows)
    english = sum(row["language"] == "en" for row in rows)
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    first = {
        "model": {"name": "all-MiniLM-L6-v2", "sha256": digest, "width": vectors.shape[-1]},
        "trained_on": {"lines": len(rows), "benign": benign, "english": english, "folds": FOLDS},
    }
    # One line for a category, so that a change shows which one it is in.
    lines = ",\n".join(json.dumps(row) for row in classes)
    head.write_text(json.dumps(first)[:-1] + ', "classes": [\n' + lines + "\n]}\n")


main()
