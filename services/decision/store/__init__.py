"""Everything that decision reads and writes, one module a theme; statements in queries.sql."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.decision.store.audit_entries import AuditEntries
from services.decision.store.campaigns import Campaigns
from services.decision.store.decisions import DecidedElsewhereError
from services.decision.store.events import Events
from services.decision.store.journeys import Journeys
from services.decision.store.launches import Launches
from services.decision.store.members import LaunchFinder, Members, Progress
from services.decision.store.rule_sets import RuleSets

if TYPE_CHECKING:
    from libs.postgres.database import Database

__all__ = ["DecidedElsewhereError", "DecisionStore", "LaunchFinder", "Progress"]


class DecisionStore(AuditEntries, Campaigns, Events, Journeys, Launches, Members):
    """The tables of decision: campaign and its rules, rule_set, campaign_launch, decision."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rule_sets = RuleSets()
