"""What can be fetched from the network: scenes, orbits and elevation models. Nothing else goes there."""
