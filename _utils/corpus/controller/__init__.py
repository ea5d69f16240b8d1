"""What runs on the cloud controller: the registry of nodes and guests, and the operations that change them."""
