"""The inventory service: holds the stock, and reserves all lines of an order or none."""
