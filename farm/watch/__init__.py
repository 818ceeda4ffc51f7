"""What keeps an eye on the farm."""
