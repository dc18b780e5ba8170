"""The API over HTTP: its routes under /api/v1, their answers as JSON, and a site with bounds."""
