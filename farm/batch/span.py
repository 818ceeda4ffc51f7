"""A figure that is known about: what it is at least, most likely, and at most."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Span:
    """low <= likely <= high."""

    low: float
    likely: float
    high: float

    def times(self, factor: float) -> Span:
        return Span(*(each * factor for each in astuple(self)))

    def moved(self, by: float) -> Span:
        return Span(*(each + by for each in astuple(self)))

    def plus(self, other: Span) -> Span:
        return Span(*(one + two for one, two in zip(astuple(self), astuple(other), strict=True)))

    def minus(self, other: Span) -> Span:
        """The difference of two figures that are off in the same direction."""
        return Span(*sorted(one - two for one, two in zip(astuple(self), astuple(other), strict=True)))

    def at_least(self, other: Span) -> Span:
        return Span.most([self, other])

    def to_list(self) -> list[float]:
        return [float(f"{each:.6g}") if abs(each) < 1e6 else round(each) for each in astuple(self)]

    @staticmethod
    def total(spans: Iterable[Span]) -> Span:
        return Span(*(sum(each) for each in zip(*map(astuple, spans), strict=True)))

    @staticmethod
    def most(spans: Iterable[Span]) -> Span:
        return Span(*(max(each) for each in zip(*map(astuple, spans), strict=True)))

    @staticmethod
    def least(spans: Iterable[Span]) -> Span:
        return Span(*(min(each) for each in zip(*map(astuple, spans), strict=True)))

    @staticmethod
    def together(paces: Iterable[Span]) -> Span:
        """Seconds that workers of these paces need for what one of them does in `pace` seconds."""
        return Span(*(1 / sum(1 / one for one in each) for each in zip(*map(astuple, paces), strict=True)))
