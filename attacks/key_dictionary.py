"""A dictionary of similarity keys: few categories have few keys, and all of them can be hashed.

A replica, or anybody on a path, sees the *place* of a query, which is the hash of its key. Whoever
has the template computes every key and every place, and then reads queries like names.
"""

import itertools
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources

from qisguard.errors import ScenarioError
from qisguard.identity.ids import NodeId, placement
from qisguard.outcomes.template import Field, Template, Value, open_template
from qisguard.plugins import Card, Counted, World


@dataclass(frozen=True, slots=True)
class KeyDictionary:
    """Names the keys of ``queries`` random cases; an ``insider`` knows the network's secret."""

    template: str = "breast-cancer"
    queries: int = 200
    insider: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.queries <= 1_000_000:
            raise ValueError(f"queries = {self.queries}, must be 1 to 1000000")

    card = Card(
        id="key_dictionary",
        family="privacy",
        summary="computes every key of a template, and names the queries it sees",
        capability="the template, which is public; one core; the places of queries",
        breaks="privacy of queries (keys_identified)",
        source="IPIP 373 (double hashing); 25 million keys in 13 s, docs of the design, section 1",
        seen="nothing: it is computed offline",
        limits="a keyed template (HMAC with a network secret) stops outsiders, no member",
    )

    def compute(self, world: World, defended: bool, rng: random.Random) -> Mapping[str, Counted]:
        """Return how many queries were named, and how fast."""
        template = _template(self.template)
        secret = rng.randbytes(32) if defended else None
        cases = list(_cases(template))
        asked = [placement(template.key(rng.choice(cases), secret)) for _ in range(self.queries)]
        began = time.process_time()
        known = secret if self.insider else None
        names: dict[NodeId, Mapping[str, Value]] = {}
        for case in cases:
            names[placement(template.key(case, known))] = case
        identified = sum(place in names for place in asked)
        seconds = max(time.process_time() - began, 1e-9)
        return {
            "keys_identified": (identified, len(asked)),
            "keys_per_second": len(cases) / seconds,
            "seconds_to_identify": seconds,
        }


def _template(name: str) -> Template:
    folder = resources.files("qisguard").joinpath("scenarios", "templates")
    file = folder.joinpath(f"{name}.toml")
    if not file.is_file():
        raise ScenarioError(f"attack.parameters.template = {name!r}, is no packaged template")
    return open_template(file.read_bytes())


def _cases(template: Template) -> Iterator[dict[str, Value]]:
    """Yield one case of every key."""
    names = [field.name for field in template.fields]
    for values in itertools.product(*(_values(field) for field in template.fields)):
        yield dict(zip(names, values, strict=True))


def _values(field: Field) -> tuple[Value, ...]:
    return field.categories or field.edges
