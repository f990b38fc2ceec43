"""Subscribe, commit, acknowledge: the one order in which nothing is lost.

A device lets go of a report only when it is told that the report is on disk. So a message may
be lost anywhere before the commit (the device sends it again), and acknowledged twice after it.
"""

import logging
import threading
import time
from collections.abc import Mapping
from typing import Protocol

from natwatch_provider.store.database import (
    Database,
    is_at_fault,
    is_away,
    what_it_said,
)
from natwatch_provider.store.quarantine import Unread

from .counts import Counts
from .fields import Rejected
from .ingest import Outcome, Ranges, ingest
from .judge import Rules
from .messages import Message, Presence, Report, device_of, parse, unread

log = logging.getLogger("natwatch.collector")

BATCH = 500  # messages in one transaction
GATHER_S = 0.02  # how long a batch waits to grow: a commit costs about as much
RETRY_S = 1.0  # between two tries of a database that is away


# One message, and what it was read as.
Arrival = tuple[Report | Presence | Unread, Message]


class Source(Protocol):
    """Where messages come from, and where the word goes that they are safe."""

    def receive(self, limit: int, gather_s: float) -> list[Message]:
        """Up to *limit* messages, those of *gather_s* after the first; maybe none."""

    def settle(self, messages: list[Message], acks: Mapping[tuple[str, str], Ranges]) -> None:
        """*messages* have been dealt with; *acks*, by (device, boot), are committed."""


class Pipeline:
    """Moves messages from *source* to *database* until *stopping* is set."""

    def __init__(
        self,
        database: Database,
        source: Source,
        rules: Rules,
        counts: Counts,
        stopping: threading.Event,
    ) -> None:
        self._database = database
        self._source = source
        self._rules = rules
        self._counts = counts
        self._stopping = stopping
        self._away = False

    def prepare(self) -> bool:
        """Upgrade the schema, as soon as the database can be used. False if stopped before."""
        while not self._stopping.is_set():
            try:
                self._database.upgrade()
            except Exception as error:
                if not is_away(error):
                    raise
                self._say_away(error)
                self._stopping.wait(RETRY_S)
            else:
                self._say_back()
                return True
        return False

    def run(self) -> None:
        while not self._stopping.is_set():
            messages = self._source.receive(BATCH, GATHER_S)
            if messages:
                self.take(messages)

    def take(self, messages: list[Message]) -> None:
        """One batch, from bytes to acknowledgement."""
        outcome = self._commit([self._parse(one) for one in messages])
        if outcome is None:
            return  # stopped while the database was away: nothing of it is acknowledged
        self._source.settle(messages, outcome.acks)
        self._tell(outcome)

    def _parse(self, message: Message) -> Arrival:
        try:
            return parse(message), message
        except Rejected as error:
            self._counts.dropped(error.reason, device_of(message.topic), str(error))
            return unread(message, error.reason, str(error)), message

    def _commit(self, arrivals: list[Arrival]) -> Outcome | None:
        """Store *arrivals*, however long that takes. None if stopped before."""
        while not self._stopping.is_set():
            try:
                return self._store(arrivals)
            except Exception as error:
                if not is_at_fault(error):
                    self._say_away(error)
                    self._stopping.wait(RETRY_S)
                elif len(arrivals) > 1:
                    # One of them is at fault; the others must not suffer for it.
                    return self._commit_halves(arrivals)
                elif isinstance(arrivals[0][0], Unread):
                    # Not even the quarantine takes it. Unacknowledged, so its device keeps it.
                    self._refuse(arrivals[0][1], error)
                    return Outcome()
                else:
                    message, said = arrivals[0][1], self._refuse(arrivals[0][1], error)
                    arrivals = [(unread(message, "refused", said), message)]
        return None

    def _refuse(self, message: Message, error: Exception) -> str:
        said = what_it_said(error)
        self._counts.dropped("refused", device_of(message.topic), said)
        return said

    def _commit_halves(self, arrivals: list[Arrival]) -> Outcome | None:
        middle = len(arrivals) // 2
        first = self._commit(arrivals[:middle])
        second = None if first is None else self._commit(arrivals[middle:])
        # What is stored of a batch that was stopped is not acknowledged: it comes again.
        return None if first is None or second is None else _merged(first, second)

    def _store(self, arrivals: list[Arrival]) -> Outcome:
        values = [value for value, _message in arrivals]
        with self._database.writing() as connection:
            outcome = ingest(connection, values, self._rules, time.time())
        self._say_back()
        return outcome

    def _tell(self, outcome: Outcome) -> None:
        self._counts.good("stored", outcome.stored)
        acknowledged = sum(last - first + 1 for one in outcome.acks.values() for first, last in one)
        self._counts.good("acknowledged", acknowledged)
        self._counts.good("quarantined", outcome.quarantined)
        for reason, device, detail in outcome.dropped:
            self._counts.dropped(reason, device, detail)
        for line in outcome.lines:
            log.warning("%s", line)

    def _say_away(self, error: Exception) -> None:
        if not self._away:
            self._away = True
            log.error(
                "database %s cannot be used: %s; trying again every %g s, nothing is "
                "acknowledged until then",
                self._database,
                what_it_said(error),
                RETRY_S,
            )

    def _say_back(self) -> None:
        if self._away:
            self._away = False
            log.warning("database %s can be used again", self._database)


def _merged(first: Outcome, second: Outcome) -> Outcome:
    """Two outcomes as one, so that a boot's ranges are told in one message."""
    acks = {name: list(ranges) for name, ranges in first.acks.items()}
    for name, ranges in second.acks.items():
        acks.setdefault(name, []).extend(ranges)
    return Outcome(
        acks,
        first.lines + second.lines,
        first.stored + second.stored,
        first.quarantined + second.quarantined,
        first.dropped + second.dropped,
    )
