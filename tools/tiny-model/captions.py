"""Captions: many phrasings for one scene, and the words they are made of."""
import re

ANY_UNKNOWN = "<unk>"

SHAPE_WORDS = {
    "circle": ("circle", "circle", "circle", "disc", "disk", "ball"),
    "square": ("square", "square", "square", "box"),
    "triangle": ("triangle",),
    "star": ("star",),
}
COLOUR_WORDS = {"purple": ("purple", "purple", "violet"), "cyan": ("cyan", "cyan", "turquoise")}
BACKGROUND_WORDS = {"gray": ("gray", "grey")}

_GO = (("moves", "moving"), ("slides", "sliding"), ("travels", "travelling"), ("drifts", "drifting"), ("goes", "going"),
       ("glides", "gliding"), ("flies", "flying"))


def _directed(*places):
    return tuple((f"{verb} {place}", f"{participle} {place}") for verb, participle in _GO for place in places)


# Every motion phrase is a pair: finite verb ("a star spins") and participle ("a spinning star", "a star spinning").
MOTION_PHRASES = {
    "right": _directed("right", "to the right", "rightward", "from left to right", "towards the right"),
    "left": _directed("left", "to the left", "leftward", "from right to left", "towards the left"),
    "up": _directed("up", "upward", "to the top", "upwards", "from bottom to top")
    + (("rises", "rising"), ("climbs", "climbing"), ("rises up", "rising up")) * 3,
    "down": _directed("down", "downward", "to the bottom", "downwards", "from top to bottom")
    + (("falls", "falling"), ("sinks", "sinking"), ("falls down", "falling down"), ("drops", "dropping")) * 3,
    "grows": (("grows", "growing"), ("grows", "growing"), ("gets bigger", "getting bigger"), ("gets larger", "getting larger"),
              ("expands", "expanding"), ("becomes bigger", "becoming bigger"), ("grows larger", "growing larger")),
    "shrinks": (("shrinks", "shrinking"), ("shrinks", "shrinking"), ("gets smaller", "getting smaller"),
                ("contracts", "contracting"), ("becomes smaller", "becoming smaller"), ("grows smaller", "growing smaller")),
    "spins": (("spins", "spinning"), ("spins", "spinning"), ("rotates", "rotating"), ("turns around", "turning around"),
              ("spins around", "spinning around"), ("rotates in place", "rotating in place"), ("spins in place", "spinning in place")),
    "still": (("stays still", "staying still"), ("stands still", "standing still"), ("is still", "being still"),
              ("does not move", "not moving"), ("is not moving", "without moving"), ("remains still", "remaining still"),
              ("stays in place", "staying in place"), ("is static", "static")),
}

# c: colour, s: shape, v: finite phrase, g: participle phrase, b: background.
TEMPLATES = (
    "a {c} {s} {v} on a {b} background",
    "a {c} {s} {v}, {b} background",
    "a {c} {s} {g} on a {b} background",
    "on a {b} background, a {c} {s} {v}",
    "a video of a {c} {s} that {v} on a {b} background",
    "{c} {s} {g}, {b} background",
    "the {c} {s} {v} over a {b} backdrop",
    "a {c} {s} in front of a {b} background {v}",
    "{b} background: one {c} {s} {g}",
    "an animation of a {c} {s} {g} against a {b} background",
)
SHORT_TEMPLATES = ("a {c} {s} {v}", "a {c} {s} {g}", "the {c} {s} {v}", "{c} {s} {g}", "a video of a {c} {s} {g}")
FILLER = ("please", "show", "me", "make", "clip", "short", "simple", "slowly", "bright", "big", "small", "shape", "scene",
          "plain", "solid", "with", "and", "it", "then", "see", "there", "screen", "across", "while", "image", "of")


def words_of(text):
    """Splits text the way the tokenizer does: lower case, words and single punctuation marks."""
    return re.findall(r"\w+|[^\w\s]", text.lower())


def caption(scene, rng, template=None):
    """Draws one caption of `scene`; a black background is sometimes left unsaid, and so is stillness."""
    short = scene.background == "black" and rng.random() < 0.3
    choices = SHORT_TEMPLATES if short else TEMPLATES
    template = template or choices[rng.integers(len(choices))]
    phrases = MOTION_PHRASES[scene.motion]
    verb, participle = phrases[rng.integers(len(phrases))]
    pick = lambda table, key: table.get(key, (key,))[rng.integers(len(table.get(key, (key,))))]
    text = template.format(c=pick(COLOUR_WORDS, scene.colour), s=pick(SHAPE_WORDS, scene.shape), v=verb, g=participle,
                           b=pick(BACKGROUND_WORDS, scene.background))
    if scene.motion == "still" and rng.random() < 0.12:
        text = text.replace(" " + verb, "").replace(" " + participle, "")
    return text.replace("a orange", "an orange")


def roughen(text, rng):
    """Adds what users add: unknown words, filler, no punctuation. Keeps every word that carries meaning."""
    words = words_of(text)
    draw = rng.random()
    if draw < 0.15:
        words.insert(int(rng.integers(len(words) + 1)), ANY_UNKNOWN)
    elif draw < 0.25:
        words.insert(int(rng.integers(len(words) + 1)), FILLER[rng.integers(len(FILLER))])
    elif draw < 0.32:
        words = [w for w in words if w not in ("a", "an", "the", ",", ":")]
    return " ".join(words)


def vocabulary():
    """All words and marks the captions can hold, sorted."""
    texts = list(TEMPLATES) + list(SHORT_TEMPLATES) + list(FILLER) + ["an . ! ?"]
    texts += [f"{v} {g}" for phrases in MOTION_PHRASES.values() for v, g in phrases]
    texts += [w for table in (SHAPE_WORDS, COLOUR_WORDS, BACKGROUND_WORDS) for group in table.values() for w in group]
    from world import BACKGROUNDS, COLOURS
    texts += list(COLOURS) + list(BACKGROUNDS)
    words = {w for text in texts for w in words_of(re.sub(r"\{\w\}", " ", text))}
    return sorted(words)
