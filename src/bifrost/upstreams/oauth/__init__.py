"""OAuth as a client of upstreams: a state machine in the database, never a coroutine that waits for a person."""
