"""From errors, which end with what to do, to findings, which say it apart."""

from application.diagnosis.finding import Finding


def worded(error: Exception) -> Finding:
    """The problem that ``error`` is about; behind its first semicolon, else its last colon, is the advice."""
    sentence = " ".join(str(error).split()).rstrip(".")
    text, separator, advice = sentence.partition("; ")
    if not separator:
        text, _, advice = sentence.rpartition(": ")
    return Finding.problem(text or sentence, advice)
