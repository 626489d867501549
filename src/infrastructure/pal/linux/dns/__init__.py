"""The name servers of a client's host: those of its tunnel, for as long as the tunnel is there."""
