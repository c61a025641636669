"""The domain: pure functions and values. `decide` says what a command does, `evolve` what an event did."""
