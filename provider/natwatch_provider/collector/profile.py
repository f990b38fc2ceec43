"""What detection takes from the provider profile (natwatch.diagnosis.profile)."""

from dataclasses import dataclass

from natwatch.diagnosis import profile


@dataclass(frozen=True)
class Profile:
    """*keepalive_s*: what a phone is taken to use where its own interval is not known, seconds.

    The default is the shortest interval that operators ask for: a NAT that is too quick for
    it is too quick for every phone, so that an alert by it is never a false one.
    """

    name: str = "default"
    keepalive_s: float = 20.0


def load(path: str) -> Profile:
    """The profile in the JSON file *path*. Raises ValueError with one sentence."""
    value = profile.load(path)
    return Profile(value["name"], float(value["keepalive_s"]["default"]))
