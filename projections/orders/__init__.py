"""The `orders` view: every order as it is now, with its lines."""
