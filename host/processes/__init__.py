"""The fork server, the children it makes, and how they end."""
