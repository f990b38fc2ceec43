"""What the network operations centre sees."""
