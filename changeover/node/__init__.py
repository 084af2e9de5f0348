"""A gateway on another machine: its Envoy, and the agent that follows the store and measures."""
