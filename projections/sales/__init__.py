"""The `sales` projection: what all orders come to, in tables of sums."""
