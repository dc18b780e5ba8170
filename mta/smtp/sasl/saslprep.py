"""SASLprep (RFC 4013): the form of user names and passwords in which two spellings of a text are equal."""

import stringprep
from unicodedata import ucd_3_2_0 as unicode_3_2

_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def prepared(text: str) -> str:
    """Return a text in the form of SASLprep, or as it is if SASLprep prohibits one of its characters.

    A prohibited character is no error, because passwords with one are in use; PostgreSQL has the same rule. Characters
    that Unicode 3.2 does not know are kept.
    """
    if text.isascii():
        # Of ASCII only control characters are prohibited, and no character changes.
        return text
    mapped = "".join(
        " " if stringprep.in_table_c12(each) else each for each in text if not stringprep.in_table_b1(each)
    )
    normal = unicode_3_2.normalize("NFKC", mapped)
    prohibited = any(table(each) for each in normal for table in _PROHIBITED)
    return text if prohibited or not _is_one_direction(normal) else normal


def _is_one_direction(text: str) -> bool:
    """Whether a text obeys RFC 3454 section 6: one with characters from right to left has no others."""
    if not any(map(stringprep.in_table_d1, text)):
        return True
    ends = stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
    return ends and not any(map(stringprep.in_table_d2, text))
