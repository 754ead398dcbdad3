"""What templates of every package may write; built in, so that none has to load it."""
