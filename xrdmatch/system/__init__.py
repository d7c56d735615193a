"""What the rest needs of the operating system: files that appear whole, and work in other processes."""
