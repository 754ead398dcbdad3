from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DeliveryConfig(AppConfig):
    name = "delivery"
    verbose_name = _("Delivery")

    def ready(self) -> None:
        from console import supervisor
        from delivery.services import supply

        supervisor.ticks.append(supply.keep_supplied)
