"""Short patience: silence is believed after fewer tries."""

from dataclasses import dataclass, replace

from qisguard.plugins import Card, Settings


@dataclass(frozen=True, slots=True)
class ShortPatience:
    """Give up a request after ``request_tries`` tries, a handshake after ``handshake_tries``."""

    request_tries: int = 3
    handshake_tries: int = 3

    card = Card(
        id="short_patience",
        family="routing",
        summary="requests and handshakes that nobody answers are given up early",
        capability="peers that are slow, gone, or never were",
        breaks="look-ups that wait for those who do not answer",
        source="RFC 6298 (what a timeout has to cover); catalogue, L4 and CH1",
        seen="more requests unanswered, shorter look-ups",
        limits="where datagrams are lost, honest peers are given up too: at 30 % loss three tries "
        "fail for one request in eight",
    )

    def tune(self, settings: Settings) -> Settings:
        """Return settings with that patience."""
        node = replace(
            settings.node,
            request_tries=self.request_tries,
            handshake_tries=self.handshake_tries,
        )
        return replace(settings, node=node)
