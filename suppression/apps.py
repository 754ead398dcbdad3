from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SuppressionConfig(AppConfig):
    name = "suppression"
    verbose_name = _("Suppression")

    def ready(self) -> None:
        from console import forgetting as house
        from suppression import forgetting

        house.forgetters.append(forgetting.forget)
