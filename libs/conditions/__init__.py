"""Conditions of segments and rules: a checked part of CEL over declared fields, three-valued."""

from __future__ import annotations

from libs.conditions.condition import Condition, Outcome, compile_condition
from libs.conditions.errors import ConditionError
from libs.conditions.fields import Scope
from libs.conditions.values import Problem, Values

__all__ = [
    "Condition",
    "ConditionError",
    "Outcome",
    "Problem",
    "Scope",
    "Values",
    "compile_condition",
]
