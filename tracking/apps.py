from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class TrackingConfig(AppConfig):
    name = "tracking"
    verbose_name = _("Tracking")

    def ready(self) -> None:
        from delivery.timeline import timeline_sources
        from tracking import timeline

        timeline_sources.append(timeline.events)
