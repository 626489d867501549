"""Fixtures of more than one part of the tests."""

from tests.netns.bed import bed

__all__ = ["bed"]
