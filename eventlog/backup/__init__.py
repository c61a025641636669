"""The order log as files, and back: docs/adr/0022-backup.md."""
