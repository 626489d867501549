"""What a journal says about policy rules and passing routes is not believed without a look; the rest is in
tests/netns.
"""

import asyncio
from collections.abc import Mapping

import pytest

from infrastructure.pal.linux import policy_rules, split
from infrastructure.pal.linux.errors import JournalError
from infrastructure.pal.linux.journal import Json

RULE: Mapping[str, Json] = {"priority": 31830, "table": 254, "unless_mark": None, "ignore_default": 1}


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"families": 2, "rules": [RULE]}, id="one family and no list"),
        pytest.param({"families": [2], "rules": RULE}, id="one rule and no list"),
        pytest.param({"families": [2], "rules": ["31830"]}, id="a rule that is a text"),
        pytest.param({"families": [2], "rules": [RULE, {"priority": 31831}]}, id="half a rule"),
        pytest.param({"families": [2], "rules": [{**RULE, "table": "main"}]}, id="a table by its name"),
    ],
)
def test_rules_that_are_not_told_in_full_are_not_removed(facts: Mapping[str, Json]) -> None:
    with pytest.raises(JournalError, match="which routing rules"):
        asyncio.run(policy_rules.undo(facts))


@pytest.mark.parametrize(
    ("facts", "complaint"),
    [
        pytest.param({}, "names no table or no networks", id="nothing"),
        pytest.param({"table": "51830", "networks": []}, "names no table", id="a table that is a text"),
        pytest.param({"table": 51830, "networks": "10.0.0.0/8"}, "no networks", id="no list"),
        pytest.param({"table": 51830, "networks": ["10.0.0.1/8"]}, "no network", id="an address"),
    ],
)
def test_passing_routes_that_are_not_told_in_full_are_not_removed(
    facts: Mapping[str, Json], complaint: str
) -> None:
    with pytest.raises(JournalError, match=complaint):
        asyncio.run(split.undo(facts))
