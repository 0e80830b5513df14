"""The command line: parse, call, print, exit; it decides nothing."""
