"""Language models: a text scored, or a prompt continued."""
