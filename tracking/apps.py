from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class TrackingConfig(AppConfig):
    name = "tracking"
    verbose_name = _("Tracking")

    def ready(self) -> None:
        from django.conf import settings

        from console import forgetting as house
        from console import periodic, supervisor
        from delivery import attention
        from delivery.timeline import timeline_sources
        from tracking import checks, forgetting, timeline  # noqa: F401  (registers itself)
        from tracking.feedback import health, supply

        timeline_sources.append(timeline.events)
        attention.sources.append(health.attention)
        house.forgetters.append(forgetting.forget)
        if settings.FEEDBACK_PORT:
            supervisor.own_parts["listener"] = "listen_feedback"
        supervisor.ticks.append(supply.keep_supplied)
        periodic.add(prune_feedback=("tracking.jobs.prune_feedback", 60))
