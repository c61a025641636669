"""Services around the order log: each subscribes to public events, keeps its data, may publish events of its own.

`subscription.py` says what a subscriber is; `runner.py` is the loop that all of them share.
"""
