"""Results in a README: the text between the two marks is replaced."""

from bench.result_files import with_results


def test_only_the_text_between_the_marks_is_replaced():
    readme = "before\n<!-- results -->\nold\nlines\n<!-- /results -->\nafter\n"
    assert with_results(readme, r"new \1") == "before\n<!-- results -->\nnew \\1<!-- /results -->\nafter\n"
