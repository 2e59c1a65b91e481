"""Every limit of conditions, and what reading them may cost."""

from __future__ import annotations

TEXT_BYTES_MAX = 4096

# Values beyond these are not read, so that no profile or event can make a condition slow and a
# decision never stores more than this of one value. Typed columns stay well below.
VALUE_LENGTH_MAX = 1024
VALUE_COUNT_MAX = 500

# One unit is one step of the engine, about 60 ns: an operator, a value, an item of a list.
COST_MAX = 2000
# What the engine needs to look through the longest list or text that is read, in such steps. The
# longest list of numbers takes ten times as long; the dearest condition stays below 2 ms even so.
LIST_COST = 100
SEARCH_COST = 100

# How many compiled conditions a process keeps; the one that was used least recently goes first.
COMPILED_COUNT_MAX = 4096
