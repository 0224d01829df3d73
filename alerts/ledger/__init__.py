"""What becomes of deliveries: how long they are kept, and what they tell of their sources."""
