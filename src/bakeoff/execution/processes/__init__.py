"""Jobs in processes of this machine, without Ray: each computes on its own cores."""
