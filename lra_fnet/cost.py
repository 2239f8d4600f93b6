"""Costs as the classes of mixers write them, such as "l d log l + l d^2"."""

import ast
import re


def power_of_length(cost: str) -> float:
    """Return the power of the length l that a cost grows with, logarithms aside.

    Letters, numbers and brackets side by side are multiplied; ^, /, +, log and sqrt
    mean what they usually do.

    Raises:
      ValueError: it cannot be read.

    >>> power_of_length("l d (log l + sqrt d) + m^3")
    1.0
    >>> power_of_length("l (w + c l / w) d")
    2.0
    """
    text = re.sub(r"\b(log|sqrt) (\w+)", r"\1(\2)", cost.replace("^", "**"))
    text = re.sub(r"(?<=[\w)]) (?=[\w(])", " * ", text)
    try:
        return _degree(ast.parse(text, mode="eval").body)
    except (SyntaxError, TypeError) as error:
        raise ValueError(
            f"cost {cost!r} cannot be read; write it like 'l d log l + l d^2'"
        ) from error


def _degree(node: ast.expr) -> float:
    """Return the power of l in an expression."""
    match node:
        case ast.BinOp(left, ast.Add(), right):
            return max(_degree(left), _degree(right))
        case ast.BinOp(left, ast.Mult(), right):
            return _degree(left) + _degree(right)
        case ast.BinOp(left, ast.Div(), right):
            return _degree(left) - _degree(right)
        case ast.BinOp(base, ast.Pow(), ast.Constant(int(exponent))):
            return _degree(base) * exponent
        case ast.Call(ast.Name("sqrt"), [argument]):
            return _degree(argument) / 2
        case ast.Call(ast.Name("log")) | ast.Constant():
            return 0.0
        case ast.Name(letter):
            return float(letter == "l")
    raise TypeError(f"no cost: {ast.unparse(node)}")
