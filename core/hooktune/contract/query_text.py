"""When two queries are the same one: what people type differs in case, in blanks and in signs."""

import pyarrow as pa
import pyarrow.compute as pc


def normal_forms(queries: pa.LargeStringArray) -> pa.LargeStringArray:
    """Return queries in the form in which those that mean the same words are equal.

    It is Unicode's NFKC, in lower case, with single blanks between the words.
    """
    lower = pc.utf8_lower(pc.utf8_normalize(queries, form="NFKC"))
    return pc.utf8_trim_whitespace(pc.replace_substring_regex(lower, r"\s+", " "))


def word_forms(queries: pa.LargeStringArray) -> pa.LargeStringArray:
    """Return queries in the form in which those of the same words are equal, in whatever order.

    It is that of `normal_forms` without accents, and with the words sorted.
    """
    apart = pc.utf8_normalize(normal_forms(queries), form="NFD")
    bare = pc.replace_substring_regex(apart, r"\p{Mn}", "")
    words = (" ".join(sorted(text.split())) for text in bare.to_pylist())
    return pa.array(words, pa.large_string())
