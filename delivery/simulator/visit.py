"""A connection as a visit: whom it is to, how often this client comes, and what the server's mood makes of it."""

from __future__ import annotations

from delivery.simulator.behaviour import Answer
from delivery.simulator.line import Line
from delivery.simulator.moods import BUSY, GOING, Mood
from delivery.simulator.post import Post


class Visit(Line):
    def __init__(self, post: Post) -> None:
        super().__init__(post)
        self.mood: Mood | None = None
        self.group = ""  # whom the tally counts it for
        self.messages = 0  # begun in this session
        self.counted = False  # this message is in the tally

    def visit(self, mood: Mood) -> Answer | None:
        """Why this connection is turned away, if it is."""
        open_ = self._count(mood.domain)
        visits = self.post.visits[mood.name] = self.post.visits.get(mood.name, 0) + 1
        if mood.busy_every and visits % mood.busy_every == 0:
            return BUSY
        return mood.crowded if mood.connections and open_ > mood.connections else None

    def _count(self, group: str) -> int:
        self.group = group
        return self.post.tally.opened(group, self.client)

    def leave(self) -> None:
        """The visit is over."""
        if self.group:
            self.post.tally.closed(self.group, self.client)
            self.group = ""

    def moody(self, mood: Mood) -> Answer | None:
        """Why the server has enough of this client, if it has."""
        self.counted = True
        begun = self.post.tally.message(mood.domain, self.client)
        if mood.rate and begun > mood.rate:
            return mood.hurried
        if mood.session and self.messages >= mood.session:
            return GOING
        self.messages += 1
        return None

    def count_message(self, recipient: str) -> None:
        """A message to a server without a mood; whose it is shows at its first recipient."""
        self.counted = True
        if not self.group:
            domain = recipient.rpartition("@")[2].lower()
            self._count("sink.test" if domain.endswith(".sink.test") else domain)
        self.post.tally.message(self.group, self.client)
