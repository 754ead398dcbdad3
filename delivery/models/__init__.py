"""The tables of sending. One file a noun; import them from here."""

from delivery.models.address import SenderAddress
from delivery.models.callback import Callback, CallbackEvent, Happening
from delivery.models.credits import CreditEntry, Credits
from delivery.models.domain import DkimKey, DnsRecord, SenderDomain
from delivery.models.figures import ApiUserDay, DomainDay
from delivery.models.flow import Flow, LookedAt, Standing
from delivery.models.group import GroupImport, Recipient, RecipientGroup
from delivery.models.message import Attempt, Message
from delivery.models.preflight import IpCheck, IpDay
from delivery.models.queue import LimitGroup, Queue, QueuePause, ReceivingDomain, Share, Site, Waiting, Worker
from delivery.models.relay import Relay
from delivery.models.statistics import Delta, Folded, Statistic, Summary, Total
from delivery.models.status import HeldBy, PauseCause, Reason, Status, TaskStatus
from delivery.models.task import Task, TaskCount
from delivery.models.template import Template, TemplateVersion

__all__ = [
    "ApiUserDay",
    "Attempt",
    "Callback",
    "CallbackEvent",
    "CreditEntry",
    "Credits",
    "Delta",
    "DkimKey",
    "DnsRecord",
    "DomainDay",
    "Flow",
    "Folded",
    "GroupImport",
    "Happening",
    "HeldBy",
    "IpCheck",
    "IpDay",
    "LimitGroup",
    "LookedAt",
    "Message",
    "PauseCause",
    "Queue",
    "QueuePause",
    "Reason",
    "ReceivingDomain",
    "Recipient",
    "RecipientGroup",
    "Relay",
    "SenderAddress",
    "SenderDomain",
    "Share",
    "Site",
    "Standing",
    "Statistic",
    "Status",
    "Summary",
    "Task",
    "TaskCount",
    "TaskStatus",
    "Template",
    "TemplateVersion",
    "Total",
    "Waiting",
    "Worker",
]
