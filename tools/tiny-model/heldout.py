"""The evaluation prompts: two per held-out triple, and groups of paraphrases that must give one scene."""
import json

import numpy as np

from captions import TEMPLATES, caption
from world import BACKGROUNDS, Scene, held_out

PARAPHRASED = (0, 9, 21, 33, 41, 48, 57, 66)


def fields(scene):
    return {"shape": scene.shape, "colour": scene.colour, "motion": scene.motion, "background": scene.background}


def prompts(seed=11):
    """Two prompts for each held-out triple, on different backgrounds and in different words."""
    rng, names, out = np.random.default_rng(seed), list(BACKGROUNDS), []
    for index, (shape, colour, motion) in enumerate(held_out()):
        for turn in range(2):
            scene = Scene(shape, colour, names[(index + turn) % 3], motion)
            template = TEMPLATES[(2 * index + 5 * turn) % len(TEMPLATES)]
            out.append({"prompt": caption(scene, rng, template), **fields(scene), "seed": 1000 + len(out)})
    return out


def variants(scene, rng):
    """Five ways to ask for one scene, one of them in capitals and one with an unknown word."""
    texts = [caption(scene, rng, template) for template in rng.choice(TEMPLATES, 5, replace=False)]
    return [texts[0], texts[1].upper(), texts[2] + ".", texts[3].capitalize(), texts[4].replace("a ", "a marvellous ", 1)]


def paraphrases(seed=12):
    """Groups of prompts for one scene and one seed."""
    rng, names, out = np.random.default_rng(seed), list(BACKGROUNDS), []
    for turn, index in enumerate(PARAPHRASED):
        shape, colour, motion = held_out()[index]
        scene = Scene(shape, colour, names[turn % 3], motion)
        out.append({**fields(scene), "seed": 5000 + turn, "prompts": variants(scene, rng)})
    return out


def write(path):
    """Writes both lists as JSON."""
    path.write_text(json.dumps({"prompts": prompts(), "paraphrases": paraphrases()}, indent=1) + "\n")
