"""Everything that decision reads and writes, one module a theme; statements in queries.sql."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.decision.store.audit_entries import AuditEntries
from services.decision.store.campaigns import Campaigns
from services.decision.store.events import DecidedElsewhereError, Events
from services.decision.store.journeys import Journeys
from services.decision.store.rule_sets import RuleSets

if TYPE_CHECKING:
    from libs.postgres.database import Database

__all__ = ["DecidedElsewhereError", "DecisionStore"]


class DecisionStore(AuditEntries, Campaigns, Events, Journeys):
    """The tables of decision: campaign, activation_rule and its versions, rule_set, decision."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rule_sets = RuleSets()
