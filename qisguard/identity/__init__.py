"""Who a node is: ids, keys, puzzles, descriptors, the network file and the roster."""
