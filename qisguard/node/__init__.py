"""The S/Kademlia node, sans-IO: messages, wire, sessions, routing, look-ups, store."""
