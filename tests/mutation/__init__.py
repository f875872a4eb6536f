"""Mutation testing of what decides security: change one thing at a time, and see whether its tests notice."""
