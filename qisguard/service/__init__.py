"""What a node is as a program on somebody's machine: its identity on disk, its files, its life."""
