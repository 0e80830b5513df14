"""What a node keeps for others: records and packets, bounded, fair, durable."""
