"""Subscribe, commit, acknowledge: the one order in which nothing is lost.

A device lets go of a report only when it is told that the report is on disk. So a message may
be lost anywhere before the commit (the device sends it again), and acknowledged twice after it.
"""

import logging
import threading
import time
from collections.abc import Mapping
from typing import Protocol

from natwatch_provider.store.database import Database, is_away, what_it_said

from .counts import Counts
from .fields import Rejected
from .ingest import Outcome, Ranges, ingest
from .judge import Rules
from .messages import Message, Presence, Report, device_of, parse

log = logging.getLogger("natwatch.collector")

BATCH = 500  # messages in one transaction
GATHER_S = 0.02  # how long a batch waits to grow: a commit costs about as much
RETRY_S = 1.0  # between two tries of a database that is away


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
        arrivals = self._parse(messages)
        outcomes = self._commit(arrivals) if arrivals else []
        if outcomes is None:
            return  # stopped while the database was away: nothing of it is acknowledged
        acks = {name: ranges for outcome in outcomes for name, ranges in outcome.acks.items()}
        self._source.settle(messages, acks)
        for outcome in outcomes:
            self._tell(outcome)

    def _parse(self, messages: list[Message]) -> list[Report | Presence]:
        arrivals = []
        for message in messages:
            try:
                arrivals.append(parse(message))
            except Rejected as error:
                self._counts.dropped(error.reason, device_of(message.topic), str(error))
        return arrivals

    def _commit(self, arrivals: list[Report | Presence]) -> list[Outcome] | None:
        """Store *arrivals*, however long that takes. None if stopped before."""
        while not self._stopping.is_set():
            try:
                return [self._store(arrivals)]
            except Exception as error:
                if is_away(error):
                    self._say_away(error)
                    self._stopping.wait(RETRY_S)
                elif len(arrivals) > 1:
                    # One of them is at fault; the others must not suffer for it.
                    return self._commit_singly(arrivals)
                else:
                    self._counts.dropped("refused", arrivals[0].device, what_it_said(error))
                    return []
        return None

    def _commit_singly(self, arrivals: list[Report | Presence]) -> list[Outcome] | None:
        outcomes: list[Outcome] = []
        for one in arrivals:
            stored = self._commit([one])
            if stored is None:
                return None
            outcomes += stored
        return _merged(outcomes)

    def _store(self, arrivals: list[Report | Presence]) -> Outcome:
        with self._database.writing() as connection:
            outcome = ingest(connection, arrivals, self._rules, time.time())
        self._say_back()
        return outcome

    def _tell(self, outcome: Outcome) -> None:
        self._counts.good("stored", outcome.stored)
        acknowledged = sum(last - first + 1 for one in outcome.acks.values() for first, last in one)
        self._counts.good("acknowledged", acknowledged)
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


def _merged(outcomes: list[Outcome]) -> list[Outcome]:
    """Outcomes of single messages as one, so that a boot's ranges are not told one by one."""
    whole = Outcome()
    for one in outcomes:
        for name, ranges in one.acks.items():
            whole.acks.setdefault(name, []).extend(ranges)
        whole.lines += one.lines
        whole.stored += one.stored
        whole.dropped += one.dropped
    return [whole]
