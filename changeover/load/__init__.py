"""The load service: steady synthetic requests while a stage soaks, where the plan wants them."""
