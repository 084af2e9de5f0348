"""A legacy document pipeline and a node engine with AI nodes: the pair of plans/documents.yaml."""
