"""Upstreams that are programs on this machine: each a process whose standard input and output are the pipe."""
