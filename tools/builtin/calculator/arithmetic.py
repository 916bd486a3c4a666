"""Arithmetic on text, without `eval`, in bounded time: whole numbers stay under `MAX_BITS` at every step."""

import ast
import math
import operator
from collections.abc import Callable

Number = int | float

MAX_LENGTH = 1000
MAX_BITS = 4096
MAX_DEPTH = 200
MAX_FACTORIAL = 500
MAX_DIGITS = 300


class ArithmeticFault(ValueError):
    """The expression has no value; the message says why."""


def evaluate(expression: str) -> Number:
    """The value of `expression`; raises `ArithmeticFault`."""
    if len(expression) > MAX_LENGTH:
        raise ArithmeticFault(f"The expression is longer than {MAX_LENGTH} characters.")
    try:
        tree = ast.parse(expression.strip(), mode="eval")
        return _value(tree.body, 0)
    except (SyntaxError, RecursionError, MemoryError):
        raise ArithmeticFault("This is not an arithmetic expression.") from None
    except ZeroDivisionError:
        raise ArithmeticFault("Division by zero.") from None
    except OverflowError:
        raise ArithmeticFault("The result is too large.") from None
    except ArithmeticFault:
        raise
    except (TypeError, ValueError) as error:
        raise ArithmeticFault(f"This has no value: {error}.") from None


def _value(node: ast.expr, depth: int) -> Number:
    if depth > MAX_DEPTH:
        raise ArithmeticFault("The expression is nested too deeply.")
    match node:
        case ast.Constant(value=bool()):
            raise ArithmeticFault("Only numbers can be computed with.")
        case ast.Constant(value=int() | float() as number):
            return _bounded(number)
        case ast.Name(id=name) if name in _CONSTANTS:
            return _CONSTANTS[name]
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            return _UNARY[type(op)](_value(operand, depth + 1))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _bounded(_BINARY[type(op)](_value(left, depth + 1), _value(right, depth + 1)))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
            return _bounded(_FUNCTIONS[name](*[_value(arg, depth + 1) for arg in args]))
        case ast.Name(id=name) | ast.Call(func=ast.Name(id=name)):
            raise ArithmeticFault(f"{name!r} is not known here.")
    raise ArithmeticFault("Only numbers, + - * / // % **, parentheses and functions are allowed.")


def _bounded(value: Number) -> Number:
    if isinstance(value, complex):
        raise ArithmeticFault("The result is not a real number.")
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise ArithmeticFault("The result is too large.")
    if isinstance(value, float) and not math.isfinite(value):
        raise ArithmeticFault("The result is too large.")
    return value


def _power(base: Number, exponent: Number) -> Number:
    # Looked at before it is computed: the bits of a power are those of its base, exponent times.
    is_whole = isinstance(base, int) and isinstance(exponent, int)
    if is_whole and abs(base) > 1 and abs(exponent) * (int(base).bit_length() - 1) > MAX_BITS:
        raise ArithmeticFault("The result is too large.")
    value: Number = operator.pow(base, exponent)
    return value


def _factorial(number: Number) -> int:
    if number > MAX_FACTORIAL:
        raise ArithmeticFault(f"factorial goes up to {MAX_FACTORIAL}.")
    if number != int(number):
        raise ArithmeticFault("factorial takes whole numbers.")
    return math.factorial(int(number))


def _round(number: Number, digits: Number = 0) -> Number:
    # Python builds the power of ten before it rounds.
    if not isinstance(digits, int) or abs(digits) > MAX_DIGITS:
        raise ArithmeticFault(f"round takes at most {MAX_DIGITS} digits, a whole number.")
    return round(number, digits) if digits else round(number)


_CONSTANTS: dict[str, Number] = {"pi": math.pi, "e": math.e, "tau": math.tau}
_UNARY: dict[type[ast.unaryop], Callable[[Number], Number]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
_BINARY: dict[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}
_FUNCTIONS: dict[str, Callable[..., Number]] = {
    "abs": abs,
    "ceil": math.ceil,
    "cos": math.cos,
    "exp": math.exp,
    "factorial": _factorial,
    "floor": math.floor,
    "gcd": math.gcd,
    "log": math.log,
    "log10": math.log10,
    "log2": math.log2,
    "max": max,
    "min": min,
    "round": _round,
    "sin": math.sin,
    "sqrt": math.sqrt,
    "tan": math.tan,
}
