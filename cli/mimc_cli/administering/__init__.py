"""What `mimc admin` is made of: asking a server, or its database when none runs, and showing what came."""
