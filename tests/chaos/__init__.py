"""`make chaos`: kill what sends, at random, and count. Nobody may be missed; doubles only of what was on the wire."""
