"""A first minute with Bifrost: a sample upstream, a gateway in front of it, and a scripted client that signs in.

Nothing here is used by a deployed gateway; it is what `make run` and `make demo` start.
"""
