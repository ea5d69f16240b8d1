"""What runs on a compute node: containers, storage and inbound traffic."""
