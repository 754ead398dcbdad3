from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DeliveryConfig(AppConfig):
    name = "delivery"
    verbose_name = _("Delivery")

    def ready(self) -> None:
        from console import supervisor
        from delivery.services import schedules, supply

        supervisor.ticks += [schedules.tick, supply.keep_supplied]
