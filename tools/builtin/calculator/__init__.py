"""The tool `calculator`."""

from pydantic import BaseModel, ConfigDict, Field

from runtime.contract import Tool, ToolContext
from tools.builtin.calculator.arithmetic import MAX_LENGTH, evaluate
from tools.registry import register


class CalculatorArgs(BaseModel):
    model_config = ConfigDict(extra="forbid")

    expression: str = Field(
        max_length=MAX_LENGTH,
        description="Arithmetic such as (2 + 3) * sqrt(16) or 2 ** 10. Operators: + - * / // % **.",
    )


class Calculator(Tool):
    """Arithmetic."""

    name = "calculator"
    description = (
        "Evaluates an arithmetic expression and returns its value. Functions: abs, round, min, max, sqrt, "
        "exp, log, log2, log10, sin, cos, tan, floor, ceil, factorial, gcd; constants: pi, e, tau."
    )
    read_only = True
    Args = CalculatorArgs

    async def acall(self, args: CalculatorArgs, context: ToolContext) -> str:
        return str(evaluate(args.expression))


register(Calculator())
