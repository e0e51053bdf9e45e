"""Tokenizers of words, or of word pieces: trained on texts, loaded from a file, saved."""

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from engine.arrays.checks import check_choice
from engine.data.config import TOKENS
from engine.data.encoding import encode_texts
from engine.data.tables import read_characters
from engine.data.texts import shown
from engine.support.errors import UserError
from engine.support.files import write_text

__all__ = ["encode_texts", "load_tokenizer", "save_tokenizer", "train_tokenizer"]

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]  # their positions are their ids
CONTINUATION = "##"
MINIMUM_FREQUENCY = 2  # a token that occurs once cannot be learned


def train_tokenizer(texts, vocabulary_size, tokens="wordpieces", lowercase=True):
    """A tokenizer with at most `vocabulary_size` tokens that cuts words as BERT does. texts: strings.

    tokens: "words" knows the most frequent words and takes all others for [UNK]; "wordpieces" lets these fall into
    pieces, as BERT does. The same texts give the same tokenizer. Raises UserError when the texts hold no word, or more
    characters than the vocabulary can take in.
    """
    check_choice("tokens", tokens, TOKENS)
    texts = list(texts)
    tokenizer = (word_tokenizer if tokens == "words" else piece_tokenizer)(texts, vocabulary_size, lowercase)
    tokenizer.add_special_tokens(SPECIAL_TOKENS)
    return tokenizer


def word_tokenizer(texts, vocabulary_size, lowercase):
    """train_tokenizer() for words."""
    if vocabulary_size <= len(SPECIAL_TOKENS):
        raise UserError(
            f"a vocabulary of {vocabulary_size} tokens is too small: "
            f"it has no room for words beside {', '.join(SPECIAL_TOKENS)}; raise it (--vocabulary-size)"
        )
    tokenizer = cut_as_bert(models.WordLevel(unk_token="[UNK]"), lowercase)
    trainer = trainers.WordLevelTrainer(
        vocab_size=vocabulary_size, min_frequency=MINIMUM_FREQUENCY, special_tokens=SPECIAL_TOKENS, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer, length=len(texts))
    if tokenizer.get_vocab_size() == len(SPECIAL_TOKENS):
        raise UserError(
            f"the {len(texts)} training texts hold no word {MINIMUM_FREQUENCY} times, to build a vocabulary from; "
            "check which column holds the text (--text-columns), or take pieces of words (--tokens wordpieces)"
        )
    return tokenizer


def piece_tokenizer(texts, vocabulary_size, lowercase):
    """train_tokenizer() for word pieces."""
    # The library numbers the pieces "##x" in the order of a hash table that differs from run to run, and breaks ties
    # between merges by these numbers. Hence a first training without merges that finds them, on each word once, and a
    # second that is told them, sorted, as if they were special tokens.
    words = set()
    for text in texts:
        words.update(text.split(" "))
    alphabet = learned_vocabulary(sorted(words), 0, SPECIAL_TOKENS, lowercase)
    if len(alphabet) == len(SPECIAL_TOKENS):
        raise UserError(
            f"the {len(texts)} training texts hold no word to build a vocabulary from; "
            "check which column holds the text (--text-columns)"
        )
    if len(alphabet) > vocabulary_size:
        raise UserError(
            f"a vocabulary of {vocabulary_size} tokens is too small: "
            f"the characters of the training texts alone need {len(alphabet)}; "
            "raise it to that at least (--vocabulary-size)"
        )
    pieces = sorted(piece for piece in alphabet if piece.startswith(CONTINUATION) and len(piece) > len(CONTINUATION))
    return bert_tokenizer(learned_vocabulary(texts, vocabulary_size, SPECIAL_TOKENS + pieces, lowercase), lowercase)


def learned_vocabulary(texts, size, special_tokens, lowercase):
    """Token → id after one training by the library."""
    tokenizer = bert_tokenizer(None, lowercase)
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, min_frequency=MINIMUM_FREQUENCY, special_tokens=special_tokens, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer, length=len(texts))
    return tokenizer.get_vocab()


def bert_tokenizer(vocabulary, lowercase):
    """A WordPiece tokenizer. vocabulary: token → id, or None for an empty one."""
    return cut_as_bert(models.WordPiece(vocabulary, unk_token="[UNK]"), lowercase)


def cut_as_bert(model, lowercase):
    """A tokenizer of a model that normalizes texts and cuts words as BERT does."""
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def load_tokenizer(path):
    """The tokenizer of a `tokenizer.json` or of a BERT vocabulary, one token per line.

    Raises UserError for anything else.

    A vocabulary without upper-case letters (but in "[CLS]" and the like) is taken as lower-cased.
    """
    content = read_characters(path)
    tokenizer = (
        tokenizer_of_json(path, content) if content.lstrip().startswith("{") else tokenizer_of_vocabulary(path, content)
    )
    for token in ("[UNK]", "[CLS]"):
        if tokenizer.token_to_id(token) is None:
            raise UserError(
                f"{path}: the vocabulary has no token {token}; give a tokenizer.json or vocab.txt of the BERT family"
            )
    return tokenizer


def tokenizer_of_json(path, content):
    try:
        tokenizer = Tokenizer.from_str(content)
        tokenizer.encode("\u2603")  # an unknown token that is missing shows only when it is needed
    except Exception as error:  # the library raises bare Exceptions
        raise UserError(
            f"{path}: is no tokenizer.json that can be used ({shown(str(error))}); give one of the BERT family, "
            "or a vocab.txt"
        ) from None
    ids = sorted(tokenizer.get_vocab().values())
    if ids != list(range(len(ids))):
        raise UserError(
            f"{path}: the {len(ids)} token ids are not 0 to {len(ids) - 1}, some are missing or duplicates; "
            "number them without gaps"
        )
    return tokenizer


def tokenizer_of_vocabulary(path, content):
    vocabulary = {}
    for line, token in enumerate(content.removesuffix("\n").split("\n"), start=1):
        token = token.removesuffix("\r")
        if token in vocabulary:
            raise UserError(
                f"{path}, line {line}: token {shown(token)} is a duplicate of line {vocabulary[token] + 1}; "
                "give a vocabulary with each token once"
            )
        vocabulary[token] = line - 1
    is_special = {token for token in vocabulary if token.startswith("[") and token.endswith("]")}
    lowercase = all(token in is_special or token == token.lower() for token in vocabulary)
    tokenizer = bert_tokenizer(vocabulary, lowercase)
    tokenizer.add_special_tokens([token for token in (*SPECIAL_TOKENS, "[MASK]") if token in vocabulary])
    return tokenizer


def save_tokenizer(tokenizer, path):
    """Write a `tokenizer.json`; the file is replaced at once or not at all.

    Raises UserError where it cannot be written.
    """
    write_text(path, tokenizer.to_str(pretty=True))
