"""The order process manager: confirms an order whose stock is reserved, and rejects one whose stock is not there."""
