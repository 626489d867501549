import pytest

from application.diagnosis.finding import Finding
from infrastructure.pal.linux.doctor.wording import worded


@pytest.mark.parametrize(
    ("sentence", "text", "advice"),
    [
        ("cannot open x: there is none: load y", "cannot open x: there is none", "load y"),
        ("UDP [::]:9: it is in use; stop it or choose z", "UDP [::]:9: it is in use", "stop it or choose z"),
        ("a and\nb: do c.", "a and b", "do c"),
        ("nobody knows what to do", "nobody knows what to do", "nobody knows what to do"),
    ],
)
def test_what_to_do_is_taken_apart_from_what_is_wrong(sentence: str, text: str, advice: str) -> None:
    assert worded(Exception(sentence)) == Finding.problem(text, advice)
