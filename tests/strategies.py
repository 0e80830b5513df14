"""What hypothesis draws: datagrams, messages, and things that are neither."""

from hypothesis import strategies as st

from qisguard.node import messages
from qisguard.session import wire


def of_size(size: int) -> st.SearchStrategy[bytes]:
    """Return a strategy for bytes of one size."""
    return st.binary(min_size=size, max_size=size)


hellos = st.builds(wire.Hello, of_size(16), of_size(32), of_size(32))
cookies = st.builds(wire.Cookie, of_size(16), of_size(40))
auths = st.builds(
    wire.Auth,
    of_size(16),
    of_size(32),
    of_size(40),
    of_size(8),
    st.binary(max_size=512),
    of_size(64),
)
accepts = st.builds(
    wire.Accept, of_size(8), of_size(8), of_size(32), st.binary(max_size=512), of_size(64)
)
handshakes = st.one_of(hellos, cookies, auths, accepts)

numbers = st.integers(0, 2**32 - 1)
hosts = st.one_of(of_size(4), of_size(16))
contacts = st.tuples(of_size(32), hosts, st.integers(1, 65_535))
packets = st.lists(st.binary(max_size=512), max_size=4)
reasons = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=64)
spoken = st.one_of(
    st.builds(messages.Ping, numbers),
    st.builds(messages.FindNode, numbers, of_size(32)),
    st.builds(messages.Store, numbers, st.binary(max_size=160), packets),
    st.builds(messages.ListPackets, numbers, of_size(32), st.binary(max_size=32)),
    st.builds(messages.FetchPackets, numbers, of_size(32), st.lists(of_size(32), max_size=28)),
    st.builds(messages.FindProviders, numbers, of_size(32), st.binary(max_size=32)),
    st.builds(messages.FindValue, numbers, of_size(32), of_size(32)),
    st.builds(messages.Announce, numbers, st.binary(max_size=160)),
    st.builds(messages.ListKeys, numbers, st.integers(0, 255), st.binary(max_size=32)),
    st.builds(messages.Pong, numbers),
    st.builds(messages.Nodes, numbers, st.lists(contacts, max_size=20)),
    st.builds(messages.Stored, numbers, st.lists(reasons, max_size=4)),
    st.builds(
        messages.Listing,
        numbers,
        st.lists(st.tuples(of_size(32), numbers), max_size=28),
        st.booleans(),
    ),
    st.builds(messages.Packets, numbers, packets),
    st.builds(
        messages.Providers,
        numbers,
        st.lists(st.binary(max_size=160), max_size=7),
        st.booleans(),
    ),
    st.builds(messages.Keys, numbers, st.lists(of_size(32), max_size=32), st.booleans()),
    st.builds(messages.Refused, numbers, reasons),
)
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats())
    | st.binary(max_size=40)
    | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=12,
)
