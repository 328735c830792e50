//! Codes of languages, and the small words of those that prompts are mostly written in.

use whatlang::Lang;

/// What whatlang can tell apart, and ISO 639-1.
#[rustfmt::skip]
pub(super) const CODES: &[(Lang, &str)] = &[
    (Lang::Eng, "en"), (Lang::Cmn, "zh"), (Lang::Spa, "es"), (Lang::Hin, "hi"), (Lang::Ara, "ar"),
    (Lang::Fra, "fr"), (Lang::Por, "pt"), (Lang::Rus, "ru"), (Lang::Deu, "de"), (Lang::Jpn, "ja"),
    (Lang::Afr, "af"), (Lang::Aka, "ak"), (Lang::Amh, "am"), (Lang::Aze, "az"), (Lang::Bel, "be"),
    (Lang::Ben, "bn"), (Lang::Bul, "bg"), (Lang::Cat, "ca"), (Lang::Ces, "cs"), (Lang::Dan, "da"),
    (Lang::Ell, "el"), (Lang::Epo, "eo"), (Lang::Est, "et"), (Lang::Fin, "fi"), (Lang::Guj, "gu"),
    (Lang::Heb, "he"), (Lang::Hrv, "hr"), (Lang::Hun, "hu"), (Lang::Hye, "hy"), (Lang::Ind, "id"),
    (Lang::Ita, "it"), (Lang::Jav, "jv"), (Lang::Kan, "kn"), (Lang::Kat, "ka"), (Lang::Khm, "km"),
    (Lang::Kor, "ko"), (Lang::Lat, "la"), (Lang::Lav, "lv"), (Lang::Lit, "lt"), (Lang::Mal, "ml"),
    (Lang::Mar, "mr"), (Lang::Mkd, "mk"), (Lang::Mya, "my"), (Lang::Nep, "ne"), (Lang::Nld, "nl"),
    (Lang::Nob, "nb"), (Lang::Ori, "or"), (Lang::Pan, "pa"), (Lang::Pes, "fa"), (Lang::Pol, "pl"),
    (Lang::Ron, "ro"), (Lang::Sin, "si"), (Lang::Slk, "sk"), (Lang::Slv, "sl"), (Lang::Sna, "sn"),
    (Lang::Srp, "sr"), (Lang::Swe, "sv"), (Lang::Tam, "ta"), (Lang::Tel, "te"), (Lang::Tgl, "tl"),
    (Lang::Tha, "th"), (Lang::Tuk, "tk"), (Lang::Tur, "tr"), (Lang::Ukr, "uk"), (Lang::Urd, "ur"),
    (Lang::Uzb, "uz"), (Lang::Vie, "vi"), (Lang::Yid, "yi"), (Lang::Zul, "zu"),
];

/// Words without a meaning of their own.
#[rustfmt::skip]
pub(super) const SMALL_WORDS: &[(&str, &[&str])] = &[
    ("en", &[
        "a", "an", "the", "and", "or", "of", "on", "in", "at", "to", "with", "is", "are", "was", "his", "her", "its", "their",
        "my", "your", "our", "he", "she", "it", "they", "who", "that", "this", "these", "there", "while", "as", "by", "from",
        "into", "through", "over", "under", "near", "behind", "for", "up", "down", "out", "off", "then", "when", "where",
        "has", "have", "being", "be", "some", "very", "says", "not", "but", "which", "me", "us", "you", "them", "him", "onto",
        "across", "along", "around", "against", "towards", "toward", "between", "after", "before", "slowly",
    ]),
    ("es", &[
        "el", "la", "los", "las", "un", "una", "unos", "unas", "y", "del", "de", "en", "con", "por", "para", "que", "se",
        "su", "sus", "al", "es", "está", "están", "mientras", "sobre", "bajo", "desde", "hacia", "entre", "muy", "dice",
        "hay", "como", "lo", "le", "ella", "junto", "más", "no", "cuando", "dos", "tres", "sin", "hasta", "donde", "esta", "este",
    ]),
    ("fr", &[
        "le", "la", "les", "l", "un", "une", "des", "du", "de", "et", "en", "dans", "sur", "sous", "avec", "par", "pour",
        "qui", "que", "se", "son", "sa", "ses", "au", "aux", "est", "sont", "d", "elle", "il", "près", "vers", "entre",
        "très", "dit", "ce", "cette", "comme", "pendant", "devant", "derrière", "à", "leur", "ne", "pas", "où", "sans",
    ]),
    ("pt", &[
        "o", "os", "as", "um", "uma", "uns", "umas", "e", "do", "da", "dos", "das", "de", "em", "no", "na", "nos",
        "nas", "com", "por", "para", "que", "se", "seu", "sua", "ao", "à", "é", "está", "estão", "enquanto", "sobre", "sob",
        "entre", "muito", "diz", "pelo", "pela", "numa", "num", "ela", "ele", "não", "até", "onde", "sem", "perto",
    ]),
    ("de", &[
        "der", "die", "das", "ein", "eine", "einen", "einem", "einer", "eines", "und", "oder", "im", "in", "am", "an",
        "auf", "mit", "von", "vom", "zu", "zum", "zur", "durch", "über", "unter", "vor", "hinter", "neben", "den", "dem",
        "des", "ist", "sind", "sich", "seine", "ihre", "seinen", "ihren", "während", "sie", "er", "es", "sagt", "nach",
        "bei", "aus", "als", "wie", "sehr", "nicht", "für", "ihr", "sein", "seinem", "ihrem", "wo",
    ]),
    ("ru", &[
        "и", "в", "на", "с", "со", "по", "под", "над", "за", "к", "из", "у", "о", "от", "до", "через", "она", "он", "они",
        "его", "её", "их", "который", "которая", "что", "как", "где", "для", "среди", "возле", "во", "очень", "не",
        "говорит", "это", "когда", "перед", "между",
    ]),
    ("hi", &[
        "एक", "और", "में", "पर", "से", "का", "की", "के", "को", "है", "हैं", "रही", "रहा", "रहे", "ने", "वह", "जो", "उस", "इस",
        "लिए", "साथ", "भी", "हुए", "हुई", "हुआ", "अपने", "अपनी", "अपना",
    ]),
    ("ar", &[
        "في", "على", "من", "إلى", "عن", "مع", "و", "التي", "الذي", "هو", "هي", "تحت", "فوق", "بين", "أمام", "خلف", "قرب",
        "ثم", "أن", "هذا", "هذه", "عند",
    ]),
];
