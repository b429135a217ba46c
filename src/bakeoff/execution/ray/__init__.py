"""Jobs on Ray's actors, one a device, on one machine or many."""
