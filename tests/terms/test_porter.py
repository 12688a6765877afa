"""Porter's stemmer: the examples of his article, step by step as far as later steps leave them."""

from __future__ import annotations

import pytest

from cluscomp.encoders import load_encoder
from cluscomp.errors import UsageError
from cluscomp.terms.porter import stem

EXAMPLES = {
    "caresses": "caress", "ponies": "poni", "ties": "ti", "caress": "caress", "cats": "cat", "feed": "feed",
    "agreed": "agre", "plastered": "plaster", "bled": "bled", "motoring": "motor", "sing": "sing",
    "conflated": "conflat", "troubled": "troubl", "sized": "size", "hopping": "hop", "tanned": "tan",
    "falling": "fall", "hissing": "hiss", "fizzed": "fizz", "failing": "fail", "filing": "file",
    "happy": "happi", "sky": "sky", "relational": "relat", "conditional": "condit", "rational": "ration",
    "valenci": "valenc", "digitizer": "digit", "radicalli": "radic", "vietnamization": "vietnam",
    "operator": "oper", "feudalism": "feudal", "decisiveness": "decis", "hopefulness": "hope",
    "callousness": "callous", "formaliti": "formal", "sensibiliti": "sensibl", "triplicate": "triplic",
    "formative": "form", "formalize": "formal", "electrical": "electr", "hopeful": "hope", "goodness": "good",
    "revival": "reviv", "allowance": "allow", "inference": "infer", "airliner": "airlin",
    "adjustable": "adjust", "defensible": "defens", "irritant": "irrit", "replacement": "replac",
    "adjustment": "adjust", "dependent": "depend", "adoption": "adopt", "communism": "commun",
    "activate": "activ", "effective": "effect", "bowdlerize": "bowdler", "probate": "probat", "rate": "rate",
    "cease": "ceas", "controll": "control", "roll": "roll", "generalizations": "gener", "oscillators": "oscil",
    "as": "as", "straße": "straße", "cd80s": "cd80s",
}  # fmt: skip


@pytest.mark.parametrize(("word", "expected"), EXAMPLES.items())
def test_examples(word, expected):
    assert stem(word) == expected


def test_encoder_of_stems():
    encoder = load_encoder("words(stem=porter,stop=none)", "words")
    assert encoder.info.name == "words(stop=none,stem=porter)"  # one spelling
    rows = encoder.encode_documents(["The runners were running", "Run"])
    assert rows.mapping(0) == {"the": 1, "runner": 1, "were": 1, "run": 1} and rows.mapping(1) == {"run": 1}
    plain = load_encoder("words", "words")
    assert encoder.info.fingerprint != plain.info.fingerprint and plain.info.stem == "none"
    with pytest.raises(UsageError, match="splits no texts"):
        load_encoder("words(stem)", "words")
    with pytest.raises(UsageError, match="stem"):
        load_encoder("words(stem=lovins)", "words")
