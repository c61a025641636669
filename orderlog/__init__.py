"""What programs that use orderlog import: `from orderlog.client import OrderlogClient`."""
