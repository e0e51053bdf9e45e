"""Texts to token ids: each distinct word is cut and looked up once, and all texts are gathered from these lists.

A text is [CLS] and its tokens, cut to max_tokens in total; an empty text is [CLS] alone. There is no [SEP], since a
sample is one text, and no padding. A "[CLS]" written in a text is ordinary characters. Behind its tokens stand the
known n-grams of these, the shorter ones first, and the known affixes and character n-grams of the words that end within
the first max_tokens − 1; max_tokens does not count them.
"""

import functools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer, models

from engine.arrays.ragged import RaggedBatch, lengths, offsets_from
from engine.data.affixes import AffixTable
from engine.data.char_ngrams import CharNGramTable
from engine.data.growing import GrowingLists
from engine.data.hash_table import AscendingKeys, HashTable
from engine.data.ngrams import find_ngrams, side_by_side
from engine.data.notices import CutCount
from engine.data.numbered import NumberedTexts, number_words
from engine.data.pieces import CutWords, cuts_at_spaces
from engine.data.strings import Strings, hash_table_of, hashes_of, strings_from, to_list
from engine.data.tokenizer import FIRST
from engine.data.vocabulary import Vocabulary
from engine.data.word_tokenizer import UNKNOWN, WordTokenizer
from engine.types import Ints1d, Offsets

KNOWN_WORDS, KNOWN_BYTES = 500_000, 2**24  # beyond which words are forgotten
FEW_CHARACTERS = 2000
FEW_PIECES = 1000  # for which a table of all words takes longer than it saves


class Encoder:
    """Encodes texts by a Vocabulary. Remembers words: use one for many texts.

    words: those that have been numbered already, if texts are given to encode_numbers(). known: an Encoder of the same
    tokenizer, which has looked words up already.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        max_tokens: int,
        words: CutWords | None = None,
        known: "Encoder | None" = None,
    ) -> None:
        if max_tokens < 1:
            raise ValueError(f"max_tokens: must be at least 1, for {FIRST}, got {max_tokens}")
        tokenizer = vocabulary.tokenizer
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True
        first = tokenizer.token_to_id(FIRST)
        if first is None:
            raise ValueError(f"tokenizer: must have the token {FIRST}")
        self.vocabulary, self.max_tokens, self.first = vocabulary, max_tokens, first
        self.by_words = cuts_at_spaces(tokenizer)
        if vocabulary.sentences and not self.by_words:
            raise ValueError("tokenizer: must cut words at spaces, else sentences have other tokens than their text")
        if vocabulary.sentences and vocabulary.has_more_than_tokens():
            raise ValueError("sentences: n-grams and affixes do not stand in them")
        self.grams = None if vocabulary.ngrams is None else AscendingKeys(vocabulary.ngrams.hashes)
        self.affixes = None if vocabulary.affixes is None else AffixTable(vocabulary.affixes)
        self.char_ngrams = None if vocabulary.char_ngrams is None else CharNGramTable(vocabulary.char_ngrams)
        self.tokens: PieceTokens = PieceTokens(tokenizer) if known is None else known.tokens
        self.words: CutWords = words or CutWords()
        self.few: dict[str, int] = {}  # numbers of words that came in few texts
        self.of_tokens: WordLists = WordLists() if known is None else known.of_tokens
        self.of_affixes, self.of_char_ngrams = WordLists(), WordLists()
        self.cut = CutCount()

    def forget(self) -> None:
        """Forget all words."""
        self.words, self.of_tokens = CutWords(), WordLists()
        self.of_affixes, self.of_char_ngrams = WordLists(), WordLists()
        self.few.clear()

    def encode(self, texts: Sequence[str] | Strings) -> RaggedBatch:
        """RaggedBatch without labels of some texts."""
        if len(self.words.strings) > KNOWN_WORDS or len(self.words.strings.data) > KNOWN_BYTES:
            self.forget()
        if not isinstance(texts, Strings) and not self.vocabulary.sentences and sum(map(len, texts)) <= FEW_CHARACTERS:
            numbered = self.number_few(texts)
        else:
            strings = texts if isinstance(texts, Strings) else strings_from(texts)
            numbered = number_words(self.words.strings, strings, self.vocabulary.sentences)
        self.learn_words()
        return self.encode_numbers(numbered)

    def number_few(self, texts: Sequence[str]) -> NumberedTexts:
        """number_words() by a dict: for few words that takes a fifth of the time."""
        parts = [text.split(" ") for text in texts]
        words = [word for part in parts for word in part]
        new = [word for word in words if word not in self.few]
        if new:
            strings = strings_from(new)
            numbers = self.words.strings.number(strings.data, strings.offsets[:-1], strings.offsets[1:])
            self.few.update(zip(new, numbers.tolist()))
        offsets = offsets_from([len(part) for part in parts])
        return NumberedTexts(np.array([self.few[word] for word in words], np.int32), offsets)

    def encode_numbers(self, texts: NumberedTexts) -> RaggedBatch:
        """RaggedBatch without labels of texts as numbers of words that learn_words() has seen; threads may share it."""
        if self.by_words:
            batch = self.with_first(*self.of_tokens.by_word.of(texts.numbers), texts)
        else:
            batch = self.encode_whole(texts)
        if not self.vocabulary.has_more_than_tokens():
            return batch
        parts, counts = [batch.ids], [lengths(batch.offsets)]
        if self.grams is not None:
            assert self.vocabulary.ngrams is not None
            size = self.vocabulary.tokenizer.get_vocab_size()
            for found, count in find_ngrams(batch.ids, batch.offsets, self.grams, self.vocabulary.ngrams.longest):
                parts.append(size + found)
                counts.append(count)
        for lists, first in (
            (self.of_affixes, self.vocabulary.first_affix()),
            (self.of_char_ngrams, self.vocabulary.first_char_ngram()),
        ):
            if len(lists.by_word):
                found, count = self.parts_in(lists, texts)
                parts.append(first + found)
                counts.append(count)
        return RaggedBatch(*side_by_side(parts, np.array(counts)))

    def learn_words(self) -> None:
        """Cut and look up the words that have come since the last time."""
        self.words.cut_new(self.vocabulary.tokenizer)
        if self.by_words:
            self.of_tokens.learn(self.words, self.tokens)
        if self.affixes is not None:
            self.of_affixes.learn(self.words, self.affixes)
        if self.char_ngrams is not None:
            self.of_char_ngrams.learn(self.words, self.char_ngrams)

    def with_first(self, ids: Ints1d, word_ends: Offsets, texts: NumberedTexts) -> RaggedBatch:
        """Put [CLS] in front of each text and cut it to max_tokens. Sentences without tokens are none.

        ids: (T,) of the tokens of all texts; word_ends: (W + 1,) where those of words begin and end.
        """
        texts_before = np.arange(len(texts.offsets))
        offsets = word_ends[texts.offsets] + texts_before
        all_ids = np.empty(offsets[-1], np.int32)
        inner = np.ones(len(all_ids), bool)
        inner[offsets[:-1]] = False
        all_ids[offsets[:-1]], all_ids[inner] = self.first, ids
        sentences = texts.sentence_offsets
        if sentences is not None:
            assert texts.first_sentences is not None
            sentences = word_ends[sentences]
            sentences[1:] += np.repeat(texts_before[1:], lengths(texts.first_sentences))
        if len(offsets) > 1 and lengths(offsets).max() > self.max_tokens:
            self.cut.add(lengths(offsets), self.max_tokens)
            kept = np.arange(len(all_ids)) - np.repeat(offsets[:-1], lengths(offsets)) < self.max_tokens
            before = offsets_from(kept)
            all_ids, offsets = all_ids[kept], before[offsets]
            sentences = None if sentences is None else before[sentences]
        return RaggedBatch(all_ids, offsets, None, None if sentences is None else np.unique(sentences))

    def encode_whole(self, texts: NumberedTexts) -> RaggedBatch:
        """The tokens of texts by a tokenizer that looks beyond words."""
        words, bounds = to_list(self.words.strings.strings()), texts.offsets.tolist()
        chosen = [words[number] for number in texts.numbers.tolist()]
        whole = [" ".join(chosen[start:end]) for start, end in zip(bounds, bounds[1:])]
        encoded = self.vocabulary.tokenizer.encode_batch_fast(whole, add_special_tokens=False)
        whole_ids = [[self.first, *encoding.ids] for encoding in encoded]
        self.cut.add(np.array([len(some) for some in whole_ids], np.int64), self.max_tokens)
        ids = [some[: self.max_tokens] for some in whole_ids]
        ends = offsets_from([len(some) for some in ids])
        return RaggedBatch(np.array([i for some in ids for i in some], np.int32), ends)

    def parts_in(self, lists: "WordLists", texts: NumberedTexts) -> tuple[Ints1d, Ints1d]:
        """(ids, from 0, of the known affixes or character n-grams of all texts, how many each has)."""
        numbers, offsets = texts.numbers, texts.offsets
        pieces = offsets_from(lengths(self.words.of_word.offsets.array())[numbers])
        before = pieces[offsets]
        if len(before) > 1 and lengths(before).max() >= self.max_tokens:
            kept = pieces[1:] - np.repeat(before[:-1], lengths(offsets)) < self.max_tokens
            numbers, offsets = numbers[kept], offsets_from(kept)[offsets]
        ids, ends = lists.by_word.of(numbers)
        return ids, lengths(ends[offsets])


class WordLists:
    """Tokens, affixes or character n-grams of each piece and of each word of CutWords."""

    def __init__(self) -> None:
        self.by_piece, self.by_word = GrowingLists(), GrowingLists()

    def learn(self, words: CutWords, lists: "PieceTokens | AffixTable | CharNGramTable") -> None:
        """Find those of the pieces and words that have come since the last time."""
        if len(words.pieces) > len(self.by_piece):
            self.by_piece.append(*lists.of(words.pieces.strings(len(self.by_piece))))
        if len(words.of_word) > len(self.by_word):
            pieces, before = words.of_word.since(len(self.by_word))
            values, ends = self.by_piece.of(pieces)
            self.by_word.append(values, lengths(ends[before]))


class PieceTokens:
    """Finds the tokens of pieces of words: many whole words by their hashes, few and word pieces by the library."""

    def __init__(self, tokenizer: Tokenizer | WordTokenizer) -> None:
        # Without anything that would cut or change a piece once more.
        self.model = tokenizer if isinstance(tokenizer, WordTokenizer) else Tokenizer(tokenizer.model)
        self.few_left = FEW_PIECES if isinstance(tokenizer.model, models.WordLevel) else math.inf

    @functools.cached_property
    def words(self) -> tuple[HashTable, Ints1d, int]:
        """(table of all words, their ids, the id of others)."""
        vocabulary = self.model.get_vocab()
        ids = np.array(list(vocabulary.values()), np.int32)
        return hash_table_of(list(vocabulary)), ids, vocabulary[UNKNOWN]

    def of(self, pieces: Strings) -> tuple[npt.NDArray[np.int32], Ints1d]:
        """(ids of the tokens of all pieces, counts of each piece). pieces: as pieces_of() cuts them."""
        count = len(pieces.offsets) - 1
        self.few_left -= count
        if self.few_left < 0:
            table, ids, unknown = self.words
            places = table.find(hashes_of(pieces.data, pieces.offsets[:-1], pieces.offsets[1:]))
            return np.where(places < 0, unknown, ids[places]), np.ones(count, np.int64)
        if isinstance(self.model, WordTokenizer):
            return np.array(self.model.ids_of(to_list(pieces)), np.int32), np.ones(count, np.int64)
        encoding = self.model.encode(to_list(pieces), is_pretokenized=True, add_special_tokens=False)
        counts = np.bincount(np.array(encoding.word_ids, np.int64), minlength=count)
        return np.array(encoding.ids, np.int32), counts
