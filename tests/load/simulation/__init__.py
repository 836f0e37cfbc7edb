"""A fleet that is not there: the placement, limit and lease code of the services, under a clock that is turned.

Nodes, Envoys, Redis and time are simulated; what decides is what the services run. One seed, one result.
"""
