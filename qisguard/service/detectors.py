"""Detectors of ids that crowd around a key, from a configuration: names with their thresholds."""

from collections.abc import Sequence

from qisguard.errors import ScenarioError
from qisguard.fill import nearest, show
from qisguard.plugins import Defense


def make_detectors(texts: Sequence[str], k: int) -> tuple[Defense, ...]:
    """Return the detectors that ``texts`` name, such as ``scan_count=5.5``, about ``k`` ids.

    Raises:
        ScenarioError: an unknown or repeated name, or a threshold that is missing or no number.
    """
    if not texts:
        return ()
    from qisguard.defenses.distance_scan import DistanceScan  # loads NumPy and SciPy
    from qisguard.defenses.kl_detector import KlDetector
    from qisguard.defenses.region_count import RegionCount
    from qisguard.defenses.scan_count import ScanCount

    kinds = {kind.card.id: kind for kind in (ScanCount, DistanceScan, KlDetector, RegionCount)}
    made: dict[str, Defense] = {}
    for index, text in enumerate(texts):
        where = f"node.detectors[{index}]"
        name, equals, threshold = text.partition("=")
        if name not in kinds:
            raise ScenarioError(f"{where}: unknown detector {show(name)}{nearest(name, kinds)}")
        if name in made:
            raise ScenarioError(f"{where}: {name!r} is there twice")
        given = {"threshold": _number(threshold, where)} if equals else {}
        try:
            made[name] = kinds[name](k=k, **given)
        except TypeError:
            raise ScenarioError(
                f"{where} = {show(text)}, must give a threshold: {name}=NATS, as "
                f"'qisguard calibrate {name} --k {k} --n NODES' finds it"
            ) from None
        except ValueError as error:
            raise ScenarioError(f"{where}: {error}") from None
    return tuple(made.values())


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ScenarioError(f"{where}: threshold = {show(text)}, must be a number") from None
