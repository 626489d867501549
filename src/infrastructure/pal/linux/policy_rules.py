"""The policy rules of a client: they belong to no interface, so that a killed client leaves them behind.

Journal entries of the kind "policy-rules"; the families are numbered as in ``socket``::

    {"families": [2, 10],
     "rules": [{"priority": 31830, "table": 254, "unless_mark": null, "ignore_default": 1}, ...]}
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from infrastructure.pal.linux.errors import ForeignNameError, JournalError
from infrastructure.pal.linux.journal import Journal, Json
from infrastructure.pal.linux.netlink import Family, Netlink, PolicyRule, open_netlink

KIND: Final = "policy-rules"


async def refuse_foreign_rules(
    netlink: Netlink, families: Sequence[Family], rules: Sequence[PolicyRule]
) -> None:
    """Raises ForeignNameError if somebody has a rule with the priority of one of ``rules``.

    A killed client's are to be gone by then. Raises NetworkError.
    """
    ours = {rule.priority for rule in rules}
    for family in families:
        for priority in await netlink.rule_priorities(family):
            if priority in ours:
                option = "-6 " if family is Family.IPV6 else ""
                raise ForeignNameError(
                    f"somebody else has a routing rule with priority {priority}: give it another one, "
                    f"or remove it with `ip {option}rule del priority {priority}`"
                )


@asynccontextmanager
async def policy_rules(
    netlink: Netlink, families: Sequence[Family], rules: Sequence[PolicyRule], journal: Journal
) -> AsyncIterator[None]:
    """``rules`` hold for each of ``families`` inside. Raises NetworkError, JournalError."""
    number = journal.record(
        KIND, {"families": [int(family) for family in families], "rules": [_facts_of(rule) for rule in rules]}
    )
    try:
        for family in families:
            for rule in rules:
                await netlink.add_rule(family, rule)
        yield
    finally:
        await _remove(netlink, families, rules)
        journal.strike(number)


async def undo(facts: Mapping[str, Json]) -> None:
    """Remove the rules of an entry of the kind "policy-rules". Raises NetworkError, JournalError."""
    families, rules = facts.get("families"), facts.get("rules")
    if not isinstance(families, list) or not isinstance(rules, list):
        raise JournalError("the journal does not say which routing rules were made")
    async with open_netlink() as netlink:
        await _remove(netlink, [Family(family) for family in families], [_rule_of(rule) for rule in rules])


async def _remove(netlink: Netlink, families: Sequence[Family], rules: Sequence[PolicyRule]) -> None:
    # Backwards: without the rule for the local networks, that for the tunnel would catch their traffic.
    for family in reversed(families):
        for rule in reversed(rules):
            await netlink.delete_rules(family, rule)


def _facts_of(rule: PolicyRule) -> Json:
    return {
        "priority": rule.priority,
        "table": rule.table,
        "unless_mark": rule.unless_mark,
        "ignore_default": int(rule.ignore_default),
    }


def _rule_of(facts: Json) -> PolicyRule:
    match facts:
        case {
            "priority": int(priority),
            "table": int(table),
            "unless_mark": int() | None as unless_mark,
            "ignore_default": int(ignore_default),
        }:
            return PolicyRule(priority, table, unless_mark, bool(ignore_default))
        case _:
            raise JournalError("the journal does not say which routing rules were made")
