"""The `mimc` command."""
