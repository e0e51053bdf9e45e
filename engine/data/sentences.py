"""Sentences: where one ends in a text.

A sentence ends at a full stop, an exclamation or question mark or an ellipsis before a space, with the quotes and
brackets that close there; at the stops of Chinese and Japanese, which no space follows; at an HTML line break; and at
an empty line. A single line break is a space, since lines are wrapped. No sentence is without a letter.

Not every full stop before a space is an end. One behind an abbreviation or an initial is one only before a word with
which many sentences begin: "the U.S. The" but "the U.S. Army". Before a small letter only a bare full stop is an end
("it was bad. i left"), not "?" or "..." or '."'; in texts without capitals all are.
"""

import re

# A change of these makes other sentences of the same texts: raise FORMAT in token_cache.py.
# Every cut stands behind punctuation or a line break, where a tokenizer like BERT's cuts words too: no token changes.
CLOSING = r"\"')\]}”’»"
END = re.compile(
    # Bounded repetitions, and no run that may begin at each of its characters: linear time for any text.
    rf"(?P<stop>[.!?…؟۔।])(?P<closing>[{CLOSING}]{{0,4}})\s+(?![\s.!?…,;:)\]}}–—-]|<[bB][rR])"
    r"(?=[^\w\s.]{0,4}(?P<next>\w*\.?))"
    rf"|[。！？｡]+[」』）》】{CLOSING}]*\s*"
    rf"|(?:<[bB][rR] ?/?>\s*)+"
    rf"|\n[ \t\r]*\n\s*"
)
LETTER = re.compile(r"[^\W\d_]")
WORD_BEGINS = re.compile(r"[\s\"'(\[{“‘«\\-]")
INITIALS = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]")
ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof gen sen sens rep reps gov lt col sgt pfc capt cmdr adm maj cpl pvt rev hon pres supt messrs "
    "st ste mt ft jr sr esq inc corp co cos ltd bros dept univ assn govt plc llc intl vs etc al cf eg ie approx ave "
    "blvd jan feb apr aug sept sep oct nov dec calif fla ga ky md va tenn conn minn wis ariz colo okla ore mich wyo "
    "ind del ont".split()
)
BEFORE_NUMBERS = frozenset("no nos vol fig figs p pp pt ch sec art".split())
LONGEST = 16  # characters of an abbreviation or of initials
BEGINNINGS = frozenset(
    "A After All Although An And As At But By For From He Her Here His How However I If In It Its Many My No Not Now "
    "On One Our She Since So Some That The Their Then There These They This Those Though To Until We What When Where "
    "While Who Why With You Your".split()
)


def sentences_of(text: str) -> list[str]:
    """The sentences of a text, at least one, each with the spaces behind it: joined they are the text again.

    The tokens of the sentences, one after the other, are those of the text, where a tokenizer cuts words as BERT does.
    """
    sentences = []
    begin = 0
    letter = LETTER.search(text)  # the first of the sentence
    has_capitals = text != text.lower()
    for end in END.finditer(text):
        if letter is None:
            break
        if end.start() < letter.start() or (end["stop"] and not is_end(text, end, has_capitals)):
            continue
        letter = LETTER.search(text, end.end())
        if letter is not None:
            sentences.append(text[begin : end.end()])
            begin = end.end()
    return [*sentences, text[begin:]]


def is_end(text: str, end: re.Match[str], has_capitals: bool) -> bool:
    """Whether the stop and space that END has found end a sentence."""
    stop, following = end.start(), end["next"]
    bare = end["stop"] == "." and not end["closing"] and not text[max(0, stop - 2) : stop].rstrip().endswith(".")
    if has_capitals and following[:1].islower() and not bare:
        return False
    if end["stop"] != ".":
        return True
    word = WORD_BEGINS.split(text[max(0, stop - LONGEST) : stop].rstrip())[-1].lower()
    if word in BEFORE_NUMBERS and following[:1].isdigit():
        return False
    return following in BEGINNINGS or not (word in ABBREVIATIONS or INITIALS.fullmatch(word))
