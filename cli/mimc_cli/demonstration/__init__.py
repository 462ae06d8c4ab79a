"""What `mimc demo` shows: a service, users who log in to it over real TCP, and lines between them that can be cut."""
