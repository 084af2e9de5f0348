"""The shadow service as a process, with a real Envoy and a real store."""
