"""Has a NAT's timer shrunk? Pure functions: a key's history and one measurement in, changes out.

A key is a device, a port class, a binding state and a context (gateway and public prefix).
Three rules watch each key:

=========  ========  ====================================  ================================
rule       severity  a measurement says "below"            … and "above"
=========  ========  ====================================  ================================
relative   warning   wholly below 0.8 of the baseline      lo >= 0.9 of the baseline
short      critical  dead at the keepalive: hi <= K        alive at the keepalive: lo >= K
thin       warning   a margin of under a quarter           lo >= 1.25 K
=========  ========  ====================================  ================================

What is neither below nor above is "between": it contradicts a suspicion, but does not count
towards an all-clear. A bracket that straddles the border of relative or short says nothing
about it; for thin a closed one is "below", since its low edge is all the margin that was seen.
A bracket without an upper edge is below nothing, and an unknown lifetime says nothing at all.

A rule is raised by two independent measurements (another number, or another boot) that say
"below" with none between them that contradicts, and cleared by three that say "above". One
measurement alone never raises anything: a wrong verdict is worse than none. Nor does a watch
alone, however often it speaks: a router's restart kills all that is watched, and no timer shrank.
An all-clear it may give alone, since life is proof. A check is a watch that looks but seldom.

While a rule is raised, its value is told anew when it has moved: two say that it is wholly below
0.8 of what was told, or three that this is wholly below 0.8 of it. Wobble is no move.
"""

from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

SHRUNK = 0.8  # of the baseline: below it is a shrink
RECOVERED = 0.9  # of the baseline: from it on a shrink is over
THIN = 1.25  # times the keepalive: below it a lost keepalive may cost the binding
CONFIRMING = 2  # independent measurements that raise a rule
CLEARING = 3  # and that clear it
WINDOW = 21  # brackets whose median is the baseline
ENOUGH = 3  # brackets that make a baseline at all
DAY = 86400.0
NARROW_S, NARROW = 3.0, 0.15  # a watch's bracket no wider than either saw both its sides
BEST_DAYS = 90  # a slow decline is compared with the best baseline of these days

# Methods that look at the value known with a few teeth, and search nothing.
WATCHING = ("watch", "check")

SEVERITY = {"relative": "warning", "short": "critical", "thin": "warning"}

# The keepalive refreshes the binding of the registered phone, which is made to the SIP port
# and has been answered. The other keys have no keepalive to be compared with; nor has state
# refreshed, which is what packets from outside keep alive.
KEPT_ALIVE = (("udp/sip", "replied"), ("udp/sip", "stream"))


@dataclass(frozen=True)
class Settings:
    """*keepalive_s*: in use at this device, or None where the rules short and thin do not
    apply. *span_s*: the time that a full baseline window covers; 0 takes every measurement.
    """

    keepalive_s: float | None
    span_s: float


@dataclass(frozen=True)
class Bracket:
    """Alive at *lo*, dead at *hi*, seconds; *hi* None: nothing was found dead."""

    lo: float
    hi: float | None

    @property
    def width(self) -> float:
        return float("inf") if self.hi is None else self.hi - self.lo


@dataclass(frozen=True)
class Measurement:
    """One result. *ref* names it: equal refs are not independent. *measured*: UTC seconds.

    *bracket* None: unknown.
    """

    ref: str
    measured: float
    bracket: Bracket | None
    method: str


@dataclass(frozen=True)
class Change:
    """A rule was raised, is still raised but with another value *new*, or was cleared.

    *old*: the baseline, where there is one. *since*: when the first of the measurements that
    decided it was made, UTC seconds.
    """

    rule: str
    raised: bool
    old: Bracket | None
    new: Bracket
    since: float


@dataclass(frozen=True)
class Decision:
    """The tightest bracket of the measurements that decided a rule, and when the first was made."""

    bracket: Bracket
    since: float


@dataclass
class Rule:
    """Whether a rule is raised, and the measurements that speak for the opposite.

    *votes* are (witness, measured, lo, hi); *against*: when the last contradiction was measured,
    since only what was measured after it counts, in whatever order it came.
    """

    raised: bool = False
    votes: list[tuple[str, float, float, float | None]] = field(default_factory=list)
    against: float = 0.0

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Rule":
        return cls(value["raised"], [tuple(vote) for vote in value["votes"]], value["against"])


@dataclass
class History:
    """What one key remembers. JSON-able by to_json() and from_json().

    *kept*: the baseline's brackets, (ref, measured, lo, hi), oldest first. *best*: (measured,
    lo, hi) of baselines that none since has reached. *frozen*: the reference of an open shrink.
    *told*: the value that was last told of the rules raised, None while none is; *lower* and
    *higher* gather what says that it has moved.
    """

    kept: list[tuple[str, float, float, float | None]] = field(default_factory=list)
    best: list[tuple[float, float, float | None]] = field(default_factory=list)
    frozen: tuple[float, float | None] | None = None
    rules: dict[str, Rule] = field(default_factory=lambda: {name: Rule() for name in SEVERITY})
    told: tuple[float, float | None] | None = None
    lower: Rule = field(default_factory=Rule)
    higher: Rule = field(default_factory=lambda: Rule(raised=True))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "History":
        return cls(
            kept=[tuple(one) for one in value["kept"]],
            best=[tuple(one) for one in value["best"]],
            frozen=None if value["frozen"] is None else tuple(value["frozen"]),
            rules={name: Rule.from_json(one) for name, one in value["rules"].items()},
            told=None if value["told"] is None else tuple(value["told"]),
            lower=Rule.from_json(value["lower"]),
            higher=Rule.from_json(value["higher"]),
        )


def step(history: History, measurement: Measurement, settings: Settings) -> list[Change]:
    """Take one measurement into *history*, which is changed; the rules that it flipped or moved."""
    bracket = measurement.bracket
    if bracket is None:
        return []
    old = reference(history, measurement.measured)
    suspicious = old is not None and _beside_baseline(bracket, old) == "below"
    changes = []
    for name, says in _verdicts(bracket, measurement.method, old, settings).items():
        rule = history.rules[name]
        decided = _vote(rule, says, measurement, bracket)
        if decided is not None:
            changes.append(Change(name, rule.raised, old, decided.bracket, decided.since))
            if name == "relative":
                history.frozen = (old.lo, old.hi) if rule.raised and old else None
    changes += _tell(history, measurement, bracket, old, changes)
    if history.told is None and not suspicious and _is_sound(bracket, measurement.method, old):
        _keep(history, measurement, bracket, settings.span_s)
    return changes


def baseline(history: History) -> Bracket | None:
    """The median of the brackets kept; None while there are too few."""
    if len(history.kept) < ENOUGH:
        return None
    highs = [float("inf") if hi is None else hi for _, _, _, hi in history.kept]
    high = median(highs)
    return Bracket(median(lo for _, _, lo, _ in history.kept), None if high > 1e9 else high)


def reference(history: History, now: float) -> Bracket | None:
    """What a shrink is measured against: the best baseline of 90 days, frozen while one is open."""
    if history.frozen is not None:
        return Bracket(*history.frozen)
    recent = [Bracket(lo, hi) for at, lo, hi in history.best if at > now - BEST_DAYS * DAY]
    present = baseline(history)
    return max([*recent, present] if present else recent, key=lambda one: one.lo, default=None)


def _verdicts(
    bracket: Bracket, method: str, old: Bracket | None, settings: Settings
) -> dict[str, str | None]:
    """What *bracket* says to each rule that applies: below, between, above, or None, nothing."""
    verdicts: dict[str, str | None] = {}
    if old is not None:
        verdicts["relative"] = _beside_baseline(bracket, old)
    if settings.keepalive_s is not None:
        verdicts["short"] = _beside_keepalive(bracket, settings.keepalive_s)
        verdicts["thin"] = _beside_margin(bracket, method, settings.keepalive_s * THIN)
    return verdicts


def _beside_baseline(bracket: Bracket, old: Bracket) -> str | None:
    if bracket.lo >= RECOVERED * old.lo:
        return "above"
    if bracket.lo >= SHRUNK * old.lo:
        return "between"
    return "below" if _dead_at(bracket, SHRUNK * old.lo, strictly=True) else None


def _beside_keepalive(bracket: Bracket, keepalive: float) -> str | None:
    if bracket.lo >= keepalive:
        return "above"
    return "below" if _dead_at(bracket, keepalive) else None


def _beside_margin(bracket: Bracket, method: str, margin: float) -> str | None:
    if bracket.lo >= margin:
        return "above"
    # Without an upper edge lo is only where the search or a watch ended. A watch sees only which
    # of its few teeth died: its low edge is where a guard tooth happened to stand.
    if bracket.hi is None or (method in WATCHING and bracket.hi > margin):
        return None
    return "below"


def _dead_at(bracket: Bracket, border: float, strictly: bool = False) -> bool:
    if bracket.hi is None:
        return False
    return bracket.hi < border if strictly else bracket.hi <= border


def _vote(
    rule: Rule, says: str | None, measurement: Measurement, bracket: Bracket
) -> Decision | None:
    """Count what one measurement says to one rule. If it is the deciding vote, the rule flips."""
    # The same bindings searched more closely, or the same watch: the later word holds.
    watching = measurement.method in WATCHING and not rule.raised
    witness = "watch" if watching else measurement.ref
    rule.votes = [vote for vote in rule.votes if vote[0] != witness]
    if says is None:
        return None
    if says != ("above" if rule.raised else "below"):
        rule.against = max(rule.against, measurement.measured)
        rule.votes = [vote for vote in rule.votes if vote[1] > rule.against]
        return None
    if measurement.measured <= rule.against:
        return None
    rule.votes.append((witness, measurement.measured, bracket.lo, bracket.hi))
    if len(rule.votes) < (CLEARING if rule.raised else CONFIRMING):
        return None
    tightest = min((Bracket(lo, hi) for _, _, lo, hi in rule.votes), key=lambda one: one.width)
    rule.raised = not rule.raised
    rule.against = max(rule.against, measurement.measured)
    decided = Decision(tightest, min(measured for _, measured, _, _ in rule.votes))
    rule.votes = []
    return decided


def _tell(
    history: History,
    measurement: Measurement,
    bracket: Bracket,
    old: Bracket | None,
    flipped: list[Change],
) -> list[Change]:
    """What is told anew of the rules that stay raised: where one *flipped*, or the value moved,
    all of the key are given the new value.
    """
    if flipped:
        tightest = min(flipped, key=lambda change: change.new.width)
        new, since = tightest.new, tightest.since
    else:
        moved = _moved(history, measurement, bracket)
        if moved is None:
            return []
        new, since = moved.bracket, moved.since
    still = [name for name, rule in history.rules.items() if rule.raised]
    history.told = (new.lo, new.hi) if still else None
    history.lower = Rule(against=measurement.measured)
    history.higher = Rule(raised=True, against=measurement.measured)
    known = [change.rule for change in flipped]
    return [Change(name, True, old, new, since) for name in still if name not in known]


def _moved(history: History, measurement: Measurement, bracket: Bracket) -> Decision | None:
    """The new value of the rules raised, if this measurement confirms that it has moved."""
    if history.told is None:
        return None
    told = Bracket(*history.told)
    far = (told.lo if told.hi is None else told.hi) / SHRUNK
    rises = "above" if bracket.lo >= far else "between" if _dead_at(bracket, far) else None
    lower = _vote(history.lower, _beside_baseline(bracket, told), measurement, bracket)
    higher = _vote(history.higher, rises, measurement, bracket)
    return lower or higher


def _is_sound(bracket: Bracket, method: str, old: Bracket | None) -> bool:
    """Whether a bracket may enter the baseline. Beside a higher one no open bracket may, since
    its lo is only where the search ended, and a watch's only where it is not wide.
    """
    if old is not None and bracket.lo >= SHRUNK * old.lo:
        return True
    if bracket.hi is None:
        return old is None
    return method not in WATCHING or bracket.width <= max(NARROW_S, NARROW * bracket.hi)


def _keep(history: History, measurement: Measurement, bracket: Bracket, span_s: float) -> None:
    """Add a bracket to the baseline's window, so spaced that a full window covers *span_s*."""
    entry = (measurement.ref, measurement.measured, bracket.lo, bracket.hi)
    refs = [ref for ref, _, _, _ in history.kept]
    if measurement.ref in refs:  # the same bindings, searched more closely
        history.kept[refs.index(measurement.ref)] = entry
        return
    apart = measurement.measured - history.kept[-1][1] if history.kept else 0.0
    if len(history.kept) >= ENOUGH and apart < span_s / WINDOW:
        return
    history.kept = [*history.kept, entry][-WINDOW:]
    present = baseline(history)
    if present is not None:
        _remember_best(history, measurement.measured, present)


def _remember_best(history: History, now: float, present: Bracket) -> None:
    """Note the baseline, once a day at most: only those that none since has reached matter."""
    history.best = [
        one for one in history.best if one[1] > present.lo and one[0] > now - BEST_DAYS * DAY
    ]
    if not history.best or now - history.best[-1][0] >= DAY:
        history.best.append((now, present.lo, present.hi))
