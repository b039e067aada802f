"""When two queries are the same one: what people type differs in case, in blanks and in signs."""

import pyarrow as pa
import pyarrow.compute as pc


def normal_forms(queries: pa.LargeStringArray) -> pa.LargeStringArray:
    """Return queries in the form in which those that mean the same words are equal.

    It is Unicode's NFKC, in lower case, with single blanks between the words.
    """
    lower = pc.utf8_lower(pc.utf8_normalize(queries, form="NFKC"))
    return pc.utf8_trim_whitespace(pc.replace_substring_regex(lower, r"\s+", " "))
