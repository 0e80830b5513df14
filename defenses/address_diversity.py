"""Address diversity: few contacts of one network, in a bucket and in the table."""

from dataclasses import dataclass, replace

from qisguard.plugins import Card, Settings


@dataclass(frozen=True, slots=True)
class AddressDiversity:
    """At most ``bucket_max`` contacts of one /24 or /48 in a bucket, ``table_max`` in a table."""

    bucket_max: int = 2
    table_max: int = 10

    card = Card(
        id="address_diversity",
        family="routing",
        summary="a routing table holds few contacts of one /24 (IPv4) or /48 (IPv6)",
        capability="any number of identities behind a handful of addresses",
        breaks="eclipse from few networks",
        source="Marcus et al., IACR ePrint 2018/236 (geth 1.8); S/Kademlia, section 4.3",
        seen="newcomers counted as 'not admitted: network full in bucket' or 'in table'",
        limits="no help against attackers in many networks; honest nodes that share one are left "
        "out of each other's tables",
    )

    def tune(self, settings: Settings) -> Settings:
        """Return settings with the limits on."""
        node = replace(
            settings.node,
            address_diversity=True,
            subnet_bucket_max=self.bucket_max,
            subnet_table_max=self.table_max,
        )
        return replace(settings, node=node)
