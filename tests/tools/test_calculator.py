import time
from contextlib import suppress

import pytest

from tools.builtin.calculator.arithmetic import ArithmeticFault, evaluate


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("-2 ** 2", -4),
        ("7 // 2", 3),
        ("7 % 4", 3),
        ("1 / 4", 0.25),
        ("2 ** 100", 2**100),
        ("2 ** -1", 0.5),
        ("sqrt(16) + abs(-1)", 5.0),
        ("round(pi, 2)", 3.14),
        ("max(1, 2, 3) - min(4, 5)", -1),
        ("factorial(5)", 120),
        ("+".join(["1"] * 150), 150),
        ("1e3", 1000.0),
        ("  6*7\n", 42),
    ],
)
def test_values(expression: str, value: float) -> None:
    assert evaluate(expression) == value


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "1 +",
        "__import__('os').system('true')",
        "(1).__class__",
        "[1][0]",
        "'a' * 3",
        "True + 1",
        "x + 1",
        "lambda: 1",
        "print(1)",
        "max(1, 2, key=abs)",
        "1 if 1 else 2",
        "1 / 0",
        "5 % 0",
        "(-1) ** 0.5",
        "sqrt(-1)",
        "log(0)",
        "1j",
        "1e308 * 10",
        "exp(1000)",
        "factorial(2.5)",
        "max()",
        "round(1, 2, 3)",
    ],
)
def test_no_value(expression: str) -> None:
    with pytest.raises(ArithmeticFault):
        evaluate(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "9 ** 9 ** 9",
        "2 ** 100000000000",
        "(-2) ** 99999999",
        "9 ** -999999999",
        "9.9 ** 9999999",
        "factorial(10 ** 9)",
        "*".join(["2 ** 4000"] * 60),
        "(" * 400 + "1" + ")" * 400,
        "-" * 900 + "1",
        "+".join(["1"] * 500),
        "9" * 1001,
        "round(1, -99999999)",
        "5 % 2 ** 4096",
    ],
)
def test_the_time_is_bounded(expression: str) -> None:
    begun = time.thread_time()
    with suppress(ArithmeticFault):
        evaluate(expression)
    assert time.thread_time() - begun < 2
