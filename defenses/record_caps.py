"""Record caps: room for so much under a key, and of one provider; the largest group gives way."""

from dataclasses import dataclass, replace

from qisguard.plugins import Card, Settings


@dataclass(frozen=True, slots=True)
class RecordCaps:
    """Keeps so many providers of a key, records of a provider, and packets of a key."""

    providers_per_key: int = 64
    records_per_provider: int = 1_000
    packets_per_key: int = 64

    card = Card(
        id="record_caps",
        family="storage",
        summary="caps on records and packets of a key; when full the largest group gives way",
        capability="identities and author keys without end",
        breaks="growth of stores, and of what a reader has to page through",
        source="libp2p specs 537 (no cap found); design, section 3 (Storage)",
        seen="refusals 'key full' and 'provider full'",
        limits="spam from as many networks as there is room looks like many honest ones, and "
        "off the roster all packets are of one group: who comes first stays",
    )

    def tune(self, settings: Settings) -> Settings:
        """Return settings with these caps."""
        node = replace(
            settings.node,
            providers_per_key_max=self.providers_per_key,
            records_per_provider_max=self.records_per_provider,
            packets_per_key_max=self.packets_per_key,
        )
        return replace(settings, node=node)
