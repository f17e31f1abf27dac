"""A fleet on this machine: six SSH hosts on loopback addresses, each with a little service of its own."""
