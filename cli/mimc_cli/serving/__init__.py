"""What `mimc serve` is made of: the server until a signal, and what to paste into clients of it."""
