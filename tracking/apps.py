from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class TrackingConfig(AppConfig):
    name = "tracking"
    verbose_name = _("Tracking")

    def ready(self) -> None:
        from django.conf import settings

        from console import supervisor
        from delivery.management.commands.schedules import SCHEDULES
        from delivery.timeline import timeline_sources
        from tracking import timeline
        from tracking.feedback import supply

        timeline_sources.append(timeline.events)
        if settings.FEEDBACK_PORT:
            supervisor.own_parts["listener"] = "listen"
        supervisor.ticks.append(supply.keep_supplied)
        SCHEDULES["prune-feedback"] = ("tracking.jobs.prune_feedback", 60)
