"""A mailbox for one machine: it takes every mail that it is sent, passes none on, and shows them in the browser."""
