"""External sources: Prometheus, databases, HTTP services and programs, behind one interface."""
