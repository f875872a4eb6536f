"""Who is it: the owner of credentials, and how a presented credential becomes a caller."""
