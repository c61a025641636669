"""A real Kafka, registry and Postgres on this machine from package registries alone, and the services on top."""
