"""The operator's page: who may open it, its routes, its templates, and its files."""
