"""What composing needs besides the message itself, read once and remembered: versions, tasks, keys, API users.

Read in the thread that holds the database connection, used by the threads that compose.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

import structlog
from cryptography.fernet import InvalidToken
from django.conf import settings
from django.utils import timezone

from console.models import Account, ApiUser
from delivery.engine import retry
from delivery.engine.claim import Claimed
from delivery.engine.compose import Composer, Letter
from delivery.engine.dkim import Signer
from delivery.engine.lane import Ready
from delivery.engine.types import Hop
from delivery.models import HeldBy, SenderDomain, Task, TemplateVersion
from delivery.return_path import return_path
from delivery.schedule import SendWindow
from delivery.services import dkim_keys, relays, tracking_hosts
from delivery.tokens import Tokens
from delivery.values import merged

log = structlog.get_logger()

# Versions and what a task says never change; what an operator may switch is read again this often, in seconds.
FRESH_SECONDS = 2.0
VERSIONS_KEPT = 200


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """What a message's task adds to it."""

    defaults: dict[str, str]
    list_id: str
    window: SendWindow | None = None


@dataclass(frozen=True, slots=True)
class DomainFacts:
    """What a message's sender domain adds to it. `public_url`: what its links begin with."""

    track_opens: bool
    track_clicks: bool
    public_url: str

    @classmethod
    def of(cls, domain: SenderDomain | None) -> DomainFacts:
        """None: a domain that was deleted since."""
        if domain is None:
            return cls(True, True, settings.PUBLIC_URL)
        return cls(domain.track_opens, domain.track_clicks, tracking_hosts.public_url(domain))


class NotReady(Enum):
    """Why a mail could not be composed."""

    # What it needs changed since it was claimed: the next claim looks anew, and holds it if it must.
    LATER = "later"
    # Its template is gone or can't be filled, and never will be.
    UNFIT = "unfit"


@dataclass
class Store:
    """One engine's memory."""

    tokens: Tokens = field(default_factory=lambda: Tokens(settings.TOKEN_KEYS))
    # None: a version that is gone or can't be filled. What is merely not here was put out for others, and comes again.
    composers: dict[tuple[int, bool], Composer | None] = field(default_factory=dict)
    tasks: dict[int, TaskFacts] = field(default_factory=dict)
    signers: dict[int, Signer | None] = field(default_factory=dict)
    api_users: dict[int, ApiUser] = field(default_factory=dict)
    domains: dict[int, DomainFacts] = field(default_factory=dict)
    # Of the sender domains that have one.
    relays: dict[int, Hop] = field(default_factory=dict)
    account: Account = field(default_factory=Account.current)
    _fresh_until: float = 0.0

    def refresh(self) -> None:
        """Read again what an operator may switch, when it was read too long ago: also where nothing is claimed, for
        what waits for a slow server's connections must not miss that all is stopped."""
        if time.monotonic() >= self._fresh_until:
            self.account = Account.current()
            # Replaced, never emptied: other threads compose from it meanwhile.
            self.api_users = ApiUser.objects.in_bulk(list(self.api_users))
            self._load_signers(self._changed_signers())
            self.relays = relays.hops(self.signers)
            self.domains = _facts(self.domains)
            self._fresh_until = time.monotonic() + FRESH_SECONDS

    def load(self, batch: Iterable[Claimed]) -> None:
        """Read what these messages need and is not known yet."""
        batch = list(batch)
        self.refresh()
        users = {one.api_user_id for one in batch} - self.api_users.keys()
        if users:
            self.api_users |= ApiUser.objects.in_bulk(users)
        domains = {one.sender_domain_id for one in batch} - self.signers.keys()
        if domains:
            self.relays = self.relays | relays.hops(domains)
            self.domains = self.domains | _facts(domains)
        self._load_signers(domains)
        tasks = {one.task_id for one in batch if one.task_id is not None} - self.tasks.keys()
        if tasks:
            for task in Task.objects.filter(pk__in=tasks):
                host = task.sender.rpartition("@")[2]
                self.tasks[task.pk] = TaskFacts(task.defaults, f"g{task.group_id or 0}.{host}", task.window)
        self._load_composers({(one.version_id, self.is_batch(one)) for one in batch} - self.composers.keys())

    def ready(self, one: Claimed) -> Ready | NotReady:
        """The mail, composed and signed, or why not. For any thread: it asks nothing of the database."""
        user = self.api_users.get(one.api_user_id)
        signer = self.signers.get(one.sender_domain_id)
        key = (one.version_id, self.is_batch(one))
        composer = self.composers.get(key)
        task = self.tasks.get(one.task_id) if one.task_id is not None else None
        facts = self.domains.get(one.sender_domain_id)
        if user is None or signer is None or facts is None or key not in self.composers or self.held_by(one):
            return NotReady.LATER
        if composer is None:
            return NotReady.UNFIT
        try:
            now = time.time()
            composed = composer.compose(letter(one, user, self.account, facts, task), now)
            signature = signer.sign(composed.headers, composed.body, int(now), relaxed=composed.relaxed)
        except Exception:
            # One mail that cannot be built must not stop the others; its row says so.
            log.exception("compose_failed", message=one.message_id)
            return NotReady.UNFIT
        token = self.tokens.bounce(one.message_id)
        domain = one.sender.rpartition("@")[2]
        return Ready(
            return_path(token, domain),
            one.recipient,
            composed.as_bytes(signature),
            composed.smtputf8,
            # Signed, and what a bounce is known by.
            token,
            composed.plain,
            one,
        )

    def is_batch(self, one: Claimed) -> bool:
        user = self.api_users.get(one.api_user_id)
        return user is not None and user.type == ApiUser.Type.BATCH

    def relay(self, one: Claimed) -> Hop | None:
        """The relay that the message goes through, None for the recipient's own server. The simulator is no place that
        a relay could reach."""
        if retry.is_simulated(one.receiving_domain):
            return None
        return self.relays.get(one.sender_domain_id)

    def held_by(self, one: Claimed) -> str:
        """Why this message may not be tried now, or ''."""
        if self.account.sending_stopped_at is not None:
            return HeldBy.ACCOUNT
        user = self.api_users.get(one.api_user_id)
        if user is None or not user.enabled:
            return HeldBy.API_USER
        if self.signers.get(one.sender_domain_id) is None:
            return HeldBy.DOMAIN_UNVERIFIED
        task = self.tasks.get(one.task_id) if one.task_id is not None else None
        if task and task.window and not task.window.is_open(timezone.now(), self.account.zone):
            return HeldBy.WINDOW
        return ""

    def _load_composers(self, wanted: set[tuple[int, bool]]) -> None:
        if not wanted:
            return
        while len(self.composers) + len(wanted) > VERSIONS_KEPT and self.composers:
            self.composers.pop(next(iter(self.composers)))
        versions = TemplateVersion.objects.in_bulk({version_id for version_id, _batch in wanted})
        for version_id, batch in wanted:
            self.composers[version_id, batch] = None
            if version := versions.get(version_id):
                try:
                    self.composers[version_id, batch] = composer_of(version, batch=batch, tokens=self.tokens)
                except Exception:
                    # Its mails say that they could not be composed; everybody else's go on.
                    log.exception("template_unfit", version=version_id)

    def _changed_signers(self) -> set[int]:
        """Domains whose state is another than when their key was read: a rotation, a verification, a lost record.
        Only selectors are compared: reading a key again takes fifty milliseconds."""
        active = dict(_active_keys(self.signers))
        return {
            domain_id
            for domain_id, signer in self.signers.items()
            if active.get(domain_id) != (signer.selector if signer else None)
        }

    def _load_signers(self, wanted: set[int]) -> None:
        if not wanted:
            return
        for domain in SenderDomain.objects.filter(pk__in=wanted).prefetch_related("dkim_keys"):
            key = next((key for key in domain.dkim_keys.all() if key.active), None)
            if key is not None and domain.verified:
                try:
                    self.signers[domain.pk] = Signer(domain.name, key.selector, dkim_keys.private_pem(key))
                    wanted.discard(domain.pk)
                except (InvalidToken, ValueError):
                    log.exception("dkim_key_unreadable", domain=domain.name)
        for domain_id in wanted:
            self.signers[domain_id] = None


def _active_keys(domain_ids: Iterable[int]) -> Iterable[tuple[int, str]]:
    return SenderDomain.objects.filter(
        pk__in=list(domain_ids), verified_at__isnull=False, dkim_keys__active=True
    ).values_list("pk", "dkim_keys__selector")


def composer_of(version: TemplateVersion, *, batch: bool, tokens: Tokens) -> Composer:
    """The composer of a template version, as the engine, the message page and test sends use it."""
    return Composer(version.compiled(batch=batch), tokens, version.pk)


def _facts(domain_ids: Iterable[int]) -> dict[int, DomainFacts]:
    return {domain.pk: DomainFacts.of(domain) for domain in SenderDomain.objects.filter(pk__in=list(domain_ids))}


def letter(one: Claimed, user: ApiUser, account: Account, domain: DomainFacts, task: TaskFacts | None) -> Letter:
    """What the composer is told of a message."""
    batch = user.type == ApiUser.Type.BATCH
    return Letter(
        message_id=one.message_id,
        from_address=one.sender,
        from_name=one.sender_name,
        recipient=one.recipient,
        to_field=one.to_field.split(", ") if one.to_field else None,
        reply_to=user.reply_to,
        subject=one.subject,
        values=merged(task.defaults, one.variables) if task else one.variables,
        batch=batch,
        list_id=task.list_id if task and batch else "",
        feedback_id=f"{one.task_id or 0}:{one.api_user_id}:{user.type}:posthorn",
        public_url=domain.public_url,
        filled=True,
        track_clicks=account.track_clicks and user.track_clicks and domain.track_clicks,
        track_opens=account.track_opens and user.track_opens and domain.track_opens,
    )
