"""What `mimc demo` runs: a tiny service and its clients over real TCP. No service to keep: it forgets everything."""
