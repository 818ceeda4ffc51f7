"""Reads the part of PromQL that the farm's alerts and dashboards are written in, and refuses all else.

No PromQL library: a grammar of our own, stricter than Prometheus'. What passes here is PromQL; not all PromQL passes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["number", "vector", "range"]

TOKEN = re.compile(
    r"\s*(?:(?P<duration>\[\d+(?:ms|[smhdwy])\])|(?P<number>\d+(?:\.\d+)?(?:e[+-]?\d+)?)|(?P<name>[a-zA-Z_:][\w:]*)"
    r"|(?P<text>\"(?:[^\"\\]|\\.)*\")|(?P<sign>=~|!~|==|!=|>=|<=|[-+*/%><=(){},]))"
)
FUNCTIONS: dict[str, tuple[Kind, ...]] = {
    "rate": ("range",),
    "increase": ("range",),
    "delta": ("range",),
    "absent": ("vector",),
    "histogram_quantile": ("number", "vector"),
}
AGGREGATIONS = ("sum", "max", "min")
LEVELS = (("or",), ("and", "unless"), ("==", "!=", ">", "<", ">=", "<="), ("+", "-"), ("*", "/", "%"))
"""Operators that bind least first."""


@dataclass
class Expression:
    """What an expression gives, and which labels it needs of which metrics."""

    kind: Kind
    metrics: dict[str, set[str]] = field(default_factory=dict)

    def with_labels(self, labels: set[str]) -> Expression:
        return Expression(self.kind, {name: used | labels for name, used in self.metrics.items()})


class Reader:
    """A text of PromQL, token by token."""

    def __init__(self, text: str) -> None:
        self.tokens: list[str] = []
        position = 0
        while text[position:].strip():
            found = TOKEN.match(text, position)
            assert found, f"no PromQL from here: {text[position : position + 30]!r} in {text!r}"
            self.tokens.append(found.group().strip())
            position = found.end()
        self.text = text

    def peek(self) -> str:
        return self.tokens[0] if self.tokens else ""

    def take(self, *wanted: str) -> str:
        token = self.peek()
        assert token, f"{self.text!r} ends too soon"
        assert not wanted or token in wanted, f"{token!r} where one of {wanted} should be, in {self.text!r}"
        return self.tokens.pop(0)

    def expression(self, level: int = 0) -> Expression:
        if level == len(LEVELS):
            return self.operand()
        left = self.expression(level + 1)
        while self.peek() in LEVELS[level]:
            operator = self.take()
            right = self.expression(level + 1)
            assert "range" not in {left.kind, right.kind}, f"{operator} between ranges in {self.text!r}"
            if operator in {"or", "and", "unless"}:
                assert left.kind == right.kind == "vector", f"{operator} wants vectors in {self.text!r}"
            left = joined(left, right)
        return left

    def operand(self) -> Expression:
        if self.peek() == "(":
            self.take()
            inner = self.expression()
            self.take(")")
            return inner
        token = self.take()
        if re.fullmatch(r"\d.*", token):
            return Expression("number")
        assert re.fullmatch(r"[a-zA-Z_:][\w:]*", token), f"{token!r} is no operand, in {self.text!r}"
        if token in AGGREGATIONS:
            return self.aggregation()
        return self.function(token) if self.peek() == "(" else self.selector(token)

    def aggregation(self) -> Expression:
        labels: set[str] = set()
        if self.peek() == "by":
            self.take()
            self.take("(")
            labels = set(self.until(")"))
        self.take("(")
        inner = self.expression()
        self.take(")")
        assert inner.kind == "vector", f"an aggregation of a {inner.kind} in {self.text!r}"
        return inner.with_labels(labels)

    def function(self, name: str) -> Expression:
        assert name in FUNCTIONS, f"no function that is known here: {name!r}"
        self.take("(")
        result = Expression("vector")
        for number, kind in enumerate(FUNCTIONS[name]):
            if number:
                self.take(",")
            argument = self.expression()
            assert argument.kind == kind, f"{name} wants a {kind}, not a {argument.kind}, in {self.text!r}"
            result = joined(result, argument)
        self.take(")")
        result.kind = "vector"
        return result.with_labels({"le"}) if name == "histogram_quantile" else result

    def selector(self, name: str) -> Expression:
        labels = set()
        if self.peek() == "{":
            self.take()
            while self.peek() != "}":
                labels.add(self.take())
                matches = self.take("=", "!=", "=~", "!~")
                value = self.take()
                assert value.startswith('"'), f"{value} is no text, in {self.text!r}"
                if matches in {"=~", "!~"}:
                    re.compile(value[1:-1])
                if self.peek() == ",":
                    self.take()
            self.take("}")
        kind: Kind = "range" if self.peek().startswith("[") else "vector"
        if kind == "range":
            self.take()
        return Expression(kind, {name: labels})

    def until(self, end: str) -> list[str]:
        found = [self.take()]
        while self.take(",", end) != end:
            found.append(self.take())
        return found


def joined(one: Expression, other: Expression) -> Expression:
    metrics = {name: set(labels) for name, labels in one.metrics.items()}
    for name, labels in other.metrics.items():
        metrics[name] = metrics.get(name, set()) | labels
    return Expression("vector" if "vector" in {one.kind, other.kind} else "number", metrics)


def parse(text: str) -> Expression:
    """The expression that a whole text is; raises AssertionError for what is none."""
    reader = Reader(text)
    found = reader.expression()
    assert not reader.tokens, f"{reader.tokens[0]!r} behind the end of {text!r}"
    return found
