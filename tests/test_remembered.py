"""Remembered results: a function is called once for each argument, and results are bounded."""

from mta.remembered import Remembered


def test_a_function_is_called_once_for_each_argument() -> None:
    called: list[str] = []

    def double(text: str) -> str:
        called.append(text)
        return text * 2

    results = Remembered(double, 10)
    assert [results[text] for text in ("a", "b", "a", "b")] == ["aa", "bb", "aa", "bb"]
    assert called == ["a", "b"]


def test_results_beyond_a_bound_are_forgotten() -> None:
    results = Remembered(str, 100)
    for number in range(1000):
        assert results[number] == str(number)
        assert len(results) <= 100
